//! Tests the output of `--json`: one object per line, with exactly the members that the tests list.

use serde_json::{Value, json};

use crate::run;
use crate::stage::{ACTOR, BEGIN, Stage};

const SHOP: &str = "7490000000000000001";

#[test]
fn every_command_prints_exactly_these_members() {
    let stage = Stage::new();
    let link = run(stage.command("authorization-url customer-7 --json"), "").stdout;
    let link: Value = serde_json::from_str(&link).unwrap();
    let (_, query) = link["url"].as_str().unwrap().split_once('?').unwrap();
    let page = format!("http://{}/open/authorize?{query}", stage.fake.address());
    assert_eq!(link, json!({ "url": link["url"], "fake_consent_page": page }));
    let callback = run(stage.command("authorization-url customer-7 --consent-as one-shop --json"), "").stdout;
    let callback: Value = serde_json::from_str(&callback).unwrap();
    let connected = stage.json("connect", &callback.to_string());

    let (account, app) = (stage.account("one-shop"), stage.app().app_key);
    let raw = connected[0]["shops"][0]["raw"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(raw).unwrap()["name"], "Teapot Corner");
    let shop = json!({
        "id": SHOP, "account": account, "app": app, "name": "Teapot Corner", "region": "GB", "seller_type": "LOCAL",
        "cipher": "present", "code": "GBLCFIX001", "standing": "granted", "linked": true, "raw": raw,
    });
    let scopes = connected[0]["granted_scopes"].clone();
    assert_eq!(scopes[0], "seller.authorization.info");
    let connection = json!({
        "customer": "customer-7", "account": account, "app": app, "seller_name": "Teapot Corner",
        "seller_base_region": "GB",
        "granted_scopes": scopes, "shop_policy": "all", "status": "active", "access_expires_at": BEGIN + 7 * 86_400,
        "refresh_expires_at": BEGIN + 36_135 * 86_400, "authorization_ends_at": null, "connected_at": BEGIN,
        "granted_at": BEGIN, "refreshed_at": BEGIN, "shops_synced_at": BEGIN, "shops": [shop], "last_failure": null,
    });
    assert_eq!(connected, vec![connection.clone()]);
    assert_eq!(stage.json("list-connections customer-7", ""), vec![connection.clone()]);
    let mut refreshed = connection.clone();
    refreshed["effect"] = json!("shops-read");
    assert_eq!(stage.json("refresh customer-7", ""), [refreshed]);
    assert_eq!(stage.json(&format!("link-shops customer-7 {SHOP}"), ""), [connection]);
    assert_eq!(stage.json("list-shops customer-7", ""), vec![shop.clone()]);
    let revealed = run(stage.command("list-shops customer-7 --reveal --json"), "").stdout;
    let revealed: Value = serde_json::from_str(&revealed).unwrap();
    assert_eq!(revealed["cipher"], "ROW_fixture01cipherOfGB");

    let ends = BEGIN + 7 * 86_400;
    assert_eq!(stage.json("access-token customer-7", ""), [json!({ "account": account, "expires_at": ends })]);
    let revealed = run(stage.command("access-token customer-7 --reveal --json"), "").stdout;
    let revealed: Value = serde_json::from_str(&revealed).unwrap();
    let issued = stage.fake.issued(&stage.app().service_id, "one-shop").unwrap();
    assert!(issued.honours_access_token(revealed["token"].as_str().unwrap()));

    let search = format!("call customer-7 POST /order/202309/orders/search --shop {SHOP} --body-file -");
    let answer = stage.json(&format!("{search} --query page_size=1"), "{}").remove(0);
    assert_eq!((&answer["http_status"], &answer["code"]), (&json!(200), &json!("0")));
    assert_eq!(answer["body_format"], "json");
    assert_eq!(answer["body"]["request_id"], answer["request_id"]);

    stage.fake.queue_webhook(&stage.app().service_id, 1, Some(SHOP), json!({ "order_id": "1" })).unwrap();
    let delivery = stage.fake.webhooks_due().remove(0);
    let take = format!("webhook --authorization {}", delivery.header("authorization").unwrap());
    let taken = stage.json(&take, &delivery.body).remove(0);
    let event = json!({
        "app": app, "notification_id": taken["event"]["notification_id"], "event_type": 1, "shop": SHOP, "occurred_at": BEGIN,
        "data": "{\"order_id\":\"1\"}", "effect": "none",
        "owners": [{ "customer": "customer-7", "account": account, "may_use": true }],
    });
    assert_eq!(taken, json!({ "status": 200, "outcome": "handled", "event": event }));
    assert_eq!(stage.json(&take, &delivery.body), [json!({ "status": 200, "outcome": "repeated" })]);

    let event = |position: u64, event: &str, cause: &str| {
        json!({
            "position": position, "at": BEGIN, "customer": "customer-7", "account": account, "event": event,
            "actor": ACTOR, "stated_reason": null, "cause": cause,
        })
    };
    let mut linked = event(2, "shops-linked", "connect");
    linked["shops"] = json!([SHOP]);
    let shown = [event(3, "token-shown", "access-token"), event(4, "token-shown", "access-token")];
    let [first, second] = shown;
    assert_eq!(stage.json("events", ""), [event(1, "connected", "connect"), linked, first, second]);
    stage.advance(7 * 86_400 - 3_600);
    let swept = [
        json!({ "tenant": "default", "customer": "customer-7", "account": account, "outcome": "refreshed" }),
        json!({
            "refreshed": 1, "ended": 0, "no_longer_due": 0, "held": 0, "backing_off": 0, "unusable": 0, "failed": 0,
            "notices": 0, "stopped": false, "left": 0,
        }),
    ];
    assert_eq!(stage.json("sweep", ""), swept);

    let ended =
        json!({ "customer": "customer-7", "found": true, "remaining": [], "ended": [account], "not_revoked": [] });
    assert_eq!(stage.json("disconnect customer-7", ""), [ended]);
    assert_eq!(stage.json("list-connections customer-7", ""), [json!(null); 0]);
}

