//! Decides whether another user can change or replace a file.
//!
//! A file is safe only if its owner is this user or root, and if the same holds for every folder and every symbolic
//! link on the way to it. Nobody else may be able to write to these folders. Folders with the sticky bit, such as
//! `/tmp`, are an exception, because only the owner of an entry can rename or remove the entry there. Root is trusted,
//! because root can change every file.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use crate::{PrivateFileError, TOO_MANY_LINKS, failed};

pub(crate) const ROOT: u32 = 0;
const STICKY: u32 = 0o1000;
/// The maximum number of symbolic links on the way to a file. Linux has the same limit.
const MAX_LINKS: usize = 40;

/// The user of this process.
#[derive(Clone, Copy)]
pub(crate) struct User {
    pub(crate) id: u32,
}

impl User {
    pub(crate) fn current() -> Self {
        Self { id: rustix::process::geteuid().as_raw() }
    }

    /// Follows a path from the root folder, and checks every folder and link on the way. Returns the metadata of the
    /// file at the end of the path. `None` if there is no file.
    pub(crate) fn follow(self, path: &Path) -> Result<Option<Metadata>, PrivateFileError> {
        let absolute = std::path::absolute(path).map_err(failed(path))?;
        let mut folder = PathBuf::from("/");
        let mut found = fs::symlink_metadata(&folder).map_err(failed(&folder))?;
        // The names that are still to be followed. The next name is the last name in the list.
        let mut names = reversed(&absolute);
        let mut links = 0;
        while let Some(name) = names.pop() {
            self.check_folder(path, &folder, &found)?;
            if name == ".." {
                folder.pop();
                found = fs::symlink_metadata(&folder).map_err(failed(&folder))?;
                continue;
            }
            let entry = folder.join(name);
            let next = match fs::symlink_metadata(&entry) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                next => next.map_err(failed(&entry))?,
            };
            self.check_owner(&entry, &next)?;
            if next.is_symlink() {
                links += 1;
                if links > MAX_LINKS {
                    return Err(failed(path)(io::Error::other(TOO_MANY_LINKS)));
                }
                let target = fs::read_link(&entry).map_err(failed(&entry))?;
                if target.is_absolute() {
                    folder = PathBuf::from("/");
                    found = fs::symlink_metadata(&folder).map_err(failed(&folder))?;
                }
                names.extend(reversed(&target));
            } else {
                (folder, found) = (entry, next);
            }
        }
        Ok(Some(found))
    }

    /// Checks that a file, a folder or a link belongs to this user or to root.
    pub(crate) fn check_owner(self, path: &Path, found: &Metadata) -> Result<(), PrivateFileError> {
        if [self.id, ROOT].contains(&found.uid()) {
            return Ok(());
        }
        Err(PrivateFileError::Foreign { path: path.to_owned(), owner: found.uid() })
    }

    /// Checks that nobody else can write to a file.
    pub(crate) fn check_unwritable(self, path: &Path, found: &Metadata) -> Result<(), PrivateFileError> {
        if self.is_writable_by_others(found) {
            return Err(PrivateFileError::Writable { path: path.to_owned(), mode: found.mode() & 0o777 });
        }
        Ok(())
    }

    /// Checks that nobody else can rename or remove the entries of a folder on the way to `path`.
    fn check_folder(self, path: &Path, folder: &Path, found: &Metadata) -> Result<(), PrivateFileError> {
        self.check_owner(folder, found)?;
        if found.mode() & STICKY == 0 && self.is_writable_by_others(found) {
            return Err(PrivateFileError::Replaceable {
                path: path.to_owned(),
                folder: folder.to_owned(),
                mode: found.mode() & 0o777,
            });
        }
        Ok(())
    }

    /// Returns whether other users can write to a file or folder. A group with the same number as the user counts as
    /// the user's own group, which has no other member. Many systems give each user such a group, and make new folders
    /// writable for it. The group with the number 0 counts as root's own group.
    fn is_writable_by_others(self, found: &Metadata) -> bool {
        let has_own_group = [self.id, ROOT].contains(&found.gid());
        found.mode() & 0o002 != 0 || (found.mode() & 0o020 != 0 && !has_own_group)
    }
}

/// Returns the names in a path, the last one first. The root folder has no name.
fn reversed(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::Prefix(_) | Component::RootDir => None,
    });
    let mut names: Vec<_> = names.collect();
    names.reverse();
    names
}
