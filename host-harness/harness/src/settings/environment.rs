//! The environment variables of the program: which there are, which values each may have, and how each is read. A
//! variable that is set but empty is an error. So is every other variable that begins with `TIKTOK_SHOP_`: it is
//! probably mistyped, and would have no effect.
//!
//! Clap reads the variables that belong to an option. This module reads the variables of secrets, and of settings that
//! belong to a secret. If clap read these variables, it would also accept each of them as an option, and every user of
//! the machine can read the arguments of a process. [`check`] checks all variables before the command runs, also those
//! that clap reads: clap would name the option in its error, although the user gave the variable.

use std::env::{VarError, var, var_os, vars_os};
use std::path::Path;
use std::str::FromStr;

use strsim::osa_distance;
use tiktok_shop_host::egress::Proxy;
use tiktok_shop_host::events::Actor;
use tiktok_shop_host::seal::HostKeys;
use tiktok_shop_host::{ComponentDigest, TenantId};
use tiktok_shop_private_file::{self as private_file, Access};
use tiktok_shop_server::PublicAddress;

use super::address::Address;
use super::configured_text::{InvalidText, Rule, cleaned, path};
use super::fake::FakeAddress;
use super::secret_file::{self, FILES};
use super::serve::ListenAddress;
pub(crate) use super::variable_names::*;
use crate::failure::Failure;

/// Checks the value of a variable, and says what is wrong with it.
type Check = fn(&str) -> Result<(), String>;

/// A variable of the program.
struct Variable {
    name: &'static str,
    /// The characters that its value may have.
    rule: Rule,
    /// Checks its value. `None` if every value without wrong characters can be used.
    check: Option<Check>,
}

/// Every variable of the program. The program knows no other variable that begins with [`PREFIX`].
const VARIABLES: [Variable; 27] = [
    checked(STORAGE, Rule::OneLine, is_address),
    checked(STORAGE_FILE, Rule::OneLine, is_path),
    checked(CONTRACT_STORAGE, Rule::OneLine, is_address),
    checked(HOST_KEYS, Rule::VisibleAsciiWords, are_host_keys),
    any(KEY_SERVICE_TOKEN, Rule::VisibleAscii),
    checked(KEY_SERVICE_TOKEN_FILE, Rule::OneLine, is_path),
    any(KEY_SERVICE_SECRET_ID, Rule::VisibleAscii),
    checked(KEY_SERVICE_SECRET_ID_FILE, Rule::OneLine, is_path),
    checked(PROXY, Rule::VisibleAscii, is_a::<Proxy>),
    checked(PROXY_FILE, Rule::OneLine, is_path),
    checked(PROXY_CERTIFICATES, Rule::OneLine, is_path),
    any(APP_KEY, Rule::VisibleAscii),
    any(APP_SECRET, Rule::VisibleAscii),
    checked(APP_SECRET_FILE, Rule::OneLine, is_path),
    any(PREVIOUS_APP_SECRET, Rule::VisibleAscii),
    checked(PREVIOUS_APP_SECRET_FILE, Rule::OneLine, is_path),
    any(AUTHORIZATION_LINK, Rule::VisibleAscii),
    checked(TENANT, Rule::OneLine, is_a::<TenantId>),
    checked(KEY_FILE, Rule::OneLine, is_path),
    checked(FILE_ACCESS, Rule::VisibleAscii, is_a::<Access>),
    checked(CONFIG, Rule::OneLine, is_path),
    checked(FAKE, Rule::VisibleAscii, is_a::<FakeAddress>),
    checked(LISTEN, Rule::VisibleAscii, is_a::<ListenAddress>),
    checked(PUBLIC_ADDRESS, Rule::VisibleAscii, is_a::<PublicAddress>),
    checked(ACTOR, Rule::Unchecked, is_a::<Actor>),
    checked(COMPONENT, Rule::OneLine, is_path),
    checked(COMPONENT_SHA256, Rule::VisibleAscii, is_a::<ComponentDigest>),
];

const fn any(name: &'static str, rule: Rule) -> Variable {
    Variable { name, rule, check: None }
}

const fn checked(name: &'static str, rule: Rule, check: Check) -> Variable {
    Variable { name, rule, check: Some(check) }
}

