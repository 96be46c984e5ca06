//! Opens and writes files that other users can't read, or can't change. A private file can be read and written only by
//! its owner. Examples are keys, a configuration with secrets, and databases. Containers mount secrets as files that
//! more users can read. A caller can accept such files with [`Access`]. An unwritable file can be read by all users,
//! but only its owner can change or replace it. An example is a program.
//!
//! To read a file, this crate opens it first. Then the crate checks the open file: its kind, owner, permissions and
//! number of names (hard links). It also checks the folders and links on the way to the file. So nobody can exchange
//! the file between the check and the use.
//!
//! This crate works on Unix only. It checks only the permissions of a file, and does not read access control lists.

mod access;
mod user;

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

pub use self::access::{Access, UnknownAccess};
use self::user::{ROOT, User};

/// Returns the effective user id of this process.
#[must_use]
pub fn user_id() -> u32 {
    User::current().id
}

/// The maximum number of attempts to open a file that other processes replace at the same time.
const MAX_ATTEMPTS: usize = 16;

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// The file could not be read or written.
    #[error("{}: {}", path.display(), reason(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The path leads to a folder, a device or a pipe.
    #[error("{}: not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// Other users can read or write the file.
    #[error("{}: other users can read or write it (mode {mode:03o}); make it private with chmod 600", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The permissions of the file.
        mode: u32,
    },
    /// The caller chose [`Access::Group`] or [`Access::Mounted`], but users whom this access does not allow can read or
    /// write the file.
    #[error("{}: {why} (mode {mode:03o})", path.display())]
    Shared {
        /// The file.
        path: PathBuf,
        /// Who can read or write the file, and what to do.
        why: &'static str,
        /// The permissions of the file.
        mode: u32,
    },
    /// Other users can write to the file.
    #[error("{}: other users can write to it (mode {mode:03o}); take this right away with chmod go-w", path.display())]
    Writable {
        /// The file.
        path: PathBuf,
        /// The permissions of the file.
        mode: u32,
    },
    /// The file, a folder above it or a link to it belongs to another user.
    #[error("{}: it belongs to another user (id {owner}), who can replace it; use a file and folders of your own", path.display())]
    Foreign {
        /// The file, the folder or the link.
        path: PathBuf,
        /// The id of its owner.
        owner: u32,
    },
    /// The file has several names (hard links), and the folders of the other names were not checked.
    #[error("{}: the file has {names} names (hard links); make a copy with this name only", path.display())]
    Linked {
        /// The file.
        path: PathBuf,
        /// The number of its names.
        names: u64,
    },
    /// Other users can write to a folder on the way to the file, so they can replace the file.
    #[error(
        "{}: other users can replace it, because they can write to the folder {} (mode {mode:03o}); take this right away with chmod go-w, or use another folder",
        path.display(),
        folder.display()
    )]
    Replaceable {
        /// The file.
        path: PathBuf,
        /// The folder.
        folder: PathBuf,
        /// The permissions of the folder.
        mode: u32,
    },
    /// Each time the file was opened, another file took its name. Try again.
    #[error("{}: other processes keep replacing it; try again", .0.display())]
    Replaced(PathBuf),
    /// The file is longer than the limit that the caller gave.
    #[error("{}: longer than {limit} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
}

/// Returns why a file could not be read or written, in words and without the number of the system's error.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::NOENT) => "there is no such file".to_owned(),
        Some(Errno::ACCESS | Errno::PERM) => "this user has no right to it".to_owned(),
        Some(Errno::NOTDIR) => "a part of the path is not a folder".to_owned(),
        Some(Errno::ISDIR) => "it is a folder".to_owned(),
        Some(Errno::LOOP) => TOO_MANY_LINKS.to_owned(),
        Some(Errno::NAMETOOLONG) => "the path is too long".to_owned(),
        _ => {
            let text = error.to_string();
            let number = error.raw_os_error().map(|number| format!(" (os error {number})")).unwrap_or_default();
            text.strip_suffix(&number).unwrap_or(&text).to_owned()
        }
    }
}

/// The reason for a link that leads to itself, or for a long chain of links.
const TOO_MANY_LINKS: &str = "too many symbolic links";

