//! The PostgreSQL server of tests. It can't be had everywhere, so what was not tried is said, and CI does not let it pass.

use std::io::{self, Write as _};
use std::sync::OnceLock;

use crate::cargo::variable;

const ADDRESS: &str = "TIKTOK_SHOP_TEST_POSTGRES";

/// The address of the database that tests may use, if the variable `TIKTOK_SHOP_TEST_POSTGRES` names one. Otherwise standard
/// error says that PostgreSQL was not tried, once per process.
///
/// # Panics
/// If there is none and the variable `CI` is `true`.
#[must_use]
#[expect(clippy::panic, reason = "for tests: fails the one that asks")]
pub fn test_postgres() -> Option<String> {
    static FOUND: OnceLock<Result<Option<String>, String>> = OnceLock::new();
    let text = |name| variable(name).and_then(|value| value.into_string().ok());
    let found = FOUND.get_or_init(|| {
        let found = wanted(text(ADDRESS), text("CI").as_deref());
        if let Ok(None) = found {
            // Not through `eprintln`, which the test harness keeps to itself.
            let _unheard = writeln!(io::stderr(), "PostgreSQL was not tried: {HOW}");
        }
        found
    });
    match found {
        Ok(address) => address.clone(),
        Err(why) => panic!("{why}"),
    }
}

const HOW: &str = "`.ci/postgres start FOLDER` prints an address, which TIKTOK_SHOP_TEST_POSTGRES is to hold";

fn wanted(address: Option<String>, ci: Option<&str>) -> Result<Option<String>, String> {
    if address.is_none() && ci == Some("true") {
        return Err(format!("CI has to try PostgreSQL: {HOW}"));
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ci_insists_on_postgresql() {
        let address = Some("postgres://tester@127.0.0.1:5432/postgres".to_owned());
        assert_eq!(wanted(address.clone(), Some("true")), Ok(address.clone()));
        assert_eq!(wanted(address.clone(), None), Ok(address));
        assert_eq!(wanted(None, None), Ok(None));
        assert_eq!(wanted(None, Some("false")), Ok(None));
        assert!(wanted(None, Some("true")).unwrap_err().contains(ADDRESS));
    }
}
