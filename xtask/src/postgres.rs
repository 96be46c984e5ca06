//! The PostgreSQL server of tests. It can't be had everywhere, so what was not tried is said, and CI does not let it pass.

use std::io::{self, Write as _};
use std::sync::OnceLock;

use crate::cargo::{program, variable};

const ADDRESS: &str = "TIKTOK_SHOP_TEST_POSTGRES";
const RESTART: &str = "TIKTOK_SHOP_TEST_POSTGRES_RESTART";

/// The address of the database that tests may use, if the variable `TIKTOK_SHOP_TEST_POSTGRES` names one. Otherwise standard
/// error says that PostgreSQL was not tried, once per process.
///
/// # Panics
/// If there is none and the variable `CI` is `true`.
#[must_use]
pub fn test_postgres() -> Option<String> {
    static FOUND: OnceLock<Found> = OnceLock::new();
    found(&FOUND, ADDRESS, "PostgreSQL", "`.ci/postgres start FOLDER` prints an address")
}

/// How the server of [`test_postgres`] is restarted.
#[derive(Debug)]
pub struct Restart(String);

/// The same for the variable `TIKTOK_SHOP_TEST_POSTGRES_RESTART`, a command of words without quotes.
///
/// # Panics
/// As [`test_postgres`].
#[must_use]
pub fn test_postgres_restart() -> Option<Restart> {
    static FOUND: OnceLock<Found> = OnceLock::new();
    found(&FOUND, RESTART, "a restart of PostgreSQL", "such as `.ci/postgres restart FOLDER`").map(Restart)
}

impl Restart {
    /// Restarts it, and waits until it answers again.
    ///
    /// # Panics
    /// If it can't be restarted.
    #[expect(clippy::panic, reason = "for tests: fails the one that asks")]
    pub fn run(&self) {
        let mut words = self.0.split_whitespace();
        let mut command = program(words.next().unwrap_or_default());
        match command.args(words).status() {
            Ok(status) if status.success() => {}
            other => panic!("PostgreSQL is not restarted: {other:?}"),
        }
    }
}

/// What a variable holds; `Err`: why a test can't do without.
type Found = Result<Option<String>, String>;

#[expect(clippy::panic, reason = "for tests: fails the one that asks")]
fn found(found: &OnceLock<Found>, name: &str, what: &str, how: &str) -> Option<String> {
    let text = |name| variable(name).and_then(|value| value.into_string().ok());
    let found = found.get_or_init(|| {
        let found = wanted(text(name), text("CI").as_deref(), name, what, how);
        if let Ok(None) = found {
            // Not through `eprintln`, which the test harness keeps to itself.
            let _unheard = writeln!(io::stderr(), "{what} was not tried: {name} is not set; {how}");
        }
        found
    });
    match found {
        Ok(value) => value.clone(),
        Err(why) => panic!("{why}"),
    }
}

fn wanted(value: Option<String>, ci: Option<&str>, name: &str, what: &str, how: &str) -> Found {
    if value.is_none() && ci == Some("true") {
        return Err(format!("CI has to try {what}: {name} is not set; {how}"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ci_insists_on_postgresql() {
        let address = Some("postgres://tester@127.0.0.1:5432/postgres".to_owned());
        let wanted = |value, ci| wanted(value, ci, ADDRESS, "PostgreSQL", "start one");
        assert_eq!(wanted(address.clone(), Some("true")), Ok(address.clone()));
        assert_eq!(wanted(address.clone(), None), Ok(address));
        assert_eq!(wanted(None, None), Ok(None));
        assert_eq!(wanted(None, Some("false")), Ok(None));
        let told = "CI has to try PostgreSQL: TIKTOK_SHOP_TEST_POSTGRES is not set; start one";
        assert_eq!(wanted(None, Some("true")), Err(told.to_owned()));
    }
}