fn missing(path: &Path) -> PrivateFileError {
    failed(path)(io::Error::from(Errno::NOENT))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> PrivateFileError {
    |source| PrivateFileError::Io { path: path.to_owned(), source }
}

/// Returns whether the file exists. Fails if the file is not private, or if another user can replace it.
///
/// Does not open the file, because SQLite may use it in this process. A process that closes a file loses all its locks
/// on that file.
///
/// # Errors
/// See [`PrivateFileError`].
pub fn check(path: &Path) -> Result<bool, PrivateFileError> {
    match User::current().follow(path)? {
        Some(found) => judge_private(path, &found).map(|()| true),
        None => Ok(false),
    }
}

/// Returns the text of a private file of at most `limit` bytes. `None` if the file does not exist.
///
/// # Errors
/// See [`PrivateFileError`].
pub fn read(path: &Path, limit: u64) -> Result<Option<String>, PrivateFileError> {
    read_with_access(path, limit, Access::Owner)
}

/// Returns the text of a file of at most `limit` bytes. Fails if other users can change the file, or if users whom
/// `access` does not allow can read it. Returns `None` if the file does not exist.
///
/// # Errors
/// See [`PrivateFileError`].
pub fn read_with_access(path: &Path, limit: u64, access: Access) -> Result<Option<String>, PrivateFileError> {
    let judge = |path: &Path, file: &File, found: &Metadata| access.judge(path, file, found);
    let Some(bytes) = read_judged(path, limit, judge)? else { return Ok(None) };
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let what = format!("not UTF-8 at byte {}; save the file as UTF-8", error.utf8_error().valid_up_to() + 1);
        failed(path)(io::Error::new(io::ErrorKind::InvalidData, what))
    })
}

/// Returns the bytes of a private file of at most `limit` bytes. `None` if the file does not exist.
///
/// # Errors
/// See [`PrivateFileError`].
pub fn read_bytes(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, PrivateFileError> {
    read_judged(path, limit, |path, _, found| judge_private(path, found))
}

fn read_judged(
    path: &Path,
    limit: u64,
    judge: impl Fn(&Path, &File, &Metadata) -> Result<(), PrivateFileError>,
) -> Result<Option<Vec<u8>>, PrivateFileError> {
    let Some(file) = open(path, User::current(), judge)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed(path))?;
    if bytes.len() as u64 > limit {
        return Err(PrivateFileError::TooLong { path: path.to_owned(), limit });
    }
    Ok(Some(bytes))
}

/// Opens a private file for reading. Use this function for a file that is too long to be read at once. Returns `None` if
/// the file does not exist.
///
/// # Errors
/// See [`PrivateFileError`].
pub fn open_private(path: &Path) -> Result<Option<File>, PrivateFileError> {
    open(path, User::current(), |path, _, found| judge_private(path, found))
}

/// Opens a private file to add text at its end. Creates the file if it does not exist, and private folders above it.
///
/// # Errors
/// See [`PrivateFileError`].
pub fn open_to_append(path: &Path) -> Result<File, PrivateFileError> {
    touch(path)?;
    OpenOptions::new().append(true).open(path).map_err(failed(path))
}

/// Opens a file that other users may read, but that they can neither change nor replace.
///
/// # Errors
/// See [`PrivateFileError`].
pub fn open_unwritable(path: &Path) -> Result<File, PrivateFileError> {
    let user = User::current();
    let judge = |path: &Path, _: &File, found: &Metadata| {
        judge_kind(path, found)?;
        user.check_unwritable(path, found)
    };
    open(path, user, judge)?.ok_or_else(|| missing(path))
}

/// Returns the bytes of a file of at most `limit` bytes that other users may read, but that they can neither change nor
/// replace. Use this function for a secret that another program writes, and whose readers that program chooses: for
/// example the token that Kubernetes mounts into each pod, which every user of the pod can read.
///
/// # Errors
/// See [`PrivateFileError`].
pub fn read_unwritable(path: &Path, limit: u64) -> Result<Vec<u8>, PrivateFileError> {
    let user = User::current();
    let judge = |path: &Path, _: &File, found: &Metadata| {
        judge_kind(path, found)?;
        user.check_unwritable(path, found)?;
        judge_names(path, found)
    };
    read_judged(path, limit, judge)?.ok_or_else(|| missing(path))
}

