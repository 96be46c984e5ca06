//! Tests the ways in which a process is ended: SIGINT (Ctrl-C), SIGTERM, SIGHUP, a closed terminal and closed pipes. In
//! most of these tests, a command gets the signal while it waits for an answer of TikTok Shop, and gets the answer
//! afterwards. The command must save what the answer contains, and must begin nothing more.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Stdio};

use fake_tiktok_shop::Decision;
use serde_json::json;

use crate::gate::{CONNECT, Gate, REFRESH, send};
use crate::stage::{DAY, Stage};
use crate::{PROGRAM, command};

const NOTE: &str = "note: waiting for running calls to finish; Ctrl-C now stops at once and may lose tokens\n";
/// The signals that ask a program to end.
const SIGNALS: [&str; 3] = ["INT", "TERM", "HUP"];
const SEARCH: &str = "POST /order/202309/orders/search";

/// Reads the next line that the program prints to standard error.
fn read_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    line
}

/// Waits until the gate holds a request of the program, and sends the signal. After the program has printed [`NOTE`],
/// lets the gate release the request, and waits until the program has ended. Returns the program's exit status and
/// standard output.
fn end(mut child: Child, signal: &str, gate: &Gate) -> (Option<i32>, String) {
    gate.wait_for_request();
    send(signal, &child);
    assert_eq!(read_line(&mut child), NOTE, "{signal}");
    gate.release();
    let ended = child.wait_with_output().unwrap();
    (ended.status.code(), String::from_utf8(ended.stdout).unwrap())
}

/// Asserts that the connection works, and that no process holds a claim on its refresh token.
fn assert_usable(stage: &Stage, customer: &str) {
    assert_eq!(stage.json(&format!("list-connections {customer}"), "")[0]["status"], "active");
    assert_eq!(stage.json(&format!("refresh {customer} --force"), "")[0]["effect"], "renewed");
}

#[test]
fn a_connect_that_gets_a_signal_stores_its_tokens() {
    for signal in SIGNALS {
        let stage = Stage::new();
        let callback = stage.decide(&stage.link("customer-7"), "one-shop", Decision::Allow);
        let gate = Gate::before(&stage, CONNECT);
        let mut child = gate.command(&stage, &[], "connect").stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(callback.as_bytes()).unwrap();
        let (status, printed) = end(child, signal, &gate);
        assert_eq!(status, Some(0), "{signal}: {printed}");
        assert!(printed.starts_with("customer-7: ") && printed.contains("active"), "{signal}: {printed}");
        assert_usable(&stage, "customer-7");
    }
}

#[test]
fn a_refresh_that_gets_a_signal_stores_its_tokens() {
    for signal in SIGNALS {
        let stage = Stage::new();
        stage.connect("customer-7", "one-shop");
        let gate = Gate::before(&stage, REFRESH);
        let child = gate.command(&stage, &[], "refresh customer-7 --force --json").spawn().unwrap();
        let (status, printed) = end(child, signal, &gate);
        assert_eq!(status, Some(0), "{signal}: {printed}");
        assert!(printed.contains("\"effect\":\"renewed\""), "{signal}: {printed}");
        assert_usable(&stage, "customer-7");
    }
}

