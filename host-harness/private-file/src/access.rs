//! Decides who may read a file with secrets: only its owner, or also the users to whom a container's mount gives
//! access.

use std::fmt;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::str::FromStr;

use rustix::fs::{StatVfsMountFlags, fstatvfs};
use rustix::process::{getegid, getgroups};

use crate::{PrivateFileError, failed, judge_kind, judge_names, judge_private};

/// The users who may read a file with secrets. In each case, only the owner may write to the file, and the owner must
/// be the user of this process or root. The default is [`Owner`](Self::Owner), because every other case must be an
/// explicit choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Access {
    /// Only the owner: mode 600 or 400.
    #[default]
    Owner,
    /// Also a group to which this process belongs: mode 440 or 640. Kubernetes mounts secrets with mode 440 if the pod
    /// has an `fsGroup` and the volume has `defaultMode: 0440`.
    Group,
    /// As [`Group`](Self::Group). In addition, every user may read the file (mode 444) if the file is on a read-only
    /// mount. Docker and Kubernetes mount secrets like this by default. There, a file may also be readable for a group
    /// to which this process does not belong: systemd gives a service access to its credentials by an ACL, and the
    /// mode of such a file is 440. Only the processes of the container or of the service see the mount, so choose
    /// `Mounted` only in a container that runs nothing else, or for the credentials of a service.
    Mounted,
}

/// The error for a text that names no [`Access`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of owner, group, mounted")]
pub struct UnknownAccess;

impl FromStr for Access {
    type Err = UnknownAccess;

    fn from_str(text: &str) -> Result<Self, UnknownAccess> {
        match text {
            "owner" => Ok(Self::Owner),
            "group" => Ok(Self::Group),
            "mounted" => Ok(Self::Mounted),
            _ => Err(UnknownAccess),
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "owner",
            Self::Group => "group",
            Self::Mounted => "mounted",
        })
    }
}

const WRITABLE: &str = "other users can write to it; take this right away with chmod go-w";
const READABLE: &str = "every user can read it, and access by group does not allow that; choose access mounted if a \
                        container mounts it read-only, or take this right away with chmod o-r";
const NOT_READ_ONLY: &str = "every user can read it, and it is not on a read-only mount; mount it read-only, or take \
                             this right away with chmod o-r";
const FOREIGN_GROUP: &str = "a group can read it to which this process does not belong; give the file to a group of \
                             this process, or take this right away with chmod g-r";

impl Access {
    /// Checks that only the users whom this access allows can read an open file, and that only the owner can write to
    /// it.
    pub(crate) fn judge(self, path: &Path, file: &File, found: &Metadata) -> Result<(), PrivateFileError> {
        if self == Self::Owner {
            return judge_private(path, found);
        }
        judge_kind(path, found)?;
        let mode = found.mode() & 0o777;
        let shared = |why| Err(PrivateFileError::Shared { path: path.to_owned(), why, mode });
        if mode & 0o022 != 0 {
            return shared(WRITABLE);
        }
        let is_for_everybody = mode & 0o004 != 0;
        let is_for_strangers = !is_for_everybody && mode & 0o040 != 0 && !is_own_group(path, found.gid())?;
        if self == Self::Group && is_for_everybody {
            return shared(READABLE);
        }
        if self == Self::Group && is_for_strangers {
            return shared(FOREIGN_GROUP);
        }
        if is_for_everybody || is_for_strangers {
            let mount = fstatvfs(file).map_err(|error| failed(path)(error.into()))?;
            if !mount.f_flag.contains(StatVfsMountFlags::RDONLY) {
                return shared(if is_for_everybody { NOT_READ_ONLY } else { FOREIGN_GROUP });
            }
        }
        judge_names(path, found)
    }
}