/// Checks the file of a private key for TLS, which another library reads afterwards. `access` says who may read the
/// file. As for PostgreSQL's own library, if the file belongs to root, its group may read it (mode 640 or 440).
///
/// Nobody but the owner and root can replace the file before the other library opens it, because the check includes the
/// folders and links on the way to it.
///
/// # Errors
/// See [`PrivateFileError`]. It is an error if the file does not exist.
pub fn check_tls_key(path: &Path, access: Access) -> Result<(), PrivateFileError> {
    let judge = |path: &Path, file: &File, found: &Metadata| {
        if found.uid() == ROOT && found.mode() & 0o037 == 0 {
            judge_kind(path, found)?;
            return judge_names(path, found);
        }
        access.judge(path, file, found)
    };
    open(path, User::current(), judge)?.map(drop).ok_or_else(|| missing(path))
}

/// Opens a regular file, even if other users can change it. So the caller must check the content. Unlike
/// [`File::open`], this function never waits for a pipe.
///
/// # Errors
/// See [`PrivateFileError`].
pub fn open_regular(path: &Path) -> Result<File, PrivateFileError> {
    let file = open_at_once(path).map_err(failed(path))?;
    let found = file.metadata().map_err(failed(path))?;
    judge_kind(path, &found).map(|()| file)
}

