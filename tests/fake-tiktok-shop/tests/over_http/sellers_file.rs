//! Tests of the file with more apps, sellers and shops.

use std::fs;

use fake_tiktok_shop::{Market, Seller, Shop, fixtures};
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
    assert_eq!(names, ["Northwind Sync", "Harbour Orders", "Northwind Sync US", "Meadow Stock"]);
    let links = announcement["apps"].as_array().unwrap().iter().map(|app| app["authorization_link"].as_str().unwrap());
    let hosts: Vec<_> = links.map(|link| link.split('/').nth(2).unwrap()).collect();
    let (global, us) = ("services.tiktokshop.com", "services.us.tiktokshop.com");
    assert_eq!(hosts, [global, global, us, global]);
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

#[test]
fn the_documentation_lists_the_apps_and_sellers() {
    let page = include_str!("../../../../docs/fake-tiktok-shop.md");
    let apps: String = fixtures::apps()
        .iter()
        .map(|app| format!("| {} | `{}` | `{}` | `{}` |\n", app.name, app.app_key, app.service_id, app.market.name()))
        .collect();
    let of_shop = |seller: &Seller, shop: &Shop| {
        let sees = |market: &Market| market.has(&shop.region);
        let markets = [Market::All, Market::OutsideUs, Market::Us].into_iter().filter(sees);
        let markets: Vec<_> = markets.map(|market| format!("`{}`", market.name())).collect();
        let Shop { id, name, region, .. } = shop;
        format!("| `{}` | `{id}` | {name} | {region} | {} |\n", seller.id, markets.join(", "))
    };
    let of_seller = |seller: &Seller| match &*seller.shops {
        [] => format!("| `{}` | no shop |  |  | none |\n", seller.id),
        shops => shops.iter().map(|shop| of_shop(seller, shop)).collect(),
    };
    let sellers: String = fixtures::sellers().iter().map(of_seller).collect();
    for table in [apps, sellers] {
        let expected = format!("| --- |\n{table}\n");
        assert!(page.contains(&expected), "docs/fake-tiktok-shop.md should have this table:\n{table}");
    }
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
        (missing, "there is no such file; name the JSON file of apps and sellers with --sellers"),
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
