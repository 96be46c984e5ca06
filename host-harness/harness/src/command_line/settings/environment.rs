//! Variables that are no options: what every user of this machine could read among a process's arguments.

use std::env::{VarError, var};

use crate::command_line::failure::Failure;

pub(crate) const STORAGE: &str = "TIKTOK_SHOP_STORAGE";
pub(crate) const CONTRACT_STORAGE: &str = "TIKTOK_SHOP_CONTRACT_STORAGE";
pub(crate) const HOST_KEYS: &str = "TIKTOK_SHOP_HOST_KEYS";
pub(crate) const APP_KEY: &str = "TIKTOK_SHOP_APP_KEY";
pub(crate) const APP_SECRET: &str = "TIKTOK_SHOP_APP_SECRET";
pub(crate) const PREVIOUS_APP_SECRET: &str = "TIKTOK_SHOP_PREVIOUS_APP_SECRET";
pub(crate) const AUTHORIZATION_LINK: &str = "TIKTOK_SHOP_AUTHORIZATION_LINK";

/// The value of a variable; none if it is empty.
///
/// # Errors
/// It is not UTF-8.
#[expect(clippy::disallowed_methods, reason = "clap would take each of these as an argument, too")]
pub(crate) fn variable(name: &str) -> Result<Option<String>, Failure> {
    match var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(Failure::Malformed(format!("{name}: not UTF-8"))),
    }
}