/// Returns the bytes of a regular file of at most `limit` bytes, even if other users can change it. So the caller must
/// check the content.
///
/// # Errors
/// See [`PrivateFileError`].
pub fn read_regular(path: &Path, limit: u64) -> Result<Vec<u8>, PrivateFileError> {
    let mut bytes = Vec::new();
    open_regular(path)?.take(limit + 1).read_to_end(&mut bytes).map_err(failed(path))?;
    if bytes.len() as u64 > limit {
        return Err(PrivateFileError::TooLong { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

/// Opens a file for reading. Then checks the open file, and the folders and links on the way to it. Returns `None` if
/// the file does not exist.
fn open(
    path: &Path,
    user: User,
    judge: impl Fn(&Path, &File, &Metadata) -> Result<(), PrivateFileError>,
) -> Result<Option<File>, PrivateFileError> {
    for _ in 0..MAX_ATTEMPTS {
        let file = match open_at_once(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(failed(path))?,
        };
        let opened = file.metadata().map_err(failed(path))?;
        let named = user.follow(path)?;
        user.check_owner(path, &opened)?;
        // Another process may have replaced or removed the file since it was opened. The open file is returned only if
        // it still has this name. No other user can have given it this name.
        if named.is_some_and(|named| (named.dev(), named.ino()) == (opened.dev(), opened.ino())) {
            return judge(path, &file, &opened).map(|()| Some(file));
        }
    }
    Err(PrivateFileError::Replaced(path.to_owned()))
}

/// Opens a file for reading. If the file is a pipe, does not wait for a process that writes to it.
fn open_at_once(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn judge_kind(path: &Path, found: &Metadata) -> Result<(), PrivateFileError> {
    if found.is_file() { Ok(()) } else { Err(PrivateFileError::NotAFile(path.to_owned())) }
}

fn judge_private(path: &Path, found: &Metadata) -> Result<(), PrivateFileError> {
    judge_kind(path, found)?;
    if found.mode() & 0o077 != 0 {
        return Err(PrivateFileError::Open { path: path.to_owned(), mode: found.mode() & 0o777 });
    }
    judge_names(path, found)
}

/// Checks that the file has no second name (hard link).
fn judge_names(path: &Path, found: &Metadata) -> Result<(), PrivateFileError> {
    match found.nlink() {
        0 | 1 => Ok(()),
        names => Err(PrivateFileError::Linked { path: path.to_owned(), names }),
    }
}

/// Creates an empty private file, and private folders above it. If the file exists, it must be private, and it stays
/// unchanged.
///
/// # Errors
/// See [`PrivateFileError`].
pub fn touch(path: &Path) -> Result<(), PrivateFileError> {
    create_folder_of(path)?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check(path).map(drop),
        Err(error) => Err(failed(path)(error)),
    }
}

/// Writes a private file, and creates private folders above it. Writes nothing if the file already exists. Returns
/// whether it wrote the file.
///
/// # Errors
/// See [`PrivateFileError`].
pub fn create(path: &Path, content: impl AsRef<[u8]>) -> Result<bool, PrivateFileError> {
    place(path, content.as_ref(), None, |draft| match rename_without_replacing(draft, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    })
}

/// Creates an empty private file and opens it for writing. Use this function for a file that is too long to be written
/// at once. Creates no folder. Returns `None` if a file or a folder has this name already.
///
/// # Errors
/// See [`PrivateFileError`].
pub fn create_new(path: &Path) -> Result<Option<File>, PrivateFileError> {
    // This check comes first, so that nothing is created in a folder whose entries somebody else can replace.
    User::current().follow(path)?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(failed(path)(error)),
    }
}

/// Writes a private file, and creates private folders above it. Replaces an existing file. A reader sees the whole old
/// content or the whole new content.
///
/// # Errors
/// See [`PrivateFileError`].
pub fn replace(path: &Path, content: impl AsRef<[u8]>) -> Result<(), PrivateFileError> {
    place(path, content.as_ref(), None, |draft| fs::rename(draft, path).map(|()| true)).map(drop)
}

/// Replaces a file as [`replace`] does. But if a group can read the existing file, and `access` allows that, the new
/// file gets the owner, group and mode of the existing file. If the new file can't get them, or if every user can read
/// the existing file, the function fails and changes nothing.
///
/// # Errors
/// See [`PrivateFileError`].
pub fn replace_with_access(path: &Path, text: &str, access: Access) -> Result<(), PrivateFileError> {
    let existing = open(path, User::current(), |path, file, found| access.judge(path, file, found))?;
    let found = existing.map(|file| file.metadata()).transpose().map_err(failed(path))?;
    let shared = found.filter(|found| found.mode() & 0o044 != 0);
    if let Some(found) = shared.as_ref().filter(|found| found.mode() & 0o004 != 0) {
        // The existing file is on a read-only mount, and `path` is a link to it. A new file would replace only this
        // link.
        return Err(PrivateFileError::Shared { path: path.to_owned(), why: MOUNTED, mode: found.mode() & 0o777 });
    }
    place(path, text.as_bytes(), shared.as_ref(), |draft| fs::rename(draft, path).map(|()| true)).map(drop)
}

const MOUNTED: &str = "it is on a read-only mount; change the original file, and mount it again";

/// Gives a draft the owner, the group and the mode of the file that it will replace.
fn share(draft: &File, found: &Metadata) -> io::Result<()> {
    let (owner, group, mode) = (found.uid(), found.gid(), found.mode() & 0o777);
    // The mode is set last, so that no other group can read the draft.
    let shared = fchown(draft, Some(owner), Some(group));
    shared.and_then(|()| draft.set_permissions(Permissions::from_mode(mode))).map_err(|error| {
        let kept = format!("its owner (id {owner}), group (id {group}) and mode ({mode:03o})");
        io::Error::other(format!("cannot keep {kept}, so nothing was changed; change it as its owner: {error}"))
    })
}

/// Writes the content to a temporary file (draft) beside `path`, and calls `put` to give the draft the name `path`. `put`
/// returns whether it gave the draft this name. Without `shared`, the draft is private. Otherwise the draft gets the
/// owner, group and mode of `shared`.
fn place(
    path: &Path,
    content: &[u8],
    shared: Option<&Metadata>,
    put: impl FnOnce(&Path) -> io::Result<bool>,
) -> Result<bool, PrivateFileError> {
    create_folder_of(path)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    // Other processes may write at the same time, so the name of the draft is random.
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| failed(path)(io::Error::other(error.to_string())))?;
    name.push(format!(".{}.new", hex::encode(random)));
    let draft = path.with_file_name(name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed(&draft))?;
    let written = file.write_all(content);
    let shared = written.and_then(|()| shared.map_or(Ok(()), |found| share(&file, found)));
    let placed = shared.and_then(|()| file.sync_all()).and_then(|()| put(&draft));
    // If `put` has renamed the draft, there is nothing left to remove, and the error is ignored.
    let _removed = fs::remove_file(&draft);
    if !placed.map_err(failed(path))? {
        return Ok(false);
    }
    // The name of a file is durable only after its folder is synced.
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(path))?;
    }
    Ok(true)
}

