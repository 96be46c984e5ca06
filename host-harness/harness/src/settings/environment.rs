//! Environment variables for secrets, and for settings that belong to a secret. Clap does not read these variables,
//! because clap would also accept each of them as an option, and every user of the machine can read the arguments of a
//! process.

use std::env::{VarError, var};

use tiktok_shop_host::events::Actor;

use crate::failure::Failure;

/// Clap reads this variable, too. The option `--version` reads it here, because clap does not parse the other settings
/// then.
pub(crate) const COMPONENT: &str = "TIKTOK_SHOP_COMPONENT";
pub(crate) const STORAGE: &str = "TIKTOK_SHOP_STORAGE";
pub(crate) const CONTRACT_STORAGE: &str = "TIKTOK_SHOP_CONTRACT_STORAGE";
pub(crate) const HOST_KEYS: &str = "TIKTOK_SHOP_HOST_KEYS";
pub(crate) const PROXY: &str = "TIKTOK_SHOP_PROXY";
pub(crate) const PROXY_CERTIFICATES: &str = "TIKTOK_SHOP_PROXY_CERTIFICATES";
/// The token with which the program authenticates to the key service.
pub(crate) const KEY_SERVICE_TOKEN: &str = "TIKTOK_SHOP_KEY_SERVICE_TOKEN";
/// The secret id with which the program logs in to the key service as an AppRole.
pub(crate) const KEY_SERVICE_SECRET_ID: &str = "TIKTOK_SHOP_KEY_SERVICE_SECRET_ID";
pub(crate) const APP_KEY: &str = "TIKTOK_SHOP_APP_KEY";
pub(crate) const APP_SECRET: &str = "TIKTOK_SHOP_APP_SECRET";
pub(crate) const PREVIOUS_APP_SECRET: &str = "TIKTOK_SHOP_PREVIOUS_APP_SECRET";
pub(crate) const AUTHORIZATION_LINK: &str = "TIKTOK_SHOP_AUTHORIZATION_LINK";

/// The variables in which systems put the name of the user: first Unix, then Windows.
const USER: [&str; 3] = ["USER", "LOGNAME", "USERNAME"];

/// Returns the user of this machine as an actor. `None` if no variable has a name that an actor can have. The name is
/// not verified: the user can set these variables, and can also name any actor with an option.
pub(super) fn user() -> Option<Actor> {
    USER.iter().find_map(|name| variable(name).ok().flatten()?.parse().ok())
}

/// Returns the value of a variable. `None` if the variable is not set, or if it is empty.
///
/// # Errors
/// The value is not UTF-8.
#[expect(clippy::disallowed_methods, reason = "with clap, each of these variables would also be an option")]
pub(crate) fn variable(name: &str) -> Result<Option<String>, Failure> {
    match var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(Failure::Malformed(format!("{name}: not UTF-8"))),
    }
}
