//! Where this user's files are, unless told otherwise.

use std::path::PathBuf;

use etcetera::app_strategy::Xdg;
use etcetera::{AppStrategy as _, AppStrategyArgs};

use crate::command_line::failure::Failure;

/// The configuration file, which may be missing.
pub(crate) fn config_file() -> Result<PathBuf, Failure> {
    Ok(strategy()?.in_config_dir("config.toml"))
}

/// The database. What is connected to a fake never meets what is connected to TikTok Shop, whose refresh tokens a fake would
/// refuse.
pub(crate) fn database(of_a_fake: bool) -> Result<PathBuf, Failure> {
    Ok(strategy()?.in_data_dir(if of_a_fake { "fake-connections.sqlite" } else { "connections.sqlite" }))
}

/// The host keys.
pub(crate) fn key_file() -> Result<PathBuf, Failure> {
    Ok(strategy()?.in_data_dir("host-keys"))
}

/// What stands for this user's browser.
pub(crate) fn browser_session() -> Result<PathBuf, Failure> {
    Ok(strategy()?.in_data_dir("browser-session"))
}

fn strategy() -> Result<Xdg, Failure> {
    Xdg::new(AppStrategyArgs { app_name: "tiktok-shop-harness".to_owned(), ..AppStrategyArgs::default() })
        .map_err(|_| Failure::Malformed("no home folder is known: set HOME".to_owned()))
}
