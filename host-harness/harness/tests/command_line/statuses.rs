//! Tests that every case of an error has its own exit status. The component is the hostile guest of
//! `tests/hostile-guest`. Its `link-shops` returns the error case that the id of the customer names.

use crate::stage::Stage;

#[test]
fn every_case_of_an_error_has_its_exit_status() {
    let stage = Stage::new();
    stage.ok("migrate", "");
    let guest = xtask::hostile_guest().unwrap();
    let table = [
        ("retry-after", 10),
        ("reauthorize", 11),
        ("misconfigured", 12),
        ("invalid-request", 13),
        ("upstream", 14),
        ("storage-conflict", 15),
        ("storage-failed", 16),
        ("internal", 17),
    ];
    for (case, expected) in table {
        let command = format!("link-shops {case} 1 --component {}", guest.display());
        let (status, line) = stage.error(stage.command(&command), "");
        assert_eq!(status, Some(expected), "{line}");
        assert!(line.starts_with(&format!("{case}: hostile: ")), "{line}");
    }
}

#[test]
fn a_call_that_the_host_ends_has_the_exit_status_20() {
    let stage = Stage::new();
    stage.ok("migrate", "");
    let guest = xtask::hostile_guest().unwrap();
    let table = [
        ("link-shops no-such-error 1", "exhausted"),
        // The guest returns ids that break the contract.
        ("list-shops seven", "contract-broken"),
    ];
    for (arguments, code) in table {
        let (status, line) = stage.error(stage.command(&format!("{arguments} --component {}", guest.display())), "");
        assert_eq!(status, Some(20), "{line}");
        assert!(line.starts_with(&format!("ended-by-host: {code}: ")), "{line}");
    }
}