/// Returns whether this process belongs to a group.
fn is_own_group(path: &Path, id: u32) -> Result<bool, PrivateFileError> {
    let groups = getgroups().map_err(|error| failed(path)(error.into()))?;
    Ok(getegid().as_raw() == id || groups.iter().any(|group| group.as_raw() == id))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::read_with_access;

    fn file_with_mode(folder: &Path, mode: u32) -> std::path::PathBuf {
        let path = folder.join(format!("{mode:o}"));
        fs::write(&path, "text").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    fn refusal(path: &Path, access: Access) -> Option<String> {
        let read = read_with_access(path, 5, access);
        read.err().map(|error| error.to_string().replace(&format!("{}: ", path.display()), ""))
    }

    #[test]
    fn each_access_allows_its_modes_and_refuses_the_others() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o400] {
            let path = file_with_mode(folder.path(), mode);
            for access in [Access::Owner, Access::Group, Access::Mounted] {
                assert_eq!(refusal(&path, access), None, "{mode:o} {access}");
            }
        }
        for mode in [0o440, 0o640] {
            let path = file_with_mode(folder.path(), mode);
            let expected =
                format!("other users can read or write it (mode {mode:03o}); make it private with chmod 600");
            assert_eq!(refusal(&path, Access::Owner), Some(expected));
            assert_eq!(refusal(&path, Access::Group), None);
            assert_eq!(refusal(&path, Access::Mounted), None);
        }
        for mode in [0o444, 0o644] {
            let path = file_with_mode(folder.path(), mode);
            assert_eq!(refusal(&path, Access::Group), Some(format!("{READABLE} (mode {mode:03o})")));
            // A temporary folder is not a read-only mount.
            assert_eq!(refusal(&path, Access::Mounted), Some(format!("{NOT_READ_ONLY} (mode {mode:03o})")));
        }
        for mode in [0o660, 0o602, 0o666, 0o620] {
            let path = file_with_mode(folder.path(), mode);
            for access in [Access::Group, Access::Mounted] {
                assert_eq!(refusal(&path, access), Some(format!("{WRITABLE} (mode {mode:03o})")));
            }
        }
    }

    /// Only root can give a file to a group to which root does not belong. If another user runs this test, the test
    /// does not check the refusal.
    #[test]
    fn a_file_of_a_group_to_which_the_process_does_not_belong_is_refused() {
        const NO_GROUP: u32 = 64_321;
        let folder = tempfile::tempdir().unwrap();
        let path = file_with_mode(folder.path(), 0o440);
        assert!(!is_own_group(&path, NO_GROUP).unwrap());
        if std::os::unix::fs::chown(&path, None, Some(NO_GROUP)).is_ok() {
            // A temporary folder is not a read-only mount.
            for access in [Access::Group, Access::Mounted] {
                assert_eq!(refusal(&path, access), Some(format!("{FOREIGN_GROUP} (mode 440)")));
            }
        }
    }

    /// This test uses files of the kernel. They belong to root, and every user can read them. In many containers their
    /// mount is read-only.
    #[test]
    fn a_file_on_a_read_only_mount_may_be_readable_for_everybody() {
        let read_only = ["/sys/kernel/mm/transparent_hugepage/enabled", "/sys/kernel/notes", "/proc/version"];
        for path in read_only.map(Path::new) {
            let Ok(file) = File::open(path) else { continue };
            let found = file.metadata().unwrap();
            let is_read_only = fstatvfs(&file).unwrap().f_flag.contains(StatVfsMountFlags::RDONLY);
            let is_readable_only = found.mode() & 0o022 == 0 && found.mode() & 0o004 != 0;
            let accepted = Access::Mounted.judge(path, &file, &found).is_ok();
            assert_eq!(accepted, is_read_only && is_readable_only, "{}", path.display());
            Access::Group.judge(path, &file, &found).unwrap_err();
        }
    }

    #[test]
    fn an_access_is_written_as_one_word() {
        for access in [Access::Owner, Access::Group, Access::Mounted] {
            assert_eq!(access.to_string().parse(), Ok(access));
        }
        assert_eq!("Group".parse::<Access>(), Err(UnknownAccess));
        assert_eq!(Access::default(), Access::Owner);
    }
}
