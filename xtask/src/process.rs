//! The surroundings of a task: the workspace's folder, the environment variables, and commands that start other
//! programs.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};

/// Returns the folder of the workspace's `Cargo.toml`.
#[must_use]
pub fn workspace_root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Returns a command that runs a program in the workspace's folder, where `rust-toolchain.toml` decides which toolchain
/// is active. The standard input of the program is empty.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is where the workspace starts programs")]
pub fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(workspace_root()).stdin(Stdio::null());
    command
}

/// Returns the value of an environment variable. Returns `None` if the variable is missing or empty.
#[expect(
    clippy::disallowed_methods,
    reason = "cargo and rustup pass settings to their children by environment variables"
)]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Returns the names of all environment variables.
#[expect(clippy::disallowed_methods, reason = "the variables of an outer cargo are known by prefix only")]
pub(crate) fn variable_names() -> impl Iterator<Item = String> {
    env::vars_os().filter_map(|(name, _)| name.into_string().ok())
}
