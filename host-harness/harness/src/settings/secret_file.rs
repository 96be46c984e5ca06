//! Secrets in files: for each variable that contains a secret, the variable `…_FILE` names a file that contains the
//! value. Containers and systemd provide secrets as files.

use std::path::Path;

use tiktok_shop_private_file::{self as private_file, Access};

use super::environment::{
    APP_SECRET, APP_SECRET_FILE, KEY_SERVICE_SECRET_ID, KEY_SERVICE_SECRET_ID_FILE, KEY_SERVICE_TOKEN,
    KEY_SERVICE_TOKEN_FILE, PREVIOUS_APP_SECRET, PREVIOUS_APP_SECRET_FILE, PROXY, PROXY_FILE, STORAGE, STORAGE_FILE,
};
use crate::failure::access_advice;

/// The variables that contain secrets, each with the variable that names the file. The file of
/// [`HOST_KEYS`](super::HOST_KEYS) is the key file.
pub(super) const FILES: [(&str, &str); 6] = [
    (STORAGE, STORAGE_FILE),
    (KEY_SERVICE_TOKEN, KEY_SERVICE_TOKEN_FILE),
    (KEY_SERVICE_SECRET_ID, KEY_SERVICE_SECRET_ID_FILE),
    (PROXY, PROXY_FILE),
    (APP_SECRET, APP_SECRET_FILE),
    (PREVIOUS_APP_SECRET, PREVIOUS_APP_SECRET_FILE),
];

/// The maximum size of the file of a variable: 64 KiB.
pub(super) const MAX_BYTES: u64 = 64 << 10;

/// Returns the text of a file of at most `limit` bytes. `access` says who may read the file. The error contains no text
/// of the file.
pub(super) fn read(path: &Path, limit: u64, access: Access) -> Result<String, String> {
    match private_file::read_with_access(path, limit, access) {
        Ok(Some(text)) => Ok(text),
        Ok(None) => Err(format!("there is no file {}; correct the path", path.display())),
        Err(error) => Err(format!("{error}{}", access_advice(&error))),
    }
}
