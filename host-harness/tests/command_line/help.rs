//! What the program says of itself.

use crate::{Run, harness, run};

/// Arguments that print a help.
const HELPS: [&str; 6] = ["--help", "-h", "sign --help", "sign -h", "verify-webhook --help", "verify-webhook -h"];

#[test]
fn without_arguments_it_helps_on_and_ends_with_status_2() {
    let Run { status, stdout, stderr } = run(harness(""), "");
    assert_eq!((status, &*stdout), (Some(2), ""));
    for text in ["Usage: tiktok-shop-harness <COMMAND>", "\n  sign ", "\n  verify-webhook ", "\n  $ echo "] {
        assert!(stderr.contains(text), "{text} is not in:\n{stderr}");
    }
}

#[test]
fn every_help_has_an_example_and_every_exit_status_and_fits_100_columns() {
    for arguments in HELPS {
        let Run { status, stdout, stderr } = run(harness(arguments), "");
        assert_eq!((status, &*stderr), (Some(0), ""), "{arguments}");
        assert!(stdout.contains("\n  $ "), "{arguments}:\n{stdout}");
        let (_, statuses) = stdout.split_once("\nExit status:").expect(arguments);
        for status in if arguments.starts_with("sign") { &["0 ", "2 "][..] } else { &["0 ", "1 ", "2 "] } {
            assert!(statuses.contains(&format!(" {status}")), "{arguments}: {status}");
        }
        let wide: Vec<_> = stdout.lines().filter(|line| line.chars().count() > 100).collect();
        assert_eq!(wide, [""; 0], "{arguments}");
    }
}

#[test]
fn the_version_is_the_packages() {
    let expected = format!("tiktok-shop-harness {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(harness("--version"), ""), Run { status: Some(0), stdout: expected, stderr: String::new() });
}

#[test]
fn an_unknown_argument_is_refused_and_its_value_is_not_repeated() {
    for arguments in ["sing", "sign --app-secret=CANARY", "verify-webhook --app-secret=CANARY"] {
        let Run { status, stdout, stderr } = run(harness(arguments), "");
        assert_eq!((status, &*stdout), (Some(2), ""), "{arguments}");
        assert!(stderr.starts_with("error: ") && !stderr.contains("CANARY"), "{stderr}");
    }
}