/// The access token has expired, so the call first renews the tokens. In one case, the signal comes during the renewal.
/// In the other case, the signal comes during the request of the call itself.
#[test]
fn a_call_that_gets_a_signal_stores_its_tokens_and_prints_its_answer() {
    for (signal, held) in SIGNALS.into_iter().flat_map(|signal| [(signal, REFRESH), (signal, SEARCH)]) {
        let stage = Stage::new();
        stage.connect("customer-7", "one-shop");
        stage.advance(7 * DAY);
        let gate = Gate::before(&stage, held);
        let arguments = "call customer-7 POST /order/202309/orders/search --shop 7490000000000000001 \
                         --query page_size=1 --body-file - --json";
        let mut child = gate.command(&stage, &[], arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(br#"{"order_status":"AWAITING_SHIPMENT"}"#).unwrap();
        let (status, printed) = end(child, signal, &gate);
        assert_eq!(status, Some(0), "{signal}, {held}: {printed}");
        assert!(printed.starts_with("{\"http_status\":200,\"code\":\"0\","), "{signal}, {held}: {printed}");
        assert_usable(&stage, "customer-7");
    }
}

/// Prepares two connections that are due for a refresh.
fn two_due() -> Stage {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    stage.connect("customer-8", "several-regions");
    stage.advance(7 * DAY - 3_600);
    stage
}

#[test]
fn a_sweep_that_gets_a_signal_finishes_its_running_refresh_and_begins_no_other() {
    for signal in SIGNALS {
        let stage = two_due();
        let gate = Gate::before(&stage, REFRESH);
        let child = gate.command(&stage, &[], "sweep --concurrency 1").spawn().unwrap();
        let (status, printed) = end(child, signal, &gate);
        assert_eq!(status, Some(0), "{signal}: {printed}");
        assert_eq!(printed, "1 refreshed, 0 failed, notices: 0, stopped, 1 still due\n", "{signal}");
        // The other connection is not claimed, so the next sweep refreshes it.
        assert_eq!(stage.ok("sweep", ""), "1 refreshed, 0 failed, notices: 0\n", "{signal}");
        assert_usable(&stage, "customer-7");
        assert_usable(&stage, "customer-8");
    }
}

/// Before it revokes, `disconnect` refreshes each account of the customer. The signal comes during the first refresh.
#[test]
fn a_revocation_that_gets_a_signal_finishes_its_running_refresh_and_begins_nothing_else() {
    for signal in SIGNALS {
        let stage = Stage::new();
        stage.connect("customer-7", "one-shop");
        stage.connect("customer-7", "several-regions");
        stage.advance(7 * DAY - 3_600);
        stage.fake.clear_requests();
        let gate = Gate::before(&stage, REFRESH);
        let mut child = gate.command(&stage, &[], "disconnect customer-7 --revoke --yes").spawn().unwrap();
        gate.wait_for_request();
        send(signal, &child);
        assert_eq!(read_line(&mut child), NOTE, "{signal}");
        // The second release lets the refresh of the second account go on, if the command begins it by mistake.
        gate.release();
        gate.release();
        let ended = child.wait_with_output().unwrap();
        assert_eq!((ended.status.code(), ended.stdout), (Some(7), Vec::new()), "{signal}");
        let error = "error: stopped by a signal: nothing was revoked or deleted; run the same command again\n";
        assert_eq!(String::from_utf8(ended.stderr).unwrap(), error, "{signal}");

        let sent = |path: &str| stage.fake.requests().iter().filter(|request| request.path == path).count();
        assert_eq!((sent("/api/v2/token/refresh"), sent("/authorization/202403/shops")), (1, 0), "{signal}");
        // The first account has new tokens, and the second account is not claimed.
        assert_eq!(stage.ok("sweep", ""), "1 refreshed, 0 failed, notices: 0\n", "{signal}");
        for connection in stage.json("list-connections customer-7", "") {
            let account = connection["account"].as_str().unwrap();
            let refreshed = stage.json(&format!("refresh customer-7 --account {account} --force"), "").remove(0);
            assert_eq!((&refreshed["status"], &refreshed["effect"]), (&json!("active"), &json!("renewed")), "{signal}");
        }
    }
}

/// The signal comes while the rotation waits for running calls, before it removes the earlier data key.
#[test]
fn a_rotation_that_gets_a_signal_stops_and_is_finished_later() {
    for signal in SIGNALS {
        let stage = Stage::new();
        stage.connect("customer-7", "one-shop");
        let mut rotate = stage.command("keys rotate --single-machine");
        let mut child = rotate.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let note = read_line(&mut child);
        assert!(note.starts_with("note: waiting 180 s for running calls; "), "{note}");
        send(signal, &child);
        let ended = child.wait_with_output().unwrap();
        assert_eq!((ended.status.code(), ended.stdout), (Some(7), Vec::new()), "{signal}");
        let error = "error: stopped by a signal: the rotation is unfinished; run keys rotate to finish it\n";
        assert_eq!(String::from_utf8(ended.stderr).unwrap(), error, "{signal}");

        assert_usable(&stage, "customer-7");
        let finished = stage.ok("keys rotate --wait 0", "");
        assert!(finished.contains(", 1 data key removed\n"), "{signal}: {finished}");
        assert_usable(&stage, "customer-7");
    }
}

/// systemd may send SIGHUP after SIGTERM, and `timeout` sends its signal twice.
#[test]
fn further_signals_except_ctrl_c_change_nothing() {
    let stage = two_due();
    let gate = Gate::before(&stage, REFRESH);
    let mut child = gate.command(&stage, &[], "sweep --concurrency 1").spawn().unwrap();
    gate.wait_for_request();
    send("TERM", &child);
    assert_eq!(read_line(&mut child), NOTE);
    ["TERM", "HUP", "HUP"].iter().for_each(|signal| send(signal, &child));
    gate.release();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(ended.stdout, b"1 refreshed, 0 failed, notices: 0, stopped, 1 still due\n");
}

#[test]
fn ctrl_c_after_the_note_stops_a_sweep_at_once() {
    let stage = two_due();
    let gate = Gate::before(&stage, REFRESH);
    let mut sweep = gate.command(&stage, &[], "sweep --concurrency 1").spawn().unwrap();
    gate.wait_for_request();
    send("INT", &sweep);
    assert_eq!(read_line(&mut sweep), NOTE);
    send("INT", &sweep);
    let ended = sweep.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stdout), (Some(130), Vec::new()));
    assert_eq!(String::from_utf8(ended.stderr).unwrap(), "error: stopped at once\n");
    for customer in ["customer-7", "customer-8"] {
        assert_eq!(stage.json(&format!("list-connections {customer}"), "")[0]["status"], "active");
    }
}

