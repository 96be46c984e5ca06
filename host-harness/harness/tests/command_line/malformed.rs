//! Tests malformed input of `sign` and `verify-webhook`. The program ends with status 2 and prints nothing to standard
//! output. It prints one line to standard error, which says where the mistake is but does not quote the input.

use std::io::{ErrorKind, Write as _};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::{REQUESTS, Run, WEBHOOKS, changed, harness, run, vectors};

/// Checks the error about this input. In `line`, the words `standard input: ` and the place of the whole input are left
/// out.
fn assert_refused(command: &str, input: impl AsRef<[u8]>, line: &str) {
    let line = line.strip_prefix(".: ").unwrap_or(line);
    let line = if line.starts_with("standard input ") { line.to_owned() } else { format!("standard input: {line}") };
    let shown: String = String::from_utf8_lossy(input.as_ref()).chars().take(200).collect();
    for arguments in ["", " --explain --json"] {
        let run = run(harness(&format!("{command}{arguments}")), &input);
        let expected = Run { status: Some(2), stdout: String::new(), stderr: format!("error: {line}\n") };
        assert_eq!(run, expected, "{command}{arguments} on {shown}");
    }
    assert!(!line.contains("CANARY"), "{line}");
}

#[test]
fn input_that_is_not_a_json_object_or_an_array_of_objects_is_refused() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let endless = "[".repeat(100_000);
    let table: &[(&[u8], &str)] = &[
        (b"", "standard input is empty"),
        (b" \r\n\t", "standard input is empty"),
        (b"CANARY", "not JSON: expected value at line 1 column 1"),
        (b"{", "not JSON: EOF while parsing an object at line 1 column 1"),
        (b"{\"app_secret\": \"CANARY", "not JSON: EOF while parsing a string at line 1 column 22"),
        (b"{\n  \"app_secret\": CANARY\n}", "not JSON: expected value at line 2 column 17"),
        (b"{\"a\": 1,}", "not JSON: key must be a string at line 1 column 9"),
        (b"{'a': 1}", "not JSON: key must be a string at line 1 column 2"),
        (b"{\"a\": 01}", "not JSON: invalid number at line 1 column 8"),
        (b"{} CANARY", "not JSON: trailing characters at line 1 column 4"),
        (b"{}\n{}", "not JSON: trailing characters at line 2 column 1"),
        (b"[{},]", "not JSON: expected value at line 1 column 5"),
        (b"{}\0", "not JSON: trailing characters at line 1 column 3"),
        (
            b"{\"body\": \"CANARY\0\"}",
            "not JSON: control character (\\u0000-\\u001F) found while parsing a string at line 1 column 16",
        ),
        (
            b"{\"body\": \"line\nCANARY\"}",
            "not JSON: control character (\\u0000-\\u001F) found while parsing a string at line 1 column 14",
        ),
        (b"{\"body\": \"\\x41\"}", "not JSON: invalid escape at line 1 column 12"),
        (b"{\"body\": \"CANARY\xff\"}", "standard input is not UTF-8 at byte 17"),
        (b"\xff\xfe{\0}\0", "standard input is not UTF-8 at byte 1"),
        (b"null", ".: neither an object nor an array of objects"),
        (b"1", ".: neither an object nor an array of objects"),
        (b" \"CANARY\"", ".: neither an object nor an array of objects"),
        (b"[]", ".: an empty array"),
        (b"[null]", ".[0]: not an object"),
        (b"[{}, \"CANARY\"]", ".[1]: not an object"),
        (b"[[{}]]", ".[0]: not an object"),
        (b"{\"\\ud800\": \"CANARY\"}", ".: an unpaired surrogate in a name"),
        (b"[{}, {\"a\": \"CANARY\", \"a\": \"CANARY\"}]", ".[1]: a duplicate member"),
        (b"{\"app_secret\": \"CANARY\", \"app\\u005fsecret\": \"x\"}", ".: a duplicate member"),
        (deep.as_bytes(), ".[0]: not an object"),
        (endless.as_bytes(), "not JSON: EOF while parsing a list at line 1 column 100000"),
    ];
    for (input, line) in table {
        for command in ["sign", "verify-webhook"] {
            assert_refused(command, input, line);
        }
    }
}

#[test]
fn input_longer_than_16_mib_is_refused() {
    let request = vectors(REQUESTS)[0].to_string();
    let filled = |bytes: usize| request.clone() + &" ".repeat(bytes - request.len());
    assert_refused("sign", filled(16 * 1024 * 1024 + 1), "standard input is longer than 16 MiB");
    assert_eq!(run(harness("sign"), filled(16 * 1024 * 1024)).status, Some(0));
}

#[test]
fn the_program_stops_reading_after_16_mib() {
    let mut child = harness("sign").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let written = stdin.write_all(&vec![b' '; 32 * 1024 * 1024]);
    assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe, "the program ends before it has read everything");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "error: standard input is longer than 16 MiB\n");
}

#[test]
fn a_deeply_nested_unknown_member_does_no_harm() {
    let request = vectors(REQUESTS)[0].to_string();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let request = request.replacen('{', &format!("{{\"deep\": {deep},"), 1);
    let run = run(harness("sign"), request);
    assert_eq!((run.status, run.stdout.len()), (Some(0), 65), "{}", run.stderr);
}

