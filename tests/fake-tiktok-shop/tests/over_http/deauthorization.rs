//! Tests of the removal of grants and of single shops, by the app or by the seller, with every value of the switches
//! for removals. A test that covers one switch is named after that switch.

use std::time::Duration;

use fake_tiktok_shop::{
    ControlError, DeauthorizeAgain, DeauthorizeNotice, DeauthorizeShop, EarlierToken, EmptyData, Fault,
    LastShopRemoved, RefreshTokenOnRefresh, Switches, TokensAfterRemoval, WrongCipher,
};
use serde_json::{Value, json};

use crate::client::{Reply, SignedCall, World};
use crate::gate::{ACTIVE_SHOPS, DEAUTHORIZE, WEBHOOKS};

const OK: (u16, i64) = (200, 0);
const NO_AUTHORIZATION: (u16, i64) = (200, 36_004_005);
const INVALID_ACCESS_TOKEN: (u16, i64) = (401, 105_001);
const WRONG_CIPHER: (u16, i64) = (400, 106_013);

/// The ids of the shops of the seller `cross-border`.
const SHOPS: [&str; 5] =
    ["7490000000000000005", "7490000000000000006", "7490000000000000007", "7490000000000000008", "7490000000000000009"];

/// A connected seller, with its tokens and the ciphers of its shops.
struct Connected {
    world: World,
    access_token: String,
    refresh_token: String,
    ciphers: Vec<String>,
}

impl Connected {
    async fn new(seller: &str, change: impl FnOnce(&mut Switches)) -> Self {
        let world = World::with_switches(|switches| {
            // With this value of the switch, a refresh token can be presented more than once.
            switches.refresh_token_on_refresh = RefreshTokenOnRefresh::Unchanged;
            change(switches);
        });
        let (access_token, refresh_token) = world.connect(seller).await;
        let shops = world.list_shops(&access_token).await.data()["shops"].take();
        let ciphers = shops.as_array().unwrap().iter().map(|shop| shop["cipher"].as_str().unwrap().to_owned());
        Self { ciphers: ciphers.collect(), world, access_token, refresh_token }
    }

    async fn with_cipher(&self, method: &str, path: &str, cipher: &str) -> Reply {
        let call = SignedCall { method, path, query: &[("shop_cipher", cipher)], ..SignedCall::default() };
        self.world.signed(&call, &self.access_token).await
    }

    async fn deauthorize(&self, shop: usize) -> Reply {
        self.with_cipher("DELETE", DEAUTHORIZE, &self.ciphers[shop]).await
    }