/// Locks the path against other processes until the returned file is dropped. Blocks until no other process holds the
/// lock.
///
/// # Errors
/// See [`PrivateFileError`].
pub fn lock(path: &Path) -> Result<File, PrivateFileError> {
    let lock_file = lock_file_of(path);
    touch(&lock_file)?;
    let missing = || failed(&lock_file)(io::Error::from(Errno::NOENT));
    lock_existing(path)?.ok_or_else(missing)
}

/// Locks the path as [`lock`] does, but creates no lock file. Returns `None` if no process has ever locked the path.
///
/// # Errors
/// See [`PrivateFileError`].
pub fn lock_existing(path: &Path) -> Result<Option<File>, PrivateFileError> {
    let path = lock_file_of(path);
    let file = open(&path, User::current(), |path, _, found| judge_private(path, found))?;
    let Some(file) = file else { return Ok(None) };
    file.lock().map(|()| Some(file)).map_err(failed(&path))
}

fn lock_file_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    path.with_file_name(name)
}

/// Gives a file another name in the same file system. Fails if a file has this name already.
fn rename_without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some network file systems can't do this. On such a file system, the file has two names until the caller
        // removes the first name. A process that reads the file in the meantime refuses it.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => fs::hard_link(from, to),
        renamed => Ok(renamed?),
    }
}

