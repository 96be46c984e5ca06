//! Runs the demo in the same way as a user who sends its output to a file.
#![allow(clippy::unwrap_used, reason = "helper functions of tests")]

use std::ffi::OsStr;
use std::process::{Command, Output};

use xtask::Optimisation;

fn demo(component: &OsStr, arguments: &[&str]) -> Output {
    #[expect(clippy::disallowed_methods, reason = "the test is about the program and its exit status")]
    let mut demo = Command::new(env!("CARGO_BIN_EXE_tiktok-shop-demo"));
    let harness = xtask::build_executable("tiktok-shop-harness", Optimisation::OnlySlowPackages, &|_| ()).unwrap();
    demo.arg("--component").arg(component).arg("--harness").arg(harness).args(arguments);
    demo.env_remove("CLICOLOR_FORCE").output().unwrap()
}

/// Runs the demo and returns its output. Checks that the output is complete and contains no secret, that each line fits
/// a screen of 100 columns, and that no step has more than `max_lines` lines.
fn page(arguments: &[&str], max_lines: usize) -> String {
    let output = demo(xtask::component().unwrap().as_os_str(), arguments);
    let (page, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), &*errors), (Some(0), ""), "{page}");

    assert!(page.contains("16 steps with 77 checks of values, events and requests. Every check passed."), "{page}");
    assert!(!page.contains('\u{1b}'), "escape codes in a file:\n{page}");
    // All authorization codes, tokens and ciphers of the fake begin with `ROW_`.
    assert!(!page.contains("ROW_"), "{page}");
    for app in fake_tiktok_shop::fixtures::apps() {
        assert!(!page.contains(&app.app_secret), "{page}");
    }
    let too_wide: Vec<_> = page.lines().filter(|line| line.chars().count() > 100).collect();
    assert_eq!(too_wide, [""; 0]);
    let lines: Vec<_> = page.lines().collect();
    // A line without indentation begins a step.
    let steps = lines.chunk_by(|_, next| next.is_empty() || next.starts_with(' '));
    let too_long: Vec<_> = steps.filter(|step| step.len() > max_lines).filter_map(|step| step.first()).collect();
    assert_eq!(too_long, [&""; 0]);
    page
}

#[test]
fn every_check_holds_and_no_secret_is_shown() {
    let page = page(&[], 24);
    assert!(!page.contains("   imports "), "{page}");
}

#[test]
fn explain_shows_a_claim_before_the_refresh_and_a_save_directly_after() {
    let page = page(&["--explain"], 32);
    let text = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let refresh = "storage.load(tokens), storage.swap(tokens), GET /api/v2/token/refresh, storage.swap(tokens),";
    assert!(text.contains(refresh), "{page}");
    assert!(text.contains("imports app-credentials.apps, (put_state) requests none"), "{page}");
}

#[test]
fn a_file_that_is_no_component_ends_the_demo_with_status_1_and_the_reason() {
    let output = demo(OsStr::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")), &[]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.starts_with("\nfailed in the set-up: cannot run "), "{errors}");
    assert!(errors.contains("Cargo.toml: not a component: "), "{errors}");
}
