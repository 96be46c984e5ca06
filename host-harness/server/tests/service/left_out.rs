//! Tests that no answer shows a customer as not connected if a row is missing or was changed in the database.

use serde_json::{Value, json};
use tiktok_shop_host::connection::ConnectionKey;
use tiktok_shop_host::storage::Next;

use crate::log::Log;
use crate::stage::Stage;

/// Replaces the stored row of a connection by a row with another name of the seller, or deletes the row.
async fn change(stage: &Stage, key: &ConnectionKey, deletes: bool) {
    let (storage, tenant) = (stage.storage(), "acme".parse().unwrap());
    let stored = storage.load_row(&tenant, key).await.unwrap().unwrap();
    let mut row = stored.row.clone();
    row.index.seller_name = "Other".to_owned();
    let changed = Next { revision: "changed".parse().unwrap(), value: row };
    let next = (!deletes).then_some(&changed);
    storage.swap_row(&tenant, key, Some(&stored.revision), next, &[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_changed_or_is_missing_is_named_in_every_list() {
    let stage = Stage::new().await;
    let account = stage.connect("customer-7", "one-shop").await;
    stage.connect("customer-8", "several-regions").await;
    let key = ConnectionKey { customer: "customer-7".parse().unwrap(), account: account.parse().unwrap() };
    let (connections, shops) = ("/v1/customers/customer-7/connections", "/v1/customers/customer-7/shops");
    let refresh = format!("{connections}/{account}/refresh");
    assert_eq!(stage.get(connections).await.json().get("left_out"), None);

    for (deletes, code) in [(false, "row-changed"), (true, "row-missing")] {
        change(&stage, &key, deletes).await;
        let left_out = json!([{ "customer": "customer-7", "account": account, "code": code }]);
        assert_eq!(stage.get(connections).await.json(), json!({ "connections": [], "left_out": left_out }));
        assert_eq!(stage.get(shops).await.json(), json!({ "shops": [], "left_out": left_out }));
        assert_eq!(stage.get(&format!("{connections}/{account}")).await.problem(), (503, code.to_owned()));
        let of_tenant = stage.get("/v1/connections").await.json();
        assert_eq!(of_tenant["connections"].as_array().unwrap().len(), 1);
        // A row that is missing is in no list of rows.
        assert_eq!(of_tenant.get("left_out"), (!deletes).then_some(&left_out));
        let counted =
            format!("tiktok_shop_connections_left_out_total{{code=\"{code}\"}} {}", if deletes { 3 } else { 4 });
        let metrics = stage.get("/metrics").await.text();
        assert!(metrics.lines().any(|line| line == counted), "{counted} in {metrics}");
        let logged = format!("account=\"{account}\" code=\"{code}\"");
        let log = String::from_utf8(Log::of_process().text()).unwrap();
        assert!(log.lines().any(|line| line.contains(&logged)), "{logged}");
    }

    assert_eq!(stage.post(&refresh, &json!({ "mode": "when-due" })).await.status, 200);
    let one = stage.get(&format!("{connections}/{account}")).await.json();
    assert_eq!(one["seller_name"], Value::from("Teapot Corner"));
}
