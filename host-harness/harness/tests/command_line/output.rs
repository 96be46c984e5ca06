//! Tests colours, and output that nobody reads or that can't be written.

use std::io::Write as _;
use std::process::{Child, Stdio};

use crate::{REQUESTS, WEBHOOKS, harness, run};

#[test]
fn colours_appear_only_on_a_terminal_and_no_color_turns_them_off() {
    let invalid = WEBHOOKS.replace("\"type\\\":1", "\"type\\\":2");
    let coloured = |environment: &[(&str, &str)]| {
        let mut command = harness("verify-webhook --explain");
        command.envs(environment.iter().copied());
        let run = run(command, &invalid);
        assert_eq!(run.status, Some(1));
        run.stdout.contains('\u{1b}')
    };
    assert!(!coloured(&[]), "a pipe is not a terminal");
    assert!(coloured(&[("CLICOLOR_FORCE", "1")]), "CLICOLOR_FORCE replaces a terminal");
    assert!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
}

#[test]
fn warnings_and_errors_follow_the_same_rule_for_colours() {
    for input in [REQUESTS, "{}"] {
        let stderr = |environment: &[(&str, &str)]| {
            let mut command = harness("sign");
            command.envs(environment.iter().copied());
            run(command, input).stderr
        };
        let forced = [("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")];
        assert!(stderr(&forced[..1]).starts_with('\u{1b}'));
        assert_eq!(stderr(&forced), stderr(&[]));
        assert!(!stderr(&[]).contains('\u{1b}'));
    }
}

#[test]
fn a_closed_standard_output_is_not_an_error_and_keeps_the_exit_status() {
    let invalid = WEBHOOKS.replace("\"type\\\":1", "\"type\\\":2");
    for (arguments, input, status) in
        [("sign", REQUESTS, 0), ("verify-webhook", WEBHOOKS, 0), ("verify-webhook --json", &*invalid, 1)]
    {
        let mut child = spawn(arguments);
        drop(child.stdout.take());
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments}");
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.lines().all(|line| line.starts_with("warning: ")), "{errors}");
    }
}

#[test]
fn a_closed_standard_error_is_not_an_error() {
    let mut child = spawn("sign");
    drop(child.stderr.take());
    child.stdin.take().unwrap().write_all(REQUESTS.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 13 * 65));
}

#[test]
#[cfg(target_os = "linux")]
fn results_that_can_t_be_written_end_with_status_2() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut child =
        harness("verify-webhook").stdin(Stdio::piped()).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(WEBHOOKS.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(errors, "error: cannot write to standard output: No space left on device (os error 28)\n");
}

fn spawn(arguments: &str) -> Child {
    harness(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}
