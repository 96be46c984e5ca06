//! What a tester does on the pages, with the keyboard only: a consent, a removal, a webhook.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use fake_tiktok_shop::{GrantState, TokenVerdict, WebhookState};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::browser::{Browser, ENTER, Screen};
use crate::stage::{Stage, parameter};

#[tokio::test]
async fn a_seller_consents_by_keyboard_and_the_app_gets_a_code_that_works() {
    let Some(browser) = Browser::start(Screen::Desktop).await else { return };
    let stage = Stage::new();
    browser.open(&stage.page("/")).await;
    browser.shows("No app has exchanged an authorization code so far.").await;
    browser.tab_to("Open the consent page", Some("Northwind Sync")).await;
    browser.press([ENTER]).await;

    browser.shows("You are signed in as Teapot Corner").await;
    browser.tab_to("Or sign in as", None).await;
    browser.press("Lantern".chars()).await;
    browser.tab_to("Change", None).await;
    browser.press([ENTER]).await;
    browser.shows("You are signed in as Lantern & Loom").await;
    browser.shows("See and ship your packages").await;
    browser.picture("consent-desktop").await;
    let looks = browser
        .script(
            "return [...document.querySelectorAll('button[name=decision]')].map(b => {
               const s = getComputedStyle(b); return [b.textContent, s.backgroundColor, s.color].join(' ') })",
        )
        .await;
    let (allow, refuse) = (looks[0].as_str().unwrap(), looks[1].as_str().unwrap());
    assert!(allow.starts_with("Allow ") && refuse.starts_with("Refuse "), "{looks}");
    assert_ne!(allow.trim_start_matches("Allow "), refuse.trim_start_matches("Refuse "));

    browser.tab_to("Allow", None).await;
    browser.press([ENTER]).await;
    browser.shows("The seller has allowed.").await;
    browser.shows("The code works once, within 30 minutes of the fake's time.").await;
    browser.picture("callback-desktop").await;
    let address = browser.address().await;
    let shown = browser.script("return document.querySelector('input[readonly]').value").await;
    assert_eq!(shown, address.as_str(), "the page shows the whole address");
    let (_, query) = address.split_once("/callback?").unwrap();
    assert_eq!(parameter(query, "state"), "a-state-of-your-own");
    stage.exchange(&parameter(query, "code")).await;

    browser.tab_to("Back to the grants", None).await;
    browser.press([ENTER]).await;
    browser.shows("Lantern & Loom → Northwind Sync").await;
    browser.shows("in force").await;
}

#[tokio::test]
async fn a_seller_removes_the_app_by_keyboard_and_the_grant_and_its_tokens_end() {
    let Some(browser) = Browser::start(Screen::Phone).await else { return };
    let stage = Stage::new();
    stage.connect("one-shop").await;
    stage.connect("several-regions").await;
    browser.open(&stage.page("/")).await;
    browser.tab_to("Take away: Lantern & Loom DE", Some("Lantern & Loom → Northwind Sync")).await;
    browser.press([ENTER]).await;
    browser.shows("The grant no longer covers the shop 7490000000000000002.").await;
    browser.tab_to("Give back: Lantern & Loom DE", Some("Lantern & Loom → Northwind Sync")).await;
    browser.press([ENTER]).await;
    browser.shows("The grant covers the shop 7490000000000000002 again.").await;
    assert!(stage.control.grants()[1].shops.iter().all(|shop| shop.granted));

    browser.tab_to("Remove the app", Some("Teapot Corner → Northwind Sync")).await;
    browser.press([ENTER]).await;
    browser.shows("The seller one-shop has removed the app. Webhooks that are due: 2.").await;
    browser.picture("removed-phone").await;
    let grant = &stage.control.grants()[0];
    assert_eq!(grant.state, GrantState::Removed);
    assert_eq!(grant.access_tokens[0].verdict, TokenVerdict::Refused);
    assert_eq!(grant.refresh_tokens[0].verdict, TokenVerdict::Refused);
    assert_eq!(stage.control.grants()[1].state, GrantState::InForce, "another seller's grant stays");
}

#[tokio::test]
async fn a_webhook_is_sent_and_repeated_by_keyboard_and_the_receiver_gets_it_signed() {
    let Some(browser) = Browser::start(Screen::Desktop).await else { return };
    let stage = Stage::new();
    stage.connect("one-shop").await;
    stage.control.deauthorize(&stage.app.service_id, "one-shop").unwrap();
    let (receiver, mut received) = receiver().await;

    browser.open(&stage.page("/")).await;
    browser.tab_to("Webhooks", None).await;
    browser.press([ENTER]).await;
    browser.shows("Send the due webhooks (1)").await;
    browser.tab_to("Receiver: address and port", None).await;
    // The browser selects the content of a field that gets the focus by Tab, so typing replaces it.
    browser.press(receiver.chars()).await;
    browser.tab_to("Send the due webhooks (1)", None).await;
    browser.press([ENTER]).await;
    browser.shows(&format!("Sent to http://{receiver}/webhooks. Webhook 1: delivered.")).await;
    browser.picture("webhook-desktop").await;
    let (signature, first) = received.recv().await.unwrap();
    assert_eq!(signature, stage.control.webhook_signature(&stage.app.service_id, &first).unwrap());
    assert_eq!(stage.control.webhooks()[0].state, WebhookState::Delivered);

    browser.tab_to("Queue it again", Some("Webhook 1")).await;
    browser.press([ENTER]).await;
    browser.shows("Webhook 2 repeats webhook 1 with the same id.").await;
    browser.tab_to("Send", Some("Webhook 2")).await;
    browser.press([ENTER]).await;
    browser.shows("Webhook 2: delivered.").await;
    let (_, second) = received.recv().await.unwrap();
    assert_eq!(id(&first), id(&second));
}

/// Starts a receiver of webhooks, as a platform has one. Returns its address, and a channel that yields the signature
/// and the body of each webhook that arrives.
async fn receiver() -> (String, mpsc::UnboundedReceiver<(String, Bytes)>) {
    type Webhooks = mpsc::UnboundedSender<(String, Bytes)>;

    async fn receive(State(webhooks): State<Webhooks>, headers: HeaderMap, body: Bytes) {
        let signature = headers["authorization"].to_str().unwrap().to_owned();
        webhooks.send((signature, body)).unwrap();
    }

    let (sender, received) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = Router::new().route("/webhooks", post(receive)).with_state(sender);
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, received)
}

fn id(body: &[u8]) -> Value {
    serde_json::from_slice::<Value>(body).unwrap()["tts_notification_id"].clone()
}
