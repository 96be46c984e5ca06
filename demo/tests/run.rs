//! Runs the demo as a user does whose output goes to a file.
#![allow(clippy::unwrap_used, reason = "free functions of a test")]

use std::ffi::OsStr;
use std::process::{Command, Output};

fn demo(component: &OsStr) -> Output {
    #[expect(clippy::disallowed_methods, reason = "the subject is the program, with its exit status")]
    let mut demo = Command::new(env!("CARGO_BIN_EXE_tiktok-shop-demo"));
    demo.arg("--component").arg(component).env_remove("CLICOLOR_FORCE").output().unwrap()
}

#[test]
fn every_check_holds_and_no_secret_is_shown() {
    let output = demo(xtask::component().unwrap().as_os_str());
    let (page, complaints) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), &*complaints), (Some(0), ""), "{page}");

    assert!(page.contains("9 steps, 26 checks, all of them held."), "{page}");
    assert!(!page.contains('\u{1b}'), "escape codes in a file:\n{page}");
    // Codes, tokens and ciphers begin with it.
    assert!(!page.contains("ROW_"), "{page}");
    for app in fake_tiktok_shop::fixtures::apps() {
        assert!(!page.contains(&app.app_secret), "{page}");
    }
    let too_wide: Vec<_> = page.lines().filter(|line| line.chars().count() > 100).collect();
    assert_eq!(too_wide, [""; 0]);
}

#[test]
fn a_component_that_is_none_ends_with_status_1_and_the_reason() {
    let output = demo(OsStr::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")));
    let complaints = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{complaints}");
    assert!(complaints.starts_with("\nfailed in the set-up: cannot run "), "{complaints}");
    assert!(complaints.contains("Cargo.toml: not a component: "), "{complaints}");
}