/// Creates private folders for a file. Checks that no other user can replace the file or a folder on the way to it.
///
/// # Errors
/// See [`PrivateFileError`].
pub fn create_folder_of(path: &Path) -> Result<(), PrivateFileError> {
    let user = User::current();
    // This check comes first, so that nothing is created in a folder whose entries somebody else can replace.
    user.follow(path)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed(folder))?;
    }
    user.follow(path).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_names_no_number_and_keeps_a_text_of_its_own() {
        for (error, expected) in [
            (io::Error::from(Errno::NOENT), "there is no such file"),
            (Errno::ACCESS.into(), "this user has no right to it"),
            (Errno::NOTDIR.into(), "a part of the path is not a folder"),
            (Errno::ISDIR.into(), "it is a folder"),
            (Errno::LOOP.into(), "too many symbolic links"),
            (Errno::NAMETOOLONG.into(), "the path is too long"),
            (Errno::NOSPC.into(), "No space left on device"),
            (io::Error::other("too many symbolic links"), "too many symbolic links"),
        ] {
            assert_eq!(reason(&error), expected);
        }
    }

    #[test]
    fn a_failed_write_leaves_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        fs::create_dir(&path).unwrap();
        replace(&path, "secret").unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn create_keeps_an_existing_file_and_replace_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/keys");
        assert!(create(&path, "first").unwrap());
        assert!(!create(&path, "second").unwrap());
        assert_eq!(read(&path, 5).unwrap().unwrap(), "first");
        replace(&path, "third").unwrap();
        assert_eq!(read(&path, 5).unwrap().unwrap(), "third");
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_file_that_a_group_may_read_keeps_its_group_and_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        replace_with_access(&path, "first", Access::Group).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600, "a new file is private");
        // The last group of the process differs from the group of a new file, if the process has several groups.
        let groups = rustix::process::getgroups().unwrap();
        let group = groups.last().map(|group| group.as_raw());
        std::os::unix::fs::chown(&path, None, group).unwrap();
        for mode in [0o640, 0o440, 0o600] {
            chmod(&path, mode);
            let found = fs::metadata(&path).unwrap();
            replace_with_access(&path, "third", Access::Group).unwrap();
            let replaced = fs::metadata(&path).unwrap();
            assert_ne!(replaced.ino(), found.ino());
            assert_eq!(replaced.mode() & 0o777, mode);
            if mode != 0o600 {
                assert_eq!((replaced.uid(), replaced.gid()), (found.uid(), found.gid()));
            }
            assert_eq!(read_with_access(&path, 5, Access::Group).unwrap().as_deref(), Some("third"));
        }
        chmod(&path, 0o640);
        assert!(matches!(replace_with_access(&path, "fourth", Access::Owner), Err(PrivateFileError::Open { .. })));
        assert_eq!(read_with_access(&path, 5, Access::Group).unwrap().as_deref(), Some("third"));
    }

    /// Root can give a draft to every owner, so this test checks nothing if root runs it.
    #[test]
    fn a_draft_that_can_not_get_the_owner_of_the_file_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        replace(&path, "first").unwrap();
        if User::current().id != 0 {
            let of_root = fs::metadata("/").unwrap();
            let error = place(&path, b"second", Some(&of_root), |_| Ok(true)).unwrap_err().to_string();
            assert!(error.contains(": cannot keep its owner (id 0), group (id 0)"), "{error}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
            assert_eq!(read(&path, 5).unwrap().as_deref(), Some("first"));
        }
    }

    #[test]
    fn a_file_that_other_users_can_reach_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        touch(&path).unwrap();
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let expected = format!(
                "{}: other users can read or write it (mode {mode:03o}); make it private with chmod 600",
                path.display()
            );
            assert_eq!(read(&path, 5).unwrap_err().to_string(), expected);
            assert_eq!(touch(&path).unwrap_err().to_string(), expected);
        }
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// A function of this crate that uses a private file, and the name of the function.
    type Use = (&'static str, fn(&Path) -> Result<(), PrivateFileError>);

    const USES: [Use; 5] = [
        ("check", |path| check(path).map(drop)),
        ("create", |path| create(path, "text").map(drop)),
        ("lock", |path| lock(path).map(drop)),
        ("read", |path| read(path, 5).map(drop)),
        ("touch", touch),
    ];

    #[test]
    fn only_lock_creates_the_lock_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        assert!(lock_existing(&path).unwrap().is_none());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        drop(lock(&path).unwrap());
        assert!(lock_existing(&path).unwrap().is_some());
        assert!(folder.path().join("keys.lock").exists());
    }

    #[test]
    fn a_file_in_a_folder_that_other_users_can_write_to_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (outer, inner) = (folder.path().join("outer"), folder.path().join("outer/inner"));
        let path = inner.join("keys");
        touch(&path).unwrap();
        for open in [&outer, &inner] {
            chmod(open, 0o777);
            let expected = format!(
                "{}: other users can replace it, because they can write to the folder {} (mode 777); take this right \
                 away with chmod go-w, or use another folder",
                path.display(),
                open.canonicalize().unwrap().display()
            );
            for (name, used) in USES.iter().filter(|(name, _)| *name != "lock") {
                assert_eq!(used(&path).unwrap_err().to_string(), expected, "{name}");
            }
            assert_eq!(open_unwritable(&path).unwrap_err().to_string(), expected);
            assert!(matches!(lock(&path), Err(PrivateFileError::Replaceable { .. })));
            assert!(matches!(replace(&path, "text"), Err(PrivateFileError::Replaceable { .. })));
            assert!(matches!(touch(&inner.join("new/keys")), Err(PrivateFileError::Replaceable { .. })));
            assert!(!inner.join("new").exists(), "no folder is created where it could be replaced");
            // With the sticky bit, only the owner of an entry can rename or remove it.
            chmod(open, 0o1777);
            assert_eq!(read(&path, 5).unwrap().as_deref(), Some(""));
            chmod(open, 0o700);
        }
        assert_eq!(read(&path, 5).unwrap().as_deref(), Some(""));
    }

    #[test]
    fn a_link_is_followed_and_the_folders_on_its_way_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        replace(&at("real/keys"), "text").unwrap();
        fs::create_dir(at("open")).unwrap();
        // The first link is relative and leads to the file. The second link is in the folder `open` and leads to the
        // first link. The third link leads to the folder `open`.
        std::os::unix::fs::symlink("real/keys", at("first")).unwrap();
        std::os::unix::fs::symlink("../first", at("open/second")).unwrap();
        std::os::unix::fs::symlink(at("open"), at("third")).unwrap();
        for path in ["first", "open/second", "third/second", "third/../real/keys"].map(at) {
            assert_eq!(read(&path, 5).unwrap().as_deref(), Some("text"), "{}", path.display());
        }
        chmod(&at("open"), 0o777);
        for path in ["open/second", "third/second"].map(at) {
            assert!(matches!(read(&path, 5), Err(PrivateFileError::Replaceable { .. })), "{}", path.display());
        }
        chmod(&at("open"), 0o700);
        chmod(&at("real"), 0o777);
        for path in ["first", "open/second", "third/second"].map(at) {
            assert!(matches!(read(&path, 5), Err(PrivateFileError::Replaceable { .. })), "{}", path.display());
        }
        std::os::unix::fs::symlink("loop", at("loop")).unwrap();
        assert!(matches!(check(&at("loop")), Err(PrivateFileError::Io { .. })));
    }

    /// Returns a user who does not own the file or folder at this path. If the test runs as root, changes the owner at
    /// this path and returns root. Otherwise leaves the owner and returns a user with another id.
    fn another_user(path: &Path) -> User {
        const NOBODY: u32 = 65_534;
        let user = User::current();
        if user.id != 0 {
            return User { id: user.id + 1 };
        }
        std::os::unix::fs::lchown(path, Some(NOBODY), None).unwrap();
        user
    }

    #[test]
    fn a_file_a_folder_and_a_link_of_another_user_are_refused() {
        for foreign in ["folder", "folder/keys", "link"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("link");
            replace(&folder.path().join("folder/keys"), "text").unwrap();
            std::os::unix::fs::symlink("folder/keys", &path).unwrap();
            let user = another_user(&folder.path().join(foreign));
            let found = open(&path, user, |path, _, found| judge_private(path, found));
            assert!(matches!(&found, Err(PrivateFileError::Foreign { .. })), "{foreign}: {found:?}");
            let text = found.unwrap_err().to_string();
            assert!(text.contains(": it belongs to another user (id "), "{text}");
        }
    }

    #[test]
    fn a_file_with_two_names_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        replace(&path, "text").unwrap();
        fs::hard_link(&path, folder.path().join("copy")).unwrap();
        let expected =
            format!("{}: the file has 2 names (hard links); make a copy with this name only", path.display());
        assert_eq!(read(&path, 5).unwrap_err().to_string(), expected);
        assert_eq!(check(&path).unwrap_err().to_string(), expected);
        // A program may have several names.
        open_unwritable(&path).unwrap();
    }

    #[test]
    fn a_program_may_be_readable_but_not_writable_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        replace(&path, "text").unwrap();
        for mode in [0o644, 0o755, 0o600] {
            chmod(&path, mode);
            open_unwritable(&path).unwrap();
        }
        for mode in [0o646, 0o602] {
            chmod(&path, mode);
            let expected = format!(
                "{}: other users can write to it (mode {mode:03o}); take this right away with chmod go-w",
                path.display()
            );
            assert_eq!(open_unwritable(&path).unwrap_err().to_string(), expected);
            open_regular(&path).unwrap();
        }
    }

    #[test]
    fn a_file_that_others_may_change_is_read_up_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authorities");
        fs::write(&path, "12345").unwrap();
        chmod(&path, 0o666);
        assert_eq!(read_regular(&path, 5).unwrap(), b"12345");
        let too_long = format!("{}: longer than 4 bytes", path.display());
        assert_eq!(read_regular(&path, 4).unwrap_err().to_string(), too_long);
        assert!(matches!(read_regular(Path::new("/dev/zero"), 4), Err(PrivateFileError::NotAFile(_))));
    }

    /// A pipe that nobody writes to would block a reader forever. On macOS, rustix can't make a pipe with a name.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_pipe_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(matches!(read(&path, 5), Err(PrivateFileError::NotAFile(_))));
        assert!(matches!(open_unwritable(&path), Err(PrivateFileError::NotAFile(_))));
        assert!(matches!(open_regular(&path), Err(PrivateFileError::NotAFile(_))));
    }

    /// A reader may open a file while another process replaces it. The reader must then return the text or the error
    /// `Replaced`, but no other error.
    #[test]
    fn a_file_can_be_read_while_it_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        replace(&path, "text").unwrap();
        std::thread::scope(|scope| {
            let replacing = scope.spawn(|| (0..200).for_each(|_| replace(&path, "text").unwrap()));
            while !replacing.is_finished() {
                match read(&path, 5) {
                    Ok(text) => assert_eq!(text.as_deref(), Some("text")),
                    Err(error) => assert!(matches!(error, PrivateFileError::Replaced(_)), "{error}"),
                }
            }
        });
    }

    #[test]
    fn a_folder_and_a_long_file_are_refused_and_a_missing_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read(folder.path(), 5), Err(PrivateFileError::NotAFile(_))));
        let path = folder.path().join("keys");
        assert_eq!(read(&path, 5).unwrap(), None);
        replace(&path, "123456").unwrap();
        assert!(matches!(read(&path, 5), Err(PrivateFileError::TooLong { limit: 5, .. })));
    }
}
