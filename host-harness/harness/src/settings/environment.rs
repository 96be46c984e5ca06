//! The environment variables of the program: which there are, which characters each may have, and how each is read. A
//! variable that is set but empty is an error, and so is a variable whose name is almost that of a setting.
//!
//! Clap reads the variables that belong to an option. This module reads the variables of secrets, and of settings that
//! belong to a secret. If clap read these variables, it would also accept each of them as an option, and every user of
//! the machine can read the arguments of a process. [`check`] checks all variables before the command runs.

use std::env::{VarError, var, vars_os};

use strsim::osa_distance;
use tiktok_shop_host::events::Actor;
use tiktok_shop_private_file as private_file;

use super::configured_text::{InvalidText, Rule, cleaned};
use crate::failure::Failure;

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
pub(crate) const TENANT: &str = "TIKTOK_SHOP_TENANT";
pub(crate) const KEY_FILE: &str = "TIKTOK_SHOP_KEY_FILE";
pub(crate) const FILE_ACCESS: &str = "TIKTOK_SHOP_FILE_ACCESS";
pub(crate) const CONFIG: &str = "TIKTOK_SHOP_CONFIG";
pub(crate) const FAKE: &str = "TIKTOK_SHOP_FAKE";
pub(crate) const ACTOR: &str = "TIKTOK_SHOP_ACTOR";
/// Clap reads this variable for the option `--component`. With `--version`, clap does not parse the other settings, so
/// the program reads the variable itself.
pub(crate) const COMPONENT: &str = "TIKTOK_SHOP_COMPONENT";
pub(crate) const COMPONENT_SHA256: &str = "TIKTOK_SHOP_COMPONENT_SHA256";

/// Every variable of the program, and the characters that its value may have.
const VARIABLES: [(&str, Rule); 19] = [
    (STORAGE, Rule::OneLine),
    (CONTRACT_STORAGE, Rule::OneLine),
    (HOST_KEYS, Rule::VisibleAsciiWords),
    (KEY_SERVICE_TOKEN, Rule::VisibleAscii),
    (KEY_SERVICE_SECRET_ID, Rule::VisibleAscii),
    (PROXY, Rule::VisibleAscii),
    (PROXY_CERTIFICATES, Rule::OneLine),
    (APP_KEY, Rule::VisibleAscii),
    (APP_SECRET, Rule::VisibleAscii),
    (PREVIOUS_APP_SECRET, Rule::VisibleAscii),
    (AUTHORIZATION_LINK, Rule::VisibleAscii),
    (TENANT, Rule::OneLine),
    (KEY_FILE, Rule::OneLine),
    (FILE_ACCESS, Rule::VisibleAscii),
    (CONFIG, Rule::OneLine),
    (FAKE, Rule::VisibleAscii),
    (ACTOR, Rule::Unchecked),
    (COMPONENT, Rule::OneLine),
    (COMPONENT_SHA256, Rule::VisibleAscii),
];

/// The beginning of the name of every variable.
const PREFIX: &str = "TIKTOK_SHOP_";
/// The maximum number of characters by which a mistyped name differs from the name of a setting.
const MAX_TYPOS: usize = 2;

/// The variables in which systems put the name of the user: first Unix, then Windows.
const USER: [&str; 3] = ["USER", "LOGNAME", "USERNAME"];

/// Returns the user of this machine as an actor. If no variable has a name that an actor can have, as in a container or
/// in a job of cron, returns the id of the user of this process, for example `uid:1000`. The name is not verified: the
/// user can set these variables, and can also name any actor with an option.
pub(super) fn user() -> Option<Actor> {
    let named = USER.iter().find_map(|name| read(name).ok().flatten()?.parse().ok());
    named.or_else(|| format!("uid:{}", private_file::user_id()).parse().ok())
}

/// Checks every variable of the program, also those that the command does not use.
///
/// # Errors
/// A variable is empty, or its value contains a character that it may not contain. Or the program does not know a
/// variable whose name is almost the name of a setting: the user probably meant the setting, which would have no
/// effect.
pub(crate) fn check() -> Result<(), Failure> {
    for (name, _) in VARIABLES {
        match variable(name) {
            // A path does not have to be UTF-8.
            Err(VariableError::NotUtf8(KEY_FILE | CONFIG | COMPONENT)) => {}
            checked => {
                checked?;
            }
        }
    }
    #[expect(clippy::disallowed_methods, reason = "the names of the variables are searched for mistyped ones")]
    let names = vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut unknown =
        names.filter(|name| name.starts_with(PREFIX) && !VARIABLES.iter().any(|(known, _)| known == name));
    match unknown.find_map(|name| Some((similar(&name)?, name))) {
        Some((meant, name)) => Err(Failure::Malformed(format!(
            "{name}: there is no such setting; {meant} was probably meant, so rename or unset this variable"
        ))),
        None => Ok(()),
    }
}

/// Returns the setting whose name is almost the given name.
fn similar(name: &str) -> Option<&'static str> {
    VARIABLES.iter().map(|(known, _)| *known).find(|known| osa_distance(known, name) <= MAX_TYPOS)
}

/// Why the value of a variable can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VariableError {
    #[error("{0}: the variable is set but empty; unset it, or give it a value")]
    Empty(&'static str),
    #[error("{0}: not UTF-8")]
    NotUtf8(&'static str),
    #[error("{0}: {1}")]
    Invalid(&'static str, InvalidText),
}

impl From<VariableError> for Failure {
    fn from(error: VariableError) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// Returns the value of a variable, without white space and line breaks at its ends. `None` if the variable is not set.
///
/// # Errors
/// See [`VariableError`].
pub(crate) fn variable(name: &'static str) -> Result<Option<String>, VariableError> {
    let rule = VARIABLES.iter().find(|(known, _)| *known == name).map_or(Rule::OneLine, |(_, rule)| *rule);
    let Some(value) = read(name).map_err(|()| VariableError::NotUtf8(name))? else { return Ok(None) };
    match cleaned(&value, rule) {
        Ok(value) => Ok(Some(value.to_owned())),
        Err(InvalidText::Empty) => Err(VariableError::Empty(name)),
        Err(error) => Err(VariableError::Invalid(name, error)),
    }
}

/// Reads a variable. `None` if the variable is not set. Fails if the value is not UTF-8.
#[expect(clippy::disallowed_methods, reason = "with clap, each of these variables would also be an option")]
fn read(name: &str) -> Result<Option<String>, ()> {
    match var(name) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_almost_a_setting_is_found_and_others_are_not() {
        for (name, meant) in [
            ("TIKTOK_SHOP_HOST_KEY", Some(HOST_KEYS)),
            ("TIKTOK_SHOP_STORGE", Some(STORAGE)),
            ("TIKTOK_SHOP_APPSECRET", Some(APP_SECRET)),
            ("TIKTOK_SHOP_TEST_POSTGRES", None),
            ("TIKTOK_SHOP_TEST_STORAGE", None),
            ("TIKTOK_SHOP_REGION", None),
        ] {
            assert_eq!(similar(name), meant, "{name}");
        }
    }

    #[test]
    fn no_setting_has_almost_the_name_of_another_one() {
        for (name, _) in VARIABLES {
            assert!(name.starts_with(PREFIX));
            let others = VARIABLES.iter().filter(|(other, _)| *other != name);
            for (other, _) in others {
                assert!(osa_distance(name, other) > MAX_TYPOS, "{name} {other}");
            }
        }
    }
}