#[test]
fn every_signal_ends_a_fake_without_a_note() {
    for signal in SIGNALS {
        let stage = Stage::new();
        let mut fake = stage.command("fake").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(fake.stdout.as_mut().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line == "Stop it with Ctrl-C."));
        send(signal, &fake);
        let ended = fake.wait_with_output().unwrap();
        assert_eq!((ended.status.code(), ended.stderr), (Some(0), Vec::new()), "{signal}");
    }
}

/// The input is longer than a pipe can hold. So when the test has written the whole input, the command has begun to
/// read, and it waits for the end of the input.
#[test]
fn a_command_that_waits_for_input_ends_at_a_signal_and_has_begun_nothing() {
    let call = "call customer-7 POST /order/202309/orders/search --body-file -";
    for (signal, arguments) in
        SIGNALS.into_iter().flat_map(|signal| [(signal, call), (signal, "webhook --authorization 0")])
    {
        let stage = Stage::new();
        let mut command = stage.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(&[b' '; 1 << 20]).unwrap();
        send(signal, &child);
        let ended = child.wait_with_output().unwrap();
        assert_eq!((ended.status.code(), ended.stdout), (Some(7), Vec::new()), "{signal}, {arguments}");
        let error = "error: stopped by a signal: standard input was not read to its end, and nothing was begun\n";
        assert_eq!(String::from_utf8(ended.stderr).unwrap(), error, "{signal}, {arguments}");
        drop(input);
    }
}

/// `script` runs the program on a pseudo terminal. When `script` is killed, the terminal is closed: the system sends
/// SIGHUP to the program, and each write to the terminal fails with EIO. After that, the test can't read the exit
/// status of the program. The program inherits the file descriptor 3, which is a pipe to this test. The end of the pipe
/// tells the test that the program has ended.
#[test]
#[cfg(target_os = "linux")]
fn a_closed_terminal_cuts_off_no_save() {
    for arguments in ["sweep --concurrency 1", "sweep --concurrency 1 --json --verbose"] {
        let stage = two_due();
        let gate = Gate::before(&stage, REFRESH);
        let on_terminal = format!("exec \"$PROGRAM\" {arguments}");
        let in_script = "exec 3>&1; exec script --quiet --command \"$ON_TERMINAL\" /dev/null";
        let mut terminal = gate.command_of(&stage, command("sh"));
        terminal
            .args(["-c", in_script])
            .env("SHELL", "/bin/sh")
            .env("ON_TERMINAL", on_terminal)
            .env("PROGRAM", PROGRAM);
        let mut child = terminal.spawn().unwrap();
        gate.wait_for_request();
        send("KILL", &child);
        child.wait().unwrap();
        gate.release();
        let mut printed = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut printed).unwrap();
        assert_eq!(stage.ok("sweep", ""), "1 refreshed, 0 failed, notices: 0\n", "{arguments}: the other one");
        assert_usable(&stage, "customer-7");
        assert_usable(&stage, "customer-8");
    }
}

#[test]
fn closed_pipes_cut_off_no_save() {
    for signal in SIGNALS {
        let stage = Stage::new();
        stage.connect("customer-7", "one-shop");
        let gate = Gate::before(&stage, REFRESH);
        let mut child = gate.command(&stage, &[], "refresh customer-7 --force --json --verbose").spawn().unwrap();
        gate.wait_for_request();
        drop((child.stdout.take(), child.stderr.take()));
        send(signal, &child);
        gate.release();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}");
        assert_usable(&stage, "customer-7");
    }
}

/// `nohup` makes a program ignore SIGHUP, so the program continues after its terminal is closed.
#[test]
#[cfg(target_os = "linux")]
fn nohup_keeps_a_sweep_running_after_sighup() {
    let stage = two_due();
    let gate = Gate::before(&stage, REFRESH);
    let child = gate.command(&stage, &["nohup"], "sweep --concurrency 1").spawn().unwrap();
    gate.wait_for_request();
    send("HUP", &child);
    gate.release();
    gate.release();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(ended.stdout, b"2 refreshed, 0 failed, notices: 0\n");
}
