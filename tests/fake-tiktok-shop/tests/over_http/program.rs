//! Tests of the program `fake-tiktok-shop`.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::client::send;

/// Starts the program. Returns its process and the JSON object that it prints. The process ends when it is dropped.
pub(crate) async fn start(arguments: &[&str]) -> (Child, Value) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_fake-tiktok-shop"))
        .arg("--json")
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let line = BufReader::new(program.stdout.take().unwrap()).lines().next_line().await.unwrap().unwrap();
    (program, serde_json::from_str(&line).unwrap())
}

#[tokio::test]
async fn the_program_prints_its_address_and_serves_there() {
    let (_program, announcement) = start(&["--redirect", "https://platform.example/cb"]).await;
    let address = announcement["address"].as_str().unwrap().parse().unwrap();
    let consent = announcement["apps"][0]["consent"].as_str().unwrap();
    let target = consent.strip_prefix(&format!("http://{address}")).unwrap();
    assert_eq!(send(address, "GET", "localhost", target, &[], "").await.status, 200);
    let apps = send(address, "GET", "localhost", "/_control/apps", &[], "").await.json();
    assert_eq!(apps[0]["redirect_address"], "https://platform.example/cb");
    assert_eq!(apps[0]["app_secret"], announcement["apps"][0]["app_secret"]);
}

#[tokio::test]
async fn a_port_in_use_gets_a_one_line_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let output = Command::new(env!("CARGO_BIN_EXE_fake-tiktok-shop"))
        .args(["--port", &port.to_string()])
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    let expected = format!("fake-tiktok-shop: port {port} is in use; choose another with --port\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
}

#[tokio::test]
async fn a_wrong_redirect_address_gets_a_one_line_error() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_fake-tiktok-shop")).args(["--redirect", "/cb"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let expected = "fake-tiktok-shop: the redirect address \"/cb\" is not an absolute http or https address\n";
    assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
}