#[test]
fn an_error_is_an_object() {
    let stage = Stage::new();
    stage.ok("migrate", "");
    let error = |arguments: &str, input: &str| {
        let run = stage.run(stage.command(&format!("{arguments} --json")), input);
        let object: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{arguments}: {}", run.stdout));
        let line = run.stderr.lines().find(|line| line.starts_with("error: ")).unwrap().to_owned();
        let error = object["error"].clone();
        assert_eq!(error["status"].as_i64(), run.status.map(i64::from), "{arguments}");
        assert!(line.contains(error["detail"].as_str().unwrap()), "{line}\n{error}");
        error
    };
    let object = error("refresh customer-7", "");
    assert_eq!(
        object,
        json!({
            "status": 13, "case": "invalid-request", "code": "not-connected", "detail": object["detail"],
            "next": "run authorization-url to begin a consent, or list-connections to see what is stored; docs/errors.md explains not-connected",
        })
    );
    let object = error("connect", "code=c&state=0123456789abcdef");
    assert_eq!((&object["case"], &object["code"]), (&json!("consent-not-finished"), &json!("state-mismatch")));
    let malformed = json!({ "status": 2, "case": "malformed", "detail": "missing: <CUSTOMER>; see --help" });
    assert_eq!(error("list-shops", ""), malformed);
    assert_eq!(error("keys erase", "")["case"], "malformed");
    assert_eq!(error("list-shops c --component /no/such/file", "")["case"], "unavailable");
    let retired = error("keys retire host-0000000000000000", "");
    assert_eq!(
        retired,
        json!({
            "status": 5, "case": "absent",
            "detail": "there is no host key host-0000000000000000; keys status shows the host keys",
        })
    );
}
