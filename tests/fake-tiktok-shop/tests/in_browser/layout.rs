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
const MAX_HEIGHT: u64 = 5_500;

/// Returns the texts, and the controls with a border, whose contrast to what is behind them is lower than level AA of
/// WCAG 2.2 asks for: 4.5 for a text, 3 for the border of a control.
const LOW_CONTRAST: &str = "
    const channels = c => { const p = c.match(/[\\d.]+/g).map(Number); return p.length > 3 ? p : [...p, 1] };
    const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const luminance = c => {
        const [r, g, b] = c.slice(0, 3).map(v => linear(v / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratio = (a, b) => {
        const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
        return (high + 0.05) / (low + 0.05);
    };
    const behind = e => {
        for (; e; e = e.parentElement) {
            const c = channels(getComputedStyle(e).backgroundColor);
            if (c[3] === 1) return c;
        }
        return [255, 255, 255, 1];
    };
    const low = [];
    for (const e of document.querySelectorAll('body *')) {
        if (!e.checkVisibility()) continue;
        const style = getComputedStyle(e);
        const control = e.matches('input, select, textarea, button');
        const text = control || [...e.childNodes].some(n => n.nodeType === Node.TEXT_NODE && n.textContent.trim());
        if (text && ratio(channels(style.color), behind(e)) < 4.5) low.push('text: ' + e.outerHTML);
        const border = channels(style.borderTopColor);
        if (control && ratio(border, behind(e.parentElement)) < 3) low.push('border: ' + e.outerHTML);
    }
    return low;";

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
        let cut = browser
            .script(
                "return [...document.querySelectorAll('summary code, article dd code')]
                   .filter(c => c.scrollWidth > c.clientWidth + 1).map(c => c.textContent)",
            )
            .await;
        assert_eq!(cut, json!([]), "{page}: the ends of these codes are out of sight");
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
        assert_eq!(browser.script(LOW_CONTRAST).await, json!([]), "{page}: the contrast is too low");
    }
    browser.prefer_dark().await;
    let light = "rgb(255, 255, 255)";
    for (page, path) in PAGES {
        browser.open(&stage.page(path)).await;
        browser.picture(&format!("{page}-{name}-dark")).await;
        let back = browser.script("return getComputedStyle(document.body).backgroundColor").await;
        assert_ne!(back, light, "{page} is not dark");
        browser.script("document.querySelectorAll('details').forEach(d => d.open = true)").await;
        assert_eq!(browser.script(LOW_CONTRAST).await, json!([]), "{page}: the contrast is too low in dark colours");
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