fn is_a<T: FromStr<Err: ToString>>(text: &str) -> Result<(), String> {
    text.parse::<T>().map(drop).map_err(|error| error.to_string())
}

fn is_path(text: &str) -> Result<(), String> {
    path(text.into()).map(drop).map_err(|error| error.to_string())
}

fn is_address(text: &str) -> Result<(), String> {
    Address::parse(text).map(drop)
}

fn are_host_keys(text: &str) -> Result<(), String> {
    HostKeys::parse(text).map(drop).map_err(|error| error.to_string())
}

/// The beginning of the name of every variable.
const PREFIX: &str = "TIKTOK_SHOP_";
/// The beginnings of the names of variables that only this project's tests read.
const OF_TESTS: [&str; 2] = ["TIKTOK_SHOP_TEST_", "TIKTOK_SHOP_SIMULATION_"];
/// The maximum number of characters by which a mistyped name differs from the name of a setting.
const MAX_TYPOS: usize = 2;

/// The variables from which the default paths of the user's files are made.
const FOLDERS: [&str; 4] = ["HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"];

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
/// A variable is empty, or its value can't be used. Or a variable begins with [`PREFIX`], and the program does not know
/// it.
pub(crate) fn check() -> Result<(), Failure> {
    for Variable { name, check, .. } in VARIABLES {
        let value = match variable(name) {
            // A path does not have to be UTF-8.
            Err(VariableError::NotUtf8(KEY_FILE | CONFIG | COMPONENT)) => None,
            value => value?,
        };
        if let (Some(value), Some(check)) = (value, check) {
            check(&value).map_err(|what| Failure::Malformed(format!("{name}: {what}")))?;
        }
    }
    #[expect(clippy::disallowed_methods, reason = "the names of the variables are searched for unknown ones")]
    let names = vars_os().filter_map(|(name, _)| name.into_string().ok());
    // The order of the environment is not defined. With several unknown variables, the error is always about the same.
    let Some(unknown) = names.filter(|name| is_unknown(name)).min() else { return Ok(()) };
    let meant = similar(&unknown).map(|meant| format!("{meant} was probably meant, so ")).unwrap_or_default();
    Err(Failure::Malformed(format!(
        "{unknown}: there is no such setting; {meant}rename or unset this variable; docs/command-line.md lists all \
         settings"
    )))
}

/// Returns whether a variable looks like a setting, but is none.
fn is_unknown(name: &str) -> bool {
    name.starts_with(PREFIX)
        && !OF_TESTS.iter().any(|tests| name.starts_with(tests))
        && !is_of_kubernetes(name)
        && !VARIABLES.iter().any(|known| known.name == name)
}

/// Returns whether Kubernetes may have set a variable. For a service named `tiktok-shop-connector`, it sets variables
/// such as `TIKTOK_SHOP_CONNECTOR_SERVICE_HOST` and `TIKTOK_SHOP_CONNECTOR_PORT_443_TCP` in every container.
fn is_of_kubernetes(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_PORT_")
}

/// Checks the variables from which the default paths of the user's files are made.
///
/// # Errors
/// A path is relative. The program would use other files in each current folder. Or `HOME` is empty.
pub(super) fn check_folders() -> Result<(), Failure> {
    for name in FOLDERS {
        #[expect(clippy::disallowed_methods, reason = "the library that reads these variables ignores a wrong value")]
        let Some(value) = var_os(name) else { continue };
        // The specification of the XDG variables says that an empty one counts as not set.
        if value.is_empty() && name != "HOME" {
            continue;
        }
        if Path::new(&value).is_relative() {
            return Err(Failure::Malformed(format!(
                "{name}: not an absolute path; give the variable a path that begins with /"
            )));
        }
    }
    Ok(())
}

/// Returns the name of the setting that gave the value of an option: the option if it is among the arguments of this
/// process, otherwise the variable.
pub(super) fn given_by(option: &'static str, variable: &'static str) -> &'static str {
    let mut arguments = std::env::args_os();
    let is_given = arguments.any(|argument| {
        let rest = argument.to_str().and_then(|argument| argument.strip_prefix(option));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    });
    if is_given { option } else { variable }
}

/// Returns the setting whose name is almost the given name.
fn similar(name: &str) -> Option<&'static str> {
    VARIABLES.iter().map(|known| known.name).find(|known| osa_distance(known, name) <= MAX_TYPOS)
}

