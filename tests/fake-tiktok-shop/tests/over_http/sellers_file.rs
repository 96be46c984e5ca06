//! Tests of the file with more apps, sellers and shops.

use std::fs;

use serde_json::Value;
use tokio::process::Command;

use crate::client::send;
use crate::program::start;

/// The file that the documentation shows.
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/sellers.json");

#[tokio::test]
async fn the_program_adds_the_apps_sellers_and_shops_of_the_example() {
    let (_program, announcement) = start(&["--sellers", EXAMPLE]).await;
    let address = announcement["address"].as_str().unwrap().parse().unwrap();
    let names: Vec<_> = announcement["apps"].as_array().unwrap().iter().map(|app| &app["name"]).collect();
    assert_eq!(names, ["Northwind Sync", "Harbour Orders", "Meadow Stock"]);
    let sellers = send(address, "GET", "localhost", "/_control/sellers", &[], "").await.json();
    let added = sellers.as_array().unwrap().last().unwrap();
    assert_eq!((&added["id"], added["shops"].as_array().unwrap().len()), (&Value::from("two-shops"), 2));
    assert_eq!(added["authorization_lasts_seconds"], 2_592_000);
}

#[test]
fn the_documentation_shows_the_example() {
    let page = include_str!("../../../../docs/fake-tiktok-shop.md");
    let example = fs::read_to_string(EXAMPLE).unwrap();
    assert!(page.contains(&format!("```json\n{example}```")), "docs/fake-tiktok-shop.md shows another file");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_gets_a_one_line_error_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.json");
    let malformed = folder.path().join("malformed.json");
    fs::write(&malformed, "{\n  \"sellers\": [{\"id\": \"s\", \"name\": \"S\", \"region\": \"GB\"}]\n}").unwrap();
    let empty = folder.path().join("empty.json");
    fs::write(&empty, r#"{"sellers": [{"id": "", "name": "S", "base_region": "GB"}]}"#).unwrap();
    for (file, error) in [
        (missing, "No such file or directory (os error 2)"),
        (malformed, "unknown field `region`, expected one of"),
        (empty, "sellers[0]: id is empty"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_fake-tiktok-shop"))
            .args(["--sellers", file.to_str().unwrap()])
            .output()
            .await
            .unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
        let stderr = String::from_utf8(output.stderr).unwrap();
        let expected = format!("fake-tiktok-shop: {}: {error}", file.display());
        assert!(stderr.starts_with(&expected) && stderr.lines().count() == 1, "{stderr}");
    }
}