#[test]
fn a_request_that_can_t_be_signed_is_refused_and_the_member_is_named() {
    let name = |name: &str| json!({ "name": name, "value": "CANARY" });
    let repeated = "this name is repeated, and app_key and timestamp are always added; a repeated name can't be signed";
    let table: &[(Value, &str)] = &[
        (json!({ "app_key": null }), ".app_key: missing"),
        (json!({ "app_key": 29 }), ".app_key: not text"),
        (json!({ "app_key": "" }), ".app_key: empty"),
        (json!({ "app_secret": null }), ".app_secret: missing"),
        (json!({ "app_secret": ["CANARY"] }), ".app_secret: not text"),
        (json!({ "app_secret": "" }), ".app_secret: empty"),
        (json!({ "timestamp": null }), ".timestamp: missing"),
        (json!({ "timestamp": "1623812664" }), ".timestamp: not a whole number"),
        (json!({ "timestamp": 1_623_812_664.0 }), ".timestamp: not a whole number"),
        (json!({ "timestamp": 1_623_812_664.5 }), ".timestamp: not a whole number"),
        (json!({ "timestamp": -1 }), ".timestamp: not a whole number"),
        (json!({ "timestamp": true }), ".timestamp: not a whole number"),
        (json!({ "method": 7 }), ".method: not text"),
        (json!({ "path": null }), ".path: missing"),
        (json!({ "path": 7 }), ".path: not text"),
        (json!({ "path": "" }), ".path: does not begin with /; leave the host out"),
        (json!({ "path": "p" }), ".path: does not begin with /; leave the host out"),
        (
            json!({ "path": "https://open-api.tiktokglobalshop.com/CANARY" }),
            ".path: does not begin with /; leave the host out",
        ),
        (json!({ "path": "/p?a=CANARY" }), ".path: has a query; put its decoded pairs into \"query\""),
        (json!({ "path": "/p?" }), ".path: has a query; put its decoded pairs into \"query\""),
        (json!({ "path": "/p/" }), ".path: ends with /; no path of TikTok Shop does, and the / would be signed"),
        (json!({ "path": "/" }), ".path: ends with /; no path of TikTok Shop does, and the / would be signed"),
        (json!({ "path": "/p#CANARY" }), ".path: contains a character that is not sent in a path"),
        (json!({ "path": "/a b" }), ".path: contains a character that is not sent in a path"),
        (json!({ "path": "/ä" }), ".path: contains a character that is not sent in a path"),
        (json!({ "path": "/a\u{0}" }), ".path: contains a character that is not sent in a path"),
        (json!({ "query": "a=CANARY" }), ".query: not an array"),
        (json!({ "query": { "a": "CANARY" } }), ".query: not an array"),
        (json!({ "query": ["a=CANARY"] }), ".query[0]: not an object"),
        (json!({ "query": [["a", "CANARY"]] }), ".query[0]: not an object"),
        (json!({ "query": [name("a"), { "value": "CANARY" }] }), ".query[1].name: missing"),
        (json!({ "query": [{ "name": 7, "value": "CANARY" }] }), ".query[0].name: not text"),
        (json!({ "query": [name("")] }), ".query[0].name: empty"),
        (json!({ "query": [{ "name": "a" }] }), ".query[0].value: missing"),
        (json!({ "query": [{ "name": "a", "value": null }] }), ".query[0].value: missing"),
        (json!({ "query": [{ "name": "a", "value": 20 }] }), ".query[0].value: not text"),
        (json!({ "query": [name("a"), name("b"), name("a")] }), &format!(".query[2].name: {repeated}")),
        (json!({ "query": [name("app_key")] }), &format!(".query[0].name: {repeated}")),
        (json!({ "query": [name("a"), name("timestamp")] }), &format!(".query[1].name: {repeated}")),
        (json!({ "body": { "a": "CANARY" } }), ".body: not text"),
        (json!({ "body": 7 }), ".body: not text"),
        (json!({ "body": false }), ".body: not text"),
        (json!({ "content_type": ["CANARY"] }), ".content_type: not text"),
    ];
    let sample = &vectors(REQUESTS)[0];
    for (members, line) in table {
        assert_refused("sign", changed(sample, members).to_string(), line);
        // Here, the malformed request is the second request of an array. Nothing is printed about the first request,
        // not even a warning.
        let input = json!([changed(sample, &json!({ "body": "{}" })), changed(sample, members)]).to_string();
        assert_refused("sign", input, &format!(".[1]{line}"));
    }
    let text = sample.to_string();
    for (from, to, line) in [
        ("1623812664", "1e9", ".timestamp: not a whole number"),
        ("1623812664", "18446744073709551616", ".timestamp: not a whole number"),
        ("\"body\":null", "\"body\":\"CANARY\\ud83d\"", ".body: an unpaired surrogate"),
    ] {
        let input = text.replace(from, to);
        assert_ne!(input, text);
        assert_refused("sign", input, line);
    }
}

#[test]
fn a_webhook_that_can_t_be_checked_is_refused_and_the_member_is_named() {
    let table: &[(Value, &str)] = &[
        (json!({ "app_key": null }), ".app_key: missing"),
        (json!({ "app_key": "" }), ".app_key: empty"),
        (json!({ "app_secret": null }), ".app_secret: missing"),
        (json!({ "app_secret": "" }), ".app_secret: empty"),
        (json!({ "app_secret": 7 }), ".app_secret: not text"),
        (json!({ "previous_app_secret": "" }), ".previous_app_secret: empty"),
        (json!({ "previous_app_secret": ["CANARY"] }), ".previous_app_secret: not text"),
        (json!({ "body": null }), ".body: missing"),
        (json!({ "body": { "type": 6 } }), ".body: not text"),
        (json!({ "authorization": null }), ".authorization: missing"),
        (json!({ "authorization": ["CANARY"] }), ".authorization: not text"),
    ];
    let sample = &vectors(WEBHOOKS)[0];
    for (members, line) in table {
        assert_refused("verify-webhook", changed(sample, members).to_string(), line);
        let input = json!([changed(sample, &json!({ "authorization": "" })), changed(sample, members)]).to_string();
        assert_refused("verify-webhook", input, &format!(".[1]{line}"));
    }
}
