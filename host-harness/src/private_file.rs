//! Files that only their owner reads and writes: keys, configuration with secrets, databases.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::id::random_bits;
use crate::randomness::SystemRandomness;

/// Why a file that must be private is not used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// It could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is a folder, a device, a pipe.
    #[error("{}: not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// Others than its owner may read or write it.
    #[error("{}: others can reach it (mode {mode:03o}); chmod 600 makes it private", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is longer than anything that belongs in it.
    #[error("{}: longer than {limit} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> PrivateFileError {
    |source| PrivateFileError::Io { path: path.to_owned(), source }
}

/// Refuses a file that others can reach. `false`: there is none.
pub(crate) fn check(path: &Path) -> Result<bool, PrivateFileError> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(PrivateFileError::NotAFile(path.to_owned())),
        Ok(found) if found.mode() & 0o077 != 0 => {
            Err(PrivateFileError::Open { path: path.to_owned(), mode: found.mode() & 0o777 })
        }
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(path)(error)),
    }
}

/// The text of a private file; `None`: there is none.
///
/// # Errors
/// See [`PrivateFileError`].
pub fn read(path: &Path, limit: u64) -> Result<Option<String>, PrivateFileError> {
    if !check(path)? {
        return Ok(None);
    }
    let mut text = String::new();
    let file = File::open(path).map_err(failed(path))?;
    file.take(limit + 1).read_to_string(&mut text).map_err(failed(path))?;
    if text.len() as u64 > limit {
        return Err(PrivateFileError::TooLong { path: path.to_owned(), limit });
    }
    Ok(Some(text))
}

/// Makes an empty private file, and private folders above it, unless there is one; then it must be private.
pub(crate) fn touch(path: &Path) -> Result<(), PrivateFileError> {
    folder_of(path)?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check(path).map(drop),
        Err(error) => Err(failed(path)(error)),
    }
}

/// Puts a whole private file in place, and private folders above it. `replace: false`: unless there is one, whoever made it;
/// then `false`.
///
/// # Errors
/// See [`PrivateFileError`].
pub fn write(path: &Path, text: &str, replace: bool) -> Result<bool, PrivateFileError> {
    folder_of(path)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    // Of its own: others may write at the same time.
    name.push(format!(".{:032x}.new", random_bits(&SystemRandomness).map_err(failed(path))?));
    let draft = path.with_file_name(name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed(&draft))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let placed = written.and_then(|()| if replace { fs::rename(&draft, path) } else { fs::hard_link(&draft, path) });
    if !replace || placed.is_err() {
        let _draft = fs::remove_file(&draft);
    }
    match placed {
        Ok(()) => {}
        Err(error) if !replace && error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(failed(path)(error)),
    }
    // The name is durable when its folder is.
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(path))?;
    }
    Ok(true)
}

/// Until what this returns is dropped, nobody else gets past here for this path. Blocks.
pub(crate) fn lock(path: &Path) -> Result<File, PrivateFileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    let path = path.with_file_name(name);
    touch(&path)?;
    File::open(&path).and_then(|file| file.lock().map(|()| file)).map_err(failed(&path))
}

fn folder_of(path: &Path) -> Result<(), PrivateFileError> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed(folder)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_draft_that_could_not_be_put_in_place_does_not_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        fs::create_dir(&path).unwrap();
        write(&path, "secret", true).unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_written_is_private_and_whole_and_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/keys");
        assert!(write(&path, "first", false).unwrap());
        assert!(!write(&path, "second", false).unwrap());
        assert_eq!(read(&path, 5).unwrap().unwrap(), "first");
        assert!(write(&path, "third", true).unwrap());
        assert_eq!(read(&path, 5).unwrap().unwrap(), "third");
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn what_others_can_reach_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        touch(&path).unwrap();
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let told = format!("{}: others can reach it (mode {mode:03o}); chmod 600 makes it private", path.display());
            assert_eq!(read(&path, 5).unwrap_err().to_string(), told);
            assert_eq!(touch(&path).unwrap_err().to_string(), told);
        }
    }

    #[test]
    fn what_is_no_file_or_too_long_is_refused_and_what_is_not_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read(folder.path(), 5), Err(PrivateFileError::NotAFile(_))));
        let path = folder.path().join("keys");
        assert_eq!(read(&path, 5).unwrap(), None);
        write(&path, "123456", true).unwrap();
        assert!(matches!(read(&path, 5), Err(PrivateFileError::TooLong { limit: 5, .. })));
    }
}