/// Why the value of a variable can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VariableError {
    #[error("{0}: the variable is set but empty; unset it, or give it a value")]
    Empty(&'static str),
    #[error("{0}: not UTF-8; copy the value again")]
    NotUtf8(&'static str),
    #[error("{0}: {1}")]
    Invalid(&'static str, InvalidText),
    #[error("{0}: {1}")]
    File(&'static str, String),
    #[error("{0} and {1} are both given; use only one")]
    Both(&'static str, &'static str),
}

impl From<VariableError> for Failure {
    fn from(error: VariableError) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// Returns the value of a variable, without white space and line breaks at its ends. The value of a secret may also be
/// in the file that its variable `…_FILE` names. `None` if the variable is not set.
///
/// # Errors
/// See [`VariableError`].
pub(crate) fn variable(name: &'static str) -> Result<Option<String>, VariableError> {
    let value = read(name).map_err(|()| VariableError::NotUtf8(name))?;
    let file = FILES.iter().find(|(secret, _)| *secret == name).map(|(_, file)| *file);
    let path = file.map(|file| own_value(file).map(|path| path.map(|path| (file, path)))).transpose()?.flatten();
    match (value, path) {
        (Some(_), Some((file, _))) => Err(VariableError::Both(name, file)),
        (None, Some((file, path))) => {
            let text = secret_file::read(Path::new(&path), secret_file::MAX_BYTES, file_access()?);
            let text = text.map_err(|what| VariableError::File(file, what))?;
            match cleaned_value(name, &text) {
                Ok(value) => Ok(Some(value)),
                Err(error) => Err(VariableError::File(file, format!("the file {path}: {error}"))),
            }
        }
        (Some(_), None) => own_value(name),
        (None, None) => Ok(None),
    }
}

/// Returns the value that the variable itself has.
fn own_value(name: &'static str) -> Result<Option<String>, VariableError> {
    let value = read(name).map_err(|()| VariableError::NotUtf8(name))?;
    match value.map(|value| cleaned_value(name, &value)).transpose() {
        Ok(value) => Ok(value),
        Err(InvalidText::Empty) => Err(VariableError::Empty(name)),
        Err(error) => Err(VariableError::Invalid(name, error)),
    }
}

/// Returns a value by the rule of its variable.
fn cleaned_value(name: &str, value: &str) -> Result<String, InvalidText> {
    let rule = VARIABLES.iter().find(|known| known.name == name).map_or(Rule::OneLine, |known| known.rule);
    cleaned(value, rule).map(str::to_owned)
}

/// Returns who may read files of secrets, as the variable says. [`check`] has checked the word.
pub(crate) fn file_access() -> Result<Access, VariableError> {
    Ok(own_value(FILE_ACCESS)?.and_then(|word| word.parse().ok()).unwrap_or_default())
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
        for Variable { name, .. } in VARIABLES {
            assert!(name.starts_with(PREFIX));
            let others = VARIABLES.iter().map(|other| other.name).filter(|other| *other != name);
            for other in others {
                assert!(osa_distance(name, other) > MAX_TYPOS, "{name} {other}");
            }
        }
    }

    #[test]
    fn every_unknown_variable_is_found_except_those_of_tests_and_of_kubernetes() {
        for (name, expected) in [
            ("TIKTOK_SHOP_REGION", true),
            ("TIKTOK_SHOP_", true),
            ("TIKTOK_SHOP_STORAGE", false),
            ("TIKTOK_SHOP_TEST_POSTGRES", false),
            ("TIKTOK_SHOP_TEST_BAO", false),
            ("TIKTOK_SHOP_SIMULATION_SEED", false),
            ("TIKTOK_SHOP_CONNECTOR_SERVICE_HOST", false),
            ("TIKTOK_SHOP_CONNECTOR_SERVICE_PORT_HTTPS", false),
            ("TIKTOK_SHOP_PORT", false),
            ("TIKTOK_SHOP_PORT_443_TCP_ADDR", false),
            ("TIKTOK_SHOPS", false),
            ("PATH", false),
        ] {
            assert_eq!(is_unknown(name), expected, "{name}");
        }
        assert!(VARIABLES.iter().all(|known| !is_of_kubernetes(known.name)), "a setting must not look like those");
    }
}