    async fn listed(&self) -> Vec<String> {
        let shops = self.world.list_shops(&self.access_token).await.data()["shops"].take();
        shops.as_array().unwrap().iter().map(|shop| shop["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Makes a call and a refresh. Returns the HTTP status and the code of both answers.
    async fn verdicts(&self) -> [(u16, i64); 2] {
        let call = self.world.list_shops(&self.access_token).await.verdict();
        [call, self.world.refresh(&self.refresh_token).await.verdict()]
    }
}

/// Returns the type and the shop of every due webhook.
fn due_webhooks(world: &World) -> Vec<(u64, String)> {
    let body = |delivery: &fake_tiktok_shop::WebhookDelivery| serde_json::from_str::<Value>(&delivery.body).unwrap();
    let type_and_shop = |body: Value| (body["type"].as_u64().unwrap(), body["shop_id"].as_str().unwrap().to_owned());
    world.control.webhooks_due().iter().map(body).map(type_and_shop).collect()
}

/// Returns what [`due_webhooks`] must return after these shops were deauthorized: one webhook of type 6 for each shop.
fn deauthorized(shops: &[&str]) -> Vec<(u64, String)> {
    shops.iter().map(|shop| (6, (*shop).to_owned())).collect()
}

#[tokio::test]
async fn an_app_deauthorizes_one_shop_and_the_others_stay() {
    let seller = Connected::new("cross-border", |_| ()).await;
    let reply = seller.deauthorize(1).await;
    assert_eq!(reply.data(), json!({}));
    assert_eq!(seller.listed().await, [SHOPS[0], SHOPS[2], SHOPS[3], SHOPS[4]]);
    assert_eq!(seller.with_cipher("GET", WEBHOOKS, &seller.ciphers[1]).await.verdict(), WRONG_CIPHER);
    assert_eq!(seller.with_cipher("GET", WEBHOOKS, &seller.ciphers[0]).await.verdict(), OK);
    assert_eq!(seller.verdicts().await, [OK, OK]);
    assert_eq!(due_webhooks(&seller.world), deauthorized(&[SHOPS[1]]));
    let call = SignedCall { path: ACTIVE_SHOPS, ..SignedCall::default() };
    let active = seller.world.signed(&call, &seller.access_token).await.data()["shops"].take();
    assert_eq!(active.as_array().unwrap().len(), 5, "the seller has the shop as before");

    let request = &seller.world.control.requests()[2];
    assert_eq!((request.method.as_str(), request.path.as_str(), request.code), ("DELETE", DEAUTHORIZE, Some(0)));
    assert_eq!(request.parameter("shop_cipher"), Some(seller.ciphers[1].as_str()));
    assert!(!format!("{request:?}").contains(&seller.ciphers[1]));
}

#[tokio::test]
async fn a_forged_or_foreign_call_deauthorizes_nothing() {
    let seller = Connected::new("one-shop", |_| ()).await;
    let cipher = [("shop_cipher", seller.ciphers[0].as_str())];
    let call = || SignedCall { method: "DELETE", path: DEAUTHORIZE, query: &cipher, ..SignedCall::default() };
    let forged = SignedCall { distort: |sign| sign.chars().rev().collect(), ..call() };
    assert_eq!(seller.world.signed(&forged, &seller.access_token).await.verdict(), (401, 106_001));
    let (others, _) = seller.world.connect("cross-border").await;
    assert_eq!(seller.world.signed(&call(), &others).await.verdict(), WRONG_CIPHER);
    assert_eq!(seller.verdicts().await, [OK, OK]);
    assert_eq!(due_webhooks(&seller.world), []);
}

#[tokio::test]
async fn a_shop_is_deauthorized_even_if_the_answer_is_lost() {
    let seller = Connected::new("cross-border", |_| ()).await;
    let lost = "reply lost: TikTok acted, HTTP 502";
    seller.world.control.fault_next(DEAUTHORIZE, lost, Fault::named(lost).unwrap());
    assert_eq!(seller.deauthorize(0).await.status, 502);
    assert_eq!(seller.listed().await, SHOPS[1..]);
}

#[tokio::test]
async fn another_app_keeps_its_grant() {
    let seller = Connected::new("one-shop", |_| ()).await;
    let service_id = seller.world.app.service_id.clone();
    let mut world = seller.world.with_second_app();
    let (access_token, refresh_token) = world.connect("one-shop").await;
    world.control.deauthorize(&service_id, "one-shop").unwrap();
    assert_eq!(world.list_shops(&access_token).await.verdict(), OK);
    assert_eq!(world.refresh(&refresh_token).await.verdict(), OK);
    let due = world.control.webhooks_due();
    assert_eq!(due.iter().map(|delivery| &delivery.service_id).collect::<Vec<_>>(), [&service_id]);
    world.app = world.control.apps()[0].clone();
    assert_eq!(world.refresh(&seller.refresh_token).await.verdict(), NO_AUTHORIZATION);
}

#[tokio::test]
async fn deauthorize_shop() {
    for (answer, left, verdicts, notified_shops) in [
        (DeauthorizeShop::Shop, &SHOPS[1..], [OK, OK], &SHOPS[..1]),
        (DeauthorizeShop::Grant, &[], [INVALID_ACCESS_TOKEN, NO_AUTHORIZATION], &SHOPS[..]),
    ] {
        let seller = Connected::new("cross-border", |switches| switches.deauthorize_shop = answer).await;
        assert_eq!(seller.deauthorize(0).await.verdict(), OK);
        assert_eq!(seller.verdicts().await, verdicts, "{answer:?}");
        assert_eq!(due_webhooks(&seller.world), deauthorized(notified_shops), "{answer:?}");
        if !left.is_empty() {
            assert_eq!(seller.listed().await, left);
        }
    }
}

#[tokio::test]
async fn deauthorizing_a_removed_shop_does_not_remove_the_grant() {
    let seller = Connected::new("cross-border", |switches| switches.deauthorize_shop = DeauthorizeShop::Grant).await;
    let service_id = &seller.world.app.service_id;
    seller.world.control.deauthorize_shop(service_id, "cross-border", SHOPS[0]).unwrap();
    assert_eq!(seller.deauthorize(0).await.verdict(), WRONG_CIPHER);
    assert_eq!(seller.verdicts().await, [OK, OK]);
}

#[tokio::test]
async fn deauthorize_notice() {
    for (answer, notified_shops) in [(DeauthorizeNotice::Sent, &SHOPS[..1]), (DeauthorizeNotice::None, &[])] {
        let seller = Connected::new("cross-border", |switches| switches.deauthorize_notice = answer).await;
        assert_eq!(seller.deauthorize(0).await.verdict(), OK);
        assert_eq!(due_webhooks(&seller.world), deauthorized(notified_shops), "{answer:?}");
        // A removal by the seller always leads to a webhook.
        seller.world.control.deauthorize_shop(&seller.world.app.service_id, "cross-border", SHOPS[4]).unwrap();
        assert_eq!(due_webhooks(&seller.world).last().unwrap(), &(6, SHOPS[4].to_owned()));
    }
}

#[tokio::test]
async fn deauthorize_again() {
    for (answer, verdict) in [(DeauthorizeAgain::WrongCipher, WRONG_CIPHER), (DeauthorizeAgain::Success, OK)] {
        let seller = Connected::new("cross-border", |switches| switches.deauthorize_again = answer).await;
        assert_eq!(seller.deauthorize(0).await.verdict(), OK);
        assert_eq!(seller.deauthorize(0).await.verdict(), verdict, "{answer:?}");
        assert_eq!(due_webhooks(&seller.world).len(), 1, "the second call must queue no webhook");
        for unknown in ["", "ROW_unknown"] {
            assert_eq!(seller.with_cipher("DELETE", DEAUTHORIZE, unknown).await.verdict(), WRONG_CIPHER);
        }
    }
}

#[tokio::test]
async fn last_shop_removed() {
    for (answer, verdicts) in [
        (LastShopRemoved::RemovesGrant, [INVALID_ACCESS_TOKEN, NO_AUTHORIZATION]),
        (LastShopRemoved::LeavesGrant, [OK, OK]),
    ] {
        for by_app in [true, false] {
            let seller = Connected::new("one-shop", |switches| switches.last_shop_removed = answer).await;
            if by_app {
                assert_eq!(seller.deauthorize(0).await.verdict(), OK);
            } else {
                let service_id = &seller.world.app.service_id;
                seller.world.control.deauthorize_shop(service_id, "one-shop", "7490000000000000001").unwrap();
            }
            assert_eq!(seller.verdicts().await, verdicts, "{answer:?}");
            assert_eq!(due_webhooks(&seller.world), deauthorized(&["7490000000000000001"]));
            if answer == LastShopRemoved::LeavesGrant {
                assert_eq!(seller.listed().await, [""; 0]);
            }
        }
    }
}

#[tokio::test]
async fn tokens_after_removal() {
    let gone = [INVALID_ACCESS_TOKEN, NO_AUTHORIZATION];
    for (answer, at_once) in
        [(TokensAfterRemoval::Refused, gone), (TokensAfterRemoval::HonouredForSeconds(60), [OK, OK])]
    {
        let seller = Connected::new("cross-border", |switches| switches.tokens_after_removal = answer).await;
        let code = seller.world.code("cross-border");
        seller.world.control.deauthorize(&seller.world.app.service_id, "cross-border").unwrap();
        assert_eq!(due_webhooks(&seller.world), deauthorized(&SHOPS));
        assert_eq!(seller.verdicts().await, at_once, "{answer:?}");
        seller.world.control.advance(Duration::from_secs(59));
        assert_eq!(seller.verdicts().await, at_once, "{answer:?}");
        let (others, _) = seller.world.connect("one-shop").await;
        seller.world.control.advance(Duration::from_secs(1));
        assert_eq!(seller.verdicts().await, gone, "{answer:?}");
        assert_eq!(seller.world.exchange(&code).await.verdict(), (200, 36_004_004), "the removal deletes unused codes");
        assert_eq!(seller.world.list_shops(&others).await.verdict(), OK, "another seller's grant stands");
    }
}

#[tokio::test]
async fn a_removed_grant_whose_tokens_still_work_is_not_removed_again() {
    let again = |answer| {
        move |switches: &mut Switches| {
            switches.tokens_after_removal = TokensAfterRemoval::HonouredForSeconds(60);
            switches.deauthorize_again = answer;
        }
    };
    for (answer, verdict) in [(DeauthorizeAgain::WrongCipher, WRONG_CIPHER), (DeauthorizeAgain::Success, OK)] {
        let seller = Connected::new("one-shop", again(answer)).await;
        seller.world.control.deauthorize(&seller.world.app.service_id, "one-shop").unwrap();
        assert_eq!(seller.deauthorize(0).await.verdict(), verdict);
        assert_eq!(due_webhooks(&seller.world).len(), 1);
    }
}

#[tokio::test]
async fn wrong_cipher() {
    for (answer, verdict) in [(WrongCipher::LikeMissing, WRONG_CIPHER), (WrongCipher::DoesNotFit, (401, 101_000))] {
        let seller = Connected::new("cross-border", |switches| switches.wrong_cipher = answer).await;
        assert_eq!(seller.deauthorize(0).await.verdict(), OK);
        for (method, path) in [("GET", WEBHOOKS), ("DELETE", DEAUTHORIZE)] {
            for cipher in [seller.ciphers[0].as_str(), "ROW_unknown"] {
                let reply = seller.with_cipher(method, path, cipher).await;
                assert_eq!(reply.verdict(), verdict, "{method} {path} {cipher} {answer:?}");
            }
            let call = SignedCall { method, path, ..SignedCall::default() };
            assert_eq!(seller.world.signed(&call, &seller.access_token).await.verdict(), WRONG_CIPHER, "missing");
        }
    }
}

#[tokio::test]
async fn empty_data() {
    for (answer, expected) in
        [(EmptyData::Object, Some(json!({}))), (EmptyData::Null, Some(Value::Null)), (EmptyData::Missing, None)]
    {
        let seller = Connected::new("cross-border", |switches| switches.empty_data = answer).await;
        let reply = seller.deauthorize(0).await;
        assert_eq!(reply.verdict(), OK);
        assert_eq!(reply.json().get("data"), expected.as_ref(), "{answer:?}");
        assert_eq!(seller.listed().await.len(), 4, "data that is not empty must stay");
    }
}

#[tokio::test]
async fn a_new_consent_restores_removed_shops_and_removed_grants() {
    let seller = Connected::new("cross-border", |_| ()).await;
    let world = &seller.world;
    world.control.deauthorize_shop(&world.app.service_id, "cross-border", SHOPS[0]).unwrap();
    world.connect("cross-border").await;
    assert_eq!(seller.listed().await, SHOPS);
    world.control.deauthorize(&world.app.service_id, "cross-border").unwrap();
    assert_eq!(seller.verdicts().await, [INVALID_ACCESS_TOKEN, NO_AUTHORIZATION]);
    let (access_token, refresh_token) = world.connect("cross-border").await;
    assert_eq!(world.list_shops(&access_token).await.verdict(), OK);
    assert_eq!(world.refresh(&refresh_token).await.verdict(), OK);
    assert_eq!(seller.verdicts().await, [INVALID_ACCESS_TOKEN, NO_AUTHORIZATION], "earlier tokens stay dead");
}

#[tokio::test]
async fn access_token_after_end() {
    for (answer, verdict) in [(EarlierToken::Honoured, OK), (EarlierToken::Refused, INVALID_ACCESS_TOKEN)] {
        let world = World::with_switches(|switches| switches.access_token_after_end = answer);
        let lasts = Duration::from_secs(3_600);
        world.control.update_seller("one-shop", |seller| seller.authorization_lasts = lasts).unwrap();
        let (access_token, refresh_token) = world.connect("one-shop").await;
        world.control.advance(lasts - Duration::from_secs(1));
        let refreshed = world.refresh(&refresh_token).await.data();
        world.control.advance(Duration::from_secs(1));
        for access_token in [access_token.as_str(), refreshed["access_token"].as_str().unwrap()] {
            assert_eq!(world.list_shops(access_token).await.verdict(), verdict, "{answer:?}");
        }
        let refresh_token = refreshed["refresh_token"].as_str().unwrap();
        assert_eq!(world.refresh(refresh_token).await.verdict(), (200, 36_004_001));

        let (access_token, _) = world.connect("cross-border").await;
        world.control.end_authorization("cross-border").unwrap();
        assert_eq!(world.list_shops(&access_token).await.verdict(), verdict, "{answer:?}");
    }
}

#[tokio::test]
async fn removing_an_unknown_shop_or_grant_gets_its_exact_error() {
    let world = World::new();
    let service_id = world.app.service_id.clone();
    let not_authorized = || Err(ControlError::NotAuthorized("one-shop".to_owned()));
    assert_eq!(world.control.deauthorize(&service_id, "one-shop"), not_authorized());
    world.code("one-shop");
    assert_eq!(world.control.deauthorize(&service_id, "one-shop"), not_authorized(), "a code alone is no grant");
    world.connect("one-shop").await;
    let nobody = || "nobody".to_owned();
    let sellers = world.control.sellers().into_iter().map(|seller| seller.id).collect();
    for (service, seller, error) in [
        ("nobody", "one-shop", ControlError::UnknownService(nobody())),
        (&service_id, "nobody", ControlError::UnknownSeller { id: nobody(), sellers }),
    ] {
        assert_eq!(world.control.deauthorize(service, seller), Err(error.clone()));
        assert_eq!(world.control.deauthorize_shop(service, seller, "7490000000000000001"), Err(error));
    }
    let shop = SHOPS[0];
    let unknown = ControlError::UnknownShop(shop.to_owned());
    assert_eq!(world.control.deauthorize_shop(&service_id, "one-shop", shop), Err(unknown));
    world.control.deauthorize(&service_id, "one-shop").unwrap();
    assert_eq!(world.control.deauthorize(&service_id, "one-shop"), not_authorized());
    assert_eq!(world.control.deauthorize_shop(&service_id, "one-shop", "7490000000000000001"), not_authorized());
}
