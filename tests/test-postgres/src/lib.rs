//! Finds the PostgreSQL server that tests may use. Not every machine has one. If there is none, the functions here
//! return `None` and say so on standard error. The test that needs the server then ends at once and counts as passed.
//! In CI, the functions panic instead, so that the test fails.
//!
//! [`Replicated`] starts two servers for one test, on a machine that has PostgreSQL's programs.

mod replicated;

use std::env;
use std::io::{self, Write as _};
use std::sync::OnceLock;

pub use replicated::{Replicated, Replication};

const ADDRESS: &str = "TIKTOK_SHOP_TEST_POSTGRES";
const RESTART: &str = "TIKTOK_SHOP_TEST_POSTGRES_RESTART";

/// Returns the address of the database that tests may use, from the variable `TIKTOK_SHOP_TEST_POSTGRES`. If the
/// variable is not set, returns `None`, and says once per process on standard error that PostgreSQL was not tried.
///
/// # Panics
/// If the variable is not set and the variable `CI` is `true`.
#[must_use]
pub fn test_postgres() -> Option<String> {
    static FOUND: OnceLock<Found> = OnceLock::new();
    found(&FOUND, ADDRESS, "PostgreSQL", "`.ci/postgres start FOLDER` prints an address")
}

/// Says on standard error that a part of a test can't run on this server. The part needs something that not every
/// server offers, for example access to the server's files.
///
/// # Panics
/// If the variable `CI` is `true`, because the server in CI must offer everything.
#[expect(clippy::panic, reason = "for tests: the test that calls this fails")]
pub fn not_tried(what: &str, why: &str) {
    let text = format!("{what} was not tried: {why}");
    if variable("CI").as_deref() == Some("true") {
        panic!("CI must try everything, but {text}");
    }
    // Not `eprintln!`: the test harness shows that output only if the test fails.
    let _closed = writeln!(io::stderr(), "{text}");
}

/// The command that restarts the server of [`test_postgres`].
#[derive(Debug)]
pub struct Restart(String);

/// Returns the command that restarts the server, from the variable `TIKTOK_SHOP_TEST_POSTGRES_RESTART`. The variable
/// must contain words that are separated by spaces. Quotes are not supported. If the variable is not set, returns
/// `None`, and says once per process on standard error that a restart was not tried.
///
/// # Panics
/// If the variable is not set and the variable `CI` is `true`.
#[must_use]
pub fn test_postgres_restart() -> Option<Restart> {
    static FOUND: OnceLock<Found> = OnceLock::new();
    found(&FOUND, RESTART, "a restart of PostgreSQL", "for example `.ci/postgres restart FOLDER`").map(Restart)
}

impl Restart {
    /// Runs the command, which must restart the server and end only when the server answers again.
    ///
    /// # Panics
    /// If the command can't be run or fails.
    #[expect(clippy::panic, reason = "for tests: the test that calls this fails")]
    pub fn run(&self) {
        let mut words = self.0.split_whitespace();
        let mut command = xtask::program(words.next().unwrap_or_default());
        match command.args(words).status() {
            Ok(status) if status.success() => {}
            other => panic!("PostgreSQL is not restarted: {other:?}"),
        }
    }
}

/// The value of a variable (`None` if it is not set), or the reason why a test that needs the value must fail.
type Found = Result<Option<String>, String>;

#[expect(clippy::panic, reason = "for tests: the test that calls this fails")]
fn found(found: &OnceLock<Found>, name: &str, what: &str, how: &str) -> Option<String> {
    let found = found.get_or_init(|| {
        let found = wanted(variable(name), variable("CI").as_deref(), name, what, how);
        if let Ok(None) = found {
            // Not `eprintln!`: the test harness shows that output only if the test fails.
            let _closed = writeln!(io::stderr(), "{what} was not tried: {name} is not set; {how}");
        }
        found
    });
    match found {
        Ok(value) => value.clone(),
        Err(why) => panic!("{why}"),
    }
}

#[expect(clippy::disallowed_methods, reason = "a test learns from its surroundings where the server is")]
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns the value of the variable. If the variable is not set and the test runs in CI, returns the reason why the
/// test must fail.
fn wanted(value: Option<String>, ci: Option<&str>, name: &str, what: &str, how: &str) -> Found {
    if value.is_none() && ci == Some("true") {
        return Err(format!("CI must try {what}, but {name} is not set; {how}"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_server_is_an_error_only_in_ci() {
        let address = Some("postgres://tester@127.0.0.1:5432/postgres".to_owned());
        let wanted = |value, ci| wanted(value, ci, ADDRESS, "PostgreSQL", "start one");
        assert_eq!(wanted(address.clone(), Some("true")), Ok(address.clone()));
        assert_eq!(wanted(address.clone(), None), Ok(address));
        assert_eq!(wanted(None, None), Ok(None));
        assert_eq!(wanted(None, Some("false")), Ok(None));
        let error = "CI must try PostgreSQL, but TIKTOK_SHOP_TEST_POSTGRES is not set; start one";
        assert_eq!(wanted(None, Some("true")), Err(error.to_owned()));
    }
}
