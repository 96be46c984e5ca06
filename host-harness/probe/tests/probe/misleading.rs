//! Surroundings that could mislead the probe: a late clock, rows that can't be read, and webhooks of an earlier run.

use std::time::Duration;

use fake_tiktok_shop::{DeauthorizeNotice, Ending, Fault, Piece, ReplacedRefreshToken};
use serde_json::json;
use tiktok_shop_probe::finding::Finding;
use tiktok_shop_probe::report::Ended;
use tiktok_shop_probe::run::run;
use tiktok_shop_probe::settings::Risk;
use tiktok_shop_probe::switch::Switch;

use crate::world::FakeWorld;

const START: u64 = 1_767_225_600;
const WEBHOOKS: &str = "/event/202309/webhooks";

#[tokio::test]
async fn a_replay_that_comes_late_does_not_make_the_time_of_a_replaced_token_too_short() {
    let mut world = FakeWorld::new(START, 0, "one-shop");
    world.control.update_switches(|switches| {
        switches.replaced_refresh_token = ReplacedRefreshToken::HonouredForSeconds(100);
    });
    world.late = 3;
    let mut settings = world.settings();
    settings.risk = Risk::MayEndConsent;
    settings.longest_wait = Duration::from_hours(1);
    let report = run(settings, &mut world).await.unwrap();
    assert_eq!(report.ended, Ended::Complete);
    // Each wait ends 3 s late here. So the replay after a pause of 97 s is sent 100 s after the refresh, and it is
    // refused.
    let expected = Finding::Seen {
        value: json!({ "honoured-for-seconds": 95 }),
        at_most_seconds: Some(100),
        why: "a replay 94 s after the refresh gets tokens, and a replay 100 s after it is refused".to_owned(),
    };
    assert_eq!(report.findings[&Switch::ReplacedRefreshToken], expected);
}

#[tokio::test]
async fn no_webhook_address_is_deleted_if_one_that_is_set_has_no_readable_event() {
    for row in [r#"{"event_type":7,"address":"https://a.example"}"#, "{}", r#"{"event_type":"A"},null"#] {
        let mut world = FakeWorld::new(START, 0, "one-shop");
        let body = format!(r#"{{"code":0,"message":"Success","data":{{"webhooks":[{row}]}}}}"#);
        let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        let fault = Fault { acts: false, sends: vec![Piece::Text(head + &body)], then: Ending::Close };
        world.control.fault_every(WEBHOOKS, "unreadable rows", fault);
        let settings = world.settings();
        let report = run(settings, &mut world).await.unwrap();
        assert_eq!(report.ended, Ended::Complete);
        let why = "a webhook address has no event that can be read".to_owned();
        assert_eq!(report.findings[&Switch::EmptyData], Finding::NotObservable { why }, "{row}");
        let deletes = |path: &str, method: &str| path == WEBHOOKS && method == "DELETE";
        let sent = world.control.requests();
        assert!(!sent.iter().any(|request| deletes(&request.path, &request.method)), "{row}");
    }
}

#[tokio::test]
async fn a_webhook_of_an_earlier_run_is_none_of_this_run() {
    let mut world = FakeWorld::new(START - 3_600, 0, "one-shop");
    world.control.update_switches(|switches| switches.deauthorize_notice = DeauthorizeNotice::None);
    let seller = world.control.sellers().into_iter().find(|seller| seller.id == world.seller).unwrap();
    world.control.queue_webhook(&world.app.service_id, 6, Some(&seller.shops[0].id), json!({})).unwrap();
    world.control.set_now(START);
    world.receive_webhooks().await;
    let mut settings = world.settings();
    settings.risk = Risk::EndsConsent;
    settings.longest_wait = Duration::from_mins(1);
    let report = run(settings, &mut world).await.unwrap();
    assert_eq!(report.ended, Ended::Complete);
    // It has arrived: its form counts.
    assert_eq!(report.findings[&Switch::WebhookBody].value().unwrap(), "as-signed");
    let why = "no webhook of type 6 arrived: none was sent, it comes later, or it did not reach the run".to_owned();
    assert_eq!(report.findings[&Switch::DeauthorizeNotice], Finding::Unclear { why });
    let not_observable = [
        (Switch::WebhookDelay, "no webhook arrived about a removal of this run"),
        (Switch::WebhookCopies, "no such webhook arrived"),
        (Switch::RefusedWebhook, "no second webhook arrived that could be answered 401"),
    ];
    for (switch, why) in not_observable {
        assert_eq!(report.findings[&switch], Finding::NotObservable { why: why.to_owned() }, "{switch:?}");
    }
}
