//! Returns the default paths of this user's files.

use std::path::PathBuf;

use etcetera::app_strategy::Xdg;
use etcetera::{AppStrategy as _, AppStrategyArgs};

use super::environment::check_folders;
use crate::failure::Failure;

/// Returns the path of the configuration file.
pub(crate) fn config_file() -> Result<PathBuf, Failure> {
    Ok(folders()?.in_config_dir("config.toml"))
}

/// Returns the path of the database for TikTok Shop.
pub(crate) fn database() -> Result<PathBuf, Failure> {
    Ok(folders()?.in_data_dir("connections.sqlite"))
}

/// Returns the path of the database for a fake. This database is separate, because a fake refuses the refresh tokens of
/// TikTok Shop.
pub(crate) fn fake_database() -> Result<PathBuf, Failure> {
    Ok(folders()?.in_data_dir("fake-connections.sqlite"))
}

/// Returns the path of the file of host keys.
pub(crate) fn key_file() -> Result<PathBuf, Failure> {
    Ok(folders()?.in_data_dir("host-keys"))
}

/// Returns the path of the file of host keys for databases of a fake. This file is separate, because `keys rotate
/// --retire` removes every host key that the database of the command no longer needs. A key file must therefore not
/// serve two databases.
pub(crate) fn fake_key_file() -> Result<PathBuf, Failure> {
    Ok(folders()?.in_data_dir("fake-host-keys"))
}

/// Returns the path of the file that contains this user's browser session.
pub(crate) fn browser_session_file() -> Result<PathBuf, Failure> {
    Ok(folders()?.in_data_dir("browser-session"))
}

/// Returns the folder in which the program caches the compiled component. `None` if the home folder is unknown.
///
/// # Errors
/// A variable contains a relative path.
pub(super) fn compiled_cache() -> Result<Option<PathBuf>, Failure> {
    check_folders()?;
    Ok(folders().ok().map(|folders| folders.in_cache_dir("compiled")))
}

fn folders() -> Result<Xdg, Failure> {
    check_folders()?;
    Xdg::new(AppStrategyArgs { app_name: "tiktok-shop-harness".to_owned(), ..AppStrategyArgs::default() })
        .map_err(|_| Failure::Malformed("the home folder is unknown; set HOME".to_owned()))
}
