//! The pages fit the screens of a phone and of a desktop, and keyboard and screen readers find everything.

use std::time::Duration;

use fake_tiktok_shop::{EarlierToken, Fault};
use serde_json::json;

use crate::browser::{Browser, Screen};
use crate::stage::Stage;

const PAGES: [(&str, &str); 9] = [
    ("grants", "/"),
    ("sellers", "/_pages/sellers"),
    ("webhooks", "/_pages/webhooks"),
    ("requests", "/_pages/requests"),
    ("switches", "/_pages/switches"),
    ("control", "/_pages/control"),
    ("consent", "/open/authorize?service_id=7480000000000000001&state=abc&seller=cross-border"),
    ("callback", "/callback?code=ROW_0123456789abcdef0123456789abcdef&state=0123456789abcdef0123456789abcdef"),
    ("problem", "/open/authorize?service_id=1"),
];

/// The maximum height of a page on a phone while everything on the page is folded, in CSS pixels.
const MAX_HEIGHT: u64 = 6_500;

#[tokio::test]
async fn every_page_fits_a_phone() {
    every_page_fits(Screen::Phone, "phone").await;
}

#[tokio::test]
async fn every_page_fits_a_desktop() {
    every_page_fits(Screen::Desktop, "desktop").await;
}

async fn every_page_fits(screen: Screen, name: &str) {
    let Some(browser) = Browser::start(screen).await else { return };
    let stage = busy().await;
    for (page, path) in PAGES {
        browser.open(&stage.page(path)).await;
        browser.picture(&format!("{page}-{name}")).await;
        let height = browser.script("return document.documentElement.scrollHeight").await.as_u64().unwrap();
        assert!(height < MAX_HEIGHT, "{page}: {height} px");
        browser.script("document.querySelectorAll('details').forEach(d => d.open = true)").await;
        browser.picture(&format!("{page}-{name}-open")).await;

        let width = browser.script("return document.documentElement.scrollWidth").await.as_u64().unwrap();
        assert!(width <= screen.width(), "{page}: {width} px");
        let broken = browser
            .script(
                "return [...document.querySelectorAll('code')].filter(c => !c.textContent.includes('\\n')
                   && c.getBoundingClientRect().height > 1.9 * parseFloat(getComputedStyle(c).lineHeight))
                   .map(c => c.textContent)",
            )
            .await;
        assert_eq!(broken, json!([]), "{page}: these codes are broken into lines");
        let outside = browser
            .script(
                "return [...document.querySelectorAll('button, input:not([type=hidden]), select, textarea, a, summary')]
                   .filter(e => !e.classList.contains('skip'))
                   .filter(e => { const r = e.getBoundingClientRect();
                      return r.left < 0 || r.right > document.documentElement.clientWidth + 1 })
                   .map(e => e.outerHTML)",
            )
            .await;
        assert_eq!(outside, json!([]), "{page}: these controls reach beyond the screen");
        let unnamed = browser
            .script(
                "return [...document.querySelectorAll('button, input:not([type=hidden]), select, textarea, a')]
                   .filter(e => !(e.labels && e.labels.length) && !e.getAttribute('aria-label')
                      && !e.textContent.trim()).map(e => e.outerHTML)",
            )
            .await;
        assert_eq!(unnamed, json!([]), "{page}: a screen reader can't name these controls");
    }
    browser.prefer_dark().await;
    let light = "rgb(255, 255, 255)";
    for (page, path) in PAGES {
        browser.open(&stage.page(path)).await;
        browser.picture(&format!("{page}-{name}-dark")).await;
        let back = browser.script("return getComputedStyle(document.body).backgroundColor").await;
        assert_ne!(back, light, "{page} is not dark");
    }
}

/// Returns a fake with something to show on every page.
async fn busy() -> Stage {
    let stage = Stage::new();
    let control = &stage.control;
    for seller in ["one-shop", "several-regions", "cross-border", "creator"] {
        stage.connect(seller).await;
    }
    stage.connect("one-shop").await;
    control.rotate_tokens(&stage.app.service_id, "one-shop").unwrap();
    control.deauthorize_shop(&stage.app.service_id, "several-regions", "7490000000000000003").unwrap();
    control.revoke("creator").unwrap();
    control.end_authorization("cross-border").unwrap();
    let data = json!({ "order_id": "576000000000000001", "order_status": "AWAITING_SHIPMENT" });
    control.queue_webhook(&stage.app.service_id, 1, Some("7490000000000000001"), data.clone()).unwrap();
    control.queue_webhook(&stage.app.service_id, 1, None, data).unwrap();
    control.webhook_answered(1, Some(200)).unwrap();
    control.webhook_answered(2, Some(500)).unwrap();
    control.advance(Duration::from_secs(3_600));
    control.update_switches(|switches| switches.access_token_after_refresh = EarlierToken::Refused);
    let name = "HTTP 429, Retry-After: 7";
    control.fault_every("/api/v2/token/refresh", name, Fault::named(name).unwrap());
    stage.get("/api/v2/token/refresh?app_key=6fakeapp00001&refresh_token=unknown&grant_type=refresh_token").await;
    stage.get("/authorization/202309/shops?app_key=6fakeapp00001&timestamp=1767225600&sign=wrong").await;
    stage
}
