//! Tests of a fake that behaves as a report of the probe says.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::client::send;

#[tokio::test]
async fn the_switches_of_a_report_are_set_and_the_others_keep_their_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("probe.json");
    let switches = json!({
        "replaced_refresh_token": { "honoured-for-seconds": 31 },
        "status_105002": "ok",
        "webhook_timestamp": "text",
    });
    let report = json!({ "format": "tiktok-shop-probe", "version": 1, "switches": switches, "steps": [] });
    fs::write(&file, report.to_string()).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_fake-tiktok-shop"))
        .args(["--json", "--as", file.to_str().unwrap()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let line = BufReader::new(program.stdout.take().unwrap()).lines().next_line().await.unwrap().unwrap();
    let announcement: Value = serde_json::from_str(&line).unwrap();
    let address = announcement["address"].as_str().unwrap().parse().unwrap();
    let mut set = send(address, "GET", "localhost", "/_control/switches", &[], "").await.json();
    for (name, value) in switches.as_object().unwrap() {
        assert_eq!(set[name].take(), *value, "{name}");
    }
    let mut defaults = serde_json::to_value(fake_tiktok_shop::Switches::default()).unwrap();
    switches.as_object().unwrap().keys().for_each(|name| defaults[name] = Value::Null);
    assert_eq!(set, defaults);
    program.kill().await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_report_gets_a_one_line_error_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let report = |version: u64, switches: Value| {
        json!({ "format": "tiktok-shop-probe", "version": version, "switches": switches }).to_string()
    };
    for (name, text, error) in [
        ("missing", None, "there is no such file; name the file probe.json of a probe with --as"),
        (
            "text",
            Some("probe".to_owned()),
            "not a report of the probe: expected value at line 1 column 1; name the file probe.json that ",
        ),
        (
            "other",
            Some(r#"{"format":"x","version":1,"switches":{}}"#.to_owned()),
            "not a report of the probe; name the file probe.json that the command probe has written",
        ),
        (
            "newer",
            Some(report(2, json!({}))),
            "a report of version 2, and this fake reads version 1; use the fake of the release whose probe wrote the \
             report, or run the probe of this release again",
        ),
        ("unknown", Some(report(1, json!({ "rotation": true }))), "unknown field `rotation`, expected one of"),
        (
            "value",
            Some(report(1, json!({ "refusal_error": "no" }))),
            "unknown variant `no`, expected `auth_denied` or `access_denied`",
        ),
    ] {
        let file = folder.path().join(name);
        if let Some(text) = text {
            fs::write(&file, text).unwrap();
        }
        let output = Command::new(env!("CARGO_BIN_EXE_fake-tiktok-shop"))
            .args(["--as", file.to_str().unwrap()])
            .output()
            .await
            .unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{name}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        let expected = format!("fake-tiktok-shop: {}: {error}", file.display());
        assert!(stderr.starts_with(&expected) && stderr.lines().count() == 1, "{stderr}");
    }
}
