//! Private files: files that only their owner can read and write, for keys, configuration with secrets, and databases.
//!
//! This crate works on Unix only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Why a private file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// The file could not be read or written.
    #[error("{}: {source}", path.display())]
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
    /// The file is longer than any valid content.
    #[error("{}: longer than {limit} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> PrivateFileError {
    |source| PrivateFileError::Io { path: path.to_owned(), source }
}

/// Returns whether the file exists. Fails if the file is not private.
///
/// # Errors
/// See [`PrivateFileError`].
pub fn check(path: &Path) -> Result<bool, PrivateFileError> {
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

/// Returns the text of a private file of at most `limit` bytes. `None` if the file does not exist.
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

/// Creates an empty private file and private folders above it. An existing file must be private and stays unchanged.
///
/// # Errors
/// See [`PrivateFileError`].
pub fn touch(path: &Path) -> Result<(), PrivateFileError> {
    folder_of(path)?;
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
pub fn create(path: &Path, text: &str) -> Result<bool, PrivateFileError> {
    place(path, text, |draft| match fs::hard_link(draft, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    })
}

/// Writes a private file, and creates private folders above it. Replaces an existing file. A reader sees the whole old
/// text or the whole new text.
///
/// # Errors
/// See [`PrivateFileError`].
pub fn replace(path: &Path, text: &str) -> Result<(), PrivateFileError> {
    place(path, text, |draft| fs::rename(draft, path).map(|()| true)).map(drop)
}

/// Writes the text to a draft beside `path`, and calls `put` to give the draft the name `path`. `put` returns whether
/// it gave the draft this name.
fn place(path: &Path, text: &str, put: impl FnOnce(&Path) -> io::Result<bool>) -> Result<bool, PrivateFileError> {
    folder_of(path)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    // Other processes may write at the same time, so the name of the draft is random.
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| failed(path)(io::Error::other(error.to_string())))?;
    name.push(format!(".{}.new", hex::encode(random)));
    let draft = path.with_file_name(name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed(&draft))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let placed = written.and_then(|()| put(&draft));
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
    fn a_file_that_other_users_can_reach_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        touch(&path).unwrap();
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let expected = format!(
                "{}: other users can read or write it (mode {mode:03o}); make it private with chmod 600",
                path.display()
            );
            assert_eq!(read(&path, 5).unwrap_err().to_string(), expected);
            assert_eq!(touch(&path).unwrap_err().to_string(), expected);
        }
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
