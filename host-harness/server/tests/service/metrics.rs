//! Compares the metrics of a running service with docs/operations.md, with the alert rules and with the dashboard.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fake_tiktok_shop::Fault;
use serde_json::{Value, json};
use tiktok_shop_server::Settings;

use crate::http::Request;
use crate::stage::{SHOP, Stage};

const GUIDE: &str = include_str!("../../../../docs/operations.md");
const ALERTS: &str = include_str!("../../../../deploy/prometheus/alerts.yaml");
const DASHBOARD: &str = include_str!("../../../../deploy/grafana/dashboard.json");

/// The ends of the names of the series that a histogram consists of.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// What `/metrics` shows about a metric, or what the table says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Metric {
    kind: String,
    labels: BTreeSet<String>,
}

/// Reads the text of `/metrics`. Fails if a metric has no help.
fn shown(text: &str) -> BTreeMap<String, Metric> {
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    let mut helped = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            metrics.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            helped.insert(rest.split(' ').next().unwrap().to_owned());
        } else {
            let series = &line[..line.rfind(' ').unwrap()];
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let whole =
                PARTS.iter().find_map(|part| name.strip_suffix(part)).filter(|whole| metrics.contains_key(*whole));
            let metric = metrics.get_mut(whole.unwrap_or(name)).unwrap_or_else(|| panic!("{name} has no type"));
            // No value of a label in this test contains a comma or a quotation mark.
            let names = labels.split(',').filter_map(|label| label.split_once("=\"")).map(|(name, _)| name);
            metric.labels.extend(names.filter(|name| *name != "le").map(str::to_owned));
        }
    }
    let names: BTreeSet<_> = metrics.keys().cloned().collect();
    assert_eq!(names.difference(&helped).collect::<Vec<_>>(), [""; 0], "every metric has a help text");
    metrics
}

/// Reads the table of docs/operations.md.
fn documented() -> BTreeMap<String, Metric> {
    let rows = GUIDE.lines().filter(|line| line.starts_with("| `tiktok_shop_"));
    let cells = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
    rows.map(|row| {
        let columns: Vec<_> = row.split('|').map(str::trim).collect();
        (columns[1].trim_matches('`').to_owned(), Metric { kind: columns[2].to_owned(), labels: cells(columns[3]) })
    })
    .collect()
}

/// Returns the names of metrics in a text.
fn named_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("tiktok_shop_")).map(str::to_owned).collect()
}

/// Lets the service do everything that has a metric, and returns what `/metrics` then shows.
async fn everything() -> BTreeMap<String, Metric> {
    let change = |settings: &mut Settings| {
        settings.sweep_every = Some(Duration::from_millis(20));
        settings.count_every = Duration::from_millis(20);
    };
    let stage = Stage::with(change, None).await;
    let account = stage.connect("customer-7", "one-shop").await;
    stage.post(&format!("/v1/customers/customer-7/shops/{SHOP}/tiktok/order/202309/orders/search"), &json!({})).await;
    Request::new(stage.address, "POST", "/webhooks/acme").send().await;
    assert_eq!(stage.get("/readyz").await.status, 200);
    // The answer to a refresh is lost, so its claim stays, and the next refresh finds it.
    stage.fake.fault_next(
        "/api/v2/token/refresh",
        "reset",
        Fault { acts: false, sends: vec![], then: fake_tiktok_shop::Ending::Reset },
    );
    let refresh = format!("/v1/customers/customer-7/connections/{account}/refresh");
    stage.post(&refresh, &json!({ "mode": "forced" })).await;
    let second = stage.post(&refresh, &json!({ "mode": "forced" })).await;
    assert_eq!(second.json()["nothing_sent"]["code"], "refresh-in-progress", "{}", second.text());
    // The sweep and the census run beside the requests.
    let mut metrics = BTreeMap::new();
    for _ in 0..1_000 {
        metrics = shown(&stage.get("/metrics").await.text());
        if ["tiktok_shop_sweeps_total", "tiktok_shop_connections"].iter().all(|name| metrics.contains_key(*name)) {
            break;
        }
    }
    metrics
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_documented_with_its_type_and_labels_and_no_other_is() {
    let (shown, documented) = (everything().await, documented());
    for (name, metric) in &shown {
        assert_eq!(documented.get(name), Some(metric), "{name} in docs/operations.md");
    }
    let missing: Vec<_> = documented.keys().filter(|name| !shown.contains_key(*name)).collect();
    assert_eq!(missing, [""; 0], "documented, but not in /metrics");
}

#[test]
fn alerts_and_dashboard_use_documented_metrics_and_every_alert_is_explained() {
    let documented = documented();
    let known = |name: &String| {
        let whole = PARTS.iter().find_map(|part| name.strip_suffix(part));
        documented.contains_key(name) || whole.is_some_and(|whole| documented.contains_key(whole))
    };
    for (file, text) in [("alerts.yaml", ALERTS), ("dashboard.json", DASHBOARD)] {
        let names = named_in(text);
        assert!(names.len() > 10, "{file} names metrics");
        let unknown: Vec<_> = names.iter().filter(|name| !known(name)).collect();
        assert_eq!(unknown, [""; 0], "{file}");
    }
    let alerts = ALERTS.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let explained = GUIDE.lines().filter_map(|line| line.strip_prefix("| `TikTokShop")?.split('`').next());
    assert_eq!(
        alerts.map(|name| name.strip_prefix("TikTokShop").unwrap()).collect::<Vec<_>>(),
        explained.collect::<Vec<_>>()
    );
    assert_eq!(ALERTS.matches("- alert: ").count(), ALERTS.matches("what_to_do: ").count());
}

#[test]
fn every_panel_of_the_dashboard_has_a_description_and_a_place_of_its_own() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut places = BTreeSet::new();
    for panel in panels {
        let number = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        for column in number("x")..number("x") + number("w") {
            for line in number("y")..number("y") + number("h") {
                assert!(column < 24 && places.insert((column, line)), "{panel}");
            }
        }
        if panel["type"] != "row" {
            assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{panel}");
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{panel}");
        }
    }
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
}
