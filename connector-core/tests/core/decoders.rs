//! Tests the readers of TikTok's answers, webhooks, callbacks and stored records. No bytes make a reader panic, and no
//! error shows a secret of the request.

use crate::samples::{NOW, pair_data};
use proptest::prelude::*;
use serde_json::json;
use tiktok_shop_connector_core::callback::{Grant, read_install};
use tiktok_shop_connector_core::endpoint::{shops, token};
use tiktok_shop_connector_core::envelope;
use tiktok_shop_connector_core::error::{Cause, Error};
use tiktok_shop_connector_core::http::Response;
use tiktok_shop_connector_core::json::Members;
use tiktok_shop_connector_core::pending_install::PendingInstall;
use tiktok_shop_connector_core::record::{DecodeError, TokenRecord};
use tiktok_shop_connector_core::secret::{AppSecret, State};
use tiktok_shop_connector_core::signing::{Signable, Webhook};
use tiktok_shop_connector_core::webhook::{Notification, counts_as_handled};

const RECORD: &str = include_str!("../golden/token-record-v1.json");
const PENDING: &str = include_str!("../golden/pending-install-v1.json");

/// Secrets with the length and form of real secrets.
const SECRETS: [&str; 3] =
    ["9d1c2e7b5a4f40e6b8137c0d5e2a9f61c3d4b7e8", "ROW_Qw3rTyUiOpAsDfGhJkLzXcVbNm0123456789-_", "ROW_shortTok8"];

fn response(status: u16, body: &[u8]) -> Response {
    let content_type = Some("application/json".into());
    Response { status, content_type, content_encoding: None, retry_after: None, date: None, body: body.to_vec() }
}

fn shop_list() -> String {
    json!({"code": 0, "message": "success", "request_id": "req-1", "data": {"shops": [
        {"id": "7490000000000000001", "name": "Ä", "region": "GB", "seller_type": "LOCAL", "cipher": "c", "code": "GB1"},
        {"id": "7490000000000000002", "odd": [1, {"a": null}]},
    ]}})
    .to_string()
}

fn token_answer() -> String {
    json!({"code": 0, "message": "success", "request_id": "req-1", "data": pair_data(1)}).to_string()
}

fn webhook() -> String {
    json!({"type": 7, "tts_notification_id": "7600000000000000006", "shop_id": "7490000000000000001",
           "timestamp": 1_767_225_600, "data": {"message": "soon", "expiration_time": "1769817600"}})
    .to_string()
}

/// Passes the bytes to every function that reads answers, webhooks, callbacks or stored records, and checks the errors
/// that these functions return. Also signs a request that consists of them.
fn read_by_all(status: u16, bytes: &[u8]) {
    let response = response(status, bytes);
    let faults = [
        envelope::read(&response, &response.text(), &SECRETS).err(),
        token::read(&response, &SECRETS, NOW).err(),
        shops::read(&response, &SECRETS).err(),
    ];
    for fault in faults.into_iter().flatten() {
        assert!(fault.error.detail().chars().count() < 600);
    }
    if let Some(members) = Members::parse(bytes) {
        for name in ["code", "data", "shops", ""] {
            let _ = (members.text(name), members.whole_number(name), members.flag(name), members.texts(name));
            let _ = (members.text_or_digits(name), members.without(name), members.members(name).is_some());
        }
    }
    if let Some(event) = Notification::read(bytes) {
        let _ = (event.meaning(NOW), counts_as_handled(event.occurred, NOW));
    }
    let text = String::from_utf8_lossy(bytes);
    let request = Signable { path: &text, query: &[(&text, &text), ("a", &text)], body: Some((bytes, Some(&text))) };
    let secret = AppSecret::new("s".into());
    assert_eq!(request.signature(&secret).len(), 64);
    let webhook = Webhook { app_key: &text, authorization: bytes, body: bytes };
    assert_eq!(webhook.signed_with(&secret, Some(&secret)), None);
    if let Err(error) = TokenRecord::decode(bytes) {
        assert!(matches!(error, DecodeError::TooNew | DecodeError::Unreadable));
    }
    if let Err(error) = PendingInstall::decode(bytes) {
        assert_eq!(error.cause, Cause::PendingInstallMalformed);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let grant = Grant::Callback { query: text.into(), state: State::new("s".into()) };
        for consented in [grant.into_consented(), read_install(text)] {
            if let Err(error) = consented {
                let expected = [Cause::StateMismatch, Cause::CallbackMalformed, Cause::ConsentRefused];
                assert!(expected.contains(&error.cause), "{error}");
            }
        }
    }
}

/// Generates a valid sample with up to five changes. A change overwrites one byte, inserts one byte, or removes some
/// bytes.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let samples = vec![
        RECORD.to_owned(),
        PENDING.to_owned(),
        shop_list(),
        token_answer(),
        webhook(),
        "app_key=k&code=ROW_code%2B&locale=en&shop_region=GB&state=s".to_owned(),
    ];
    let mutation = (any::<prop::sample::Index>(), any::<u8>(), 0..3_u8);
    (prop::sample::select(samples), prop::collection::vec(mutation, 0..6)).prop_map(|(sample, mutations)| {
        let mut bytes = sample.into_bytes();
        for (at, byte, kind) in mutations {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.drain(at..(at + usize::from(byte)).min(bytes.len() - 1))),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_a_reader_panic(status in any::<u16>(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_by_all(status, &bytes);
        read_by_all(200, &bytes);
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in r#"[\[\]{}",:0-9a-z\\&=%+ ]{0,80}"#) {
        read_by_all(200, text.as_bytes());
    }

    #[test]
    fn no_damage_to_a_valid_answer_makes_a_reader_panic(bytes in mutated()) {
        read_by_all(200, &bytes);
    }

    /// TikTok's message may repeat a part of the request, at any place and next to any text.
    #[test]
    fn no_error_shows_a_secret_of_the_request(
        code in prop::sample::select(vec![36_009_004, 36_004_004, 105_001, 98_001_004, 36_009_002]),
        before in r#"[a-z ,.:;='"\[(\n\t]{0,40}"#,
        after in r#"[a-z ,.:;='"\])&\n\t]{0,40}"#,
        secret in prop::sample::select(SECRETS.to_vec()),
        repeated in 1..4_usize,
    ) {
        let message = [before, secret.repeat(repeated), after].concat();
        let body = json!({"code": code, "message": message, "request_id": "req-1", "data": secret}).to_string();
        let response = response(200, body.as_bytes());
        for fault in [
            envelope::read(&response, &response.text(), &SECRETS).err().unwrap(),
            token::read(&response, &SECRETS, NOW).err().unwrap(),
            shops::read(&response, &SECRETS).err().unwrap(),
        ] {
            prop_assert_eq!(shown_part(&fault.error, secret), None);
            prop_assert_eq!(fault.error.request_id.as_deref(), Some("req-1"));
        }
    }
}

/// Searches the error's `Display` text, `Debug` text and detail for the secret. Returns the first eight consecutive
/// bytes of the secret that one of these texts contains.
fn shown_part(error: &Error, secret: &str) -> Option<String> {
    let shown = format!("{error} {error:?} {}", error.detail());
    (0..=secret.len() - 8).map(|at| &secret[at..at + 8]).find(|part| shown.contains(part)).map(str::to_owned)
}

#[test]
fn a_secret_echoed_as_the_request_id_is_not_shown() {
    for secret in ["9d1c2e7b5a4f40e6b8137c0d5e2a9f61c3d4b7e8", "rowShortTok8"] {
        let body = json!({"code": 105_001, "message": "no", "request_id": secret}).to_string();
        let response = response(401, body.as_bytes());
        let fault = envelope::read(&response, &response.text(), &[secret]).err().unwrap();
        assert_eq!(fault.error.request_id, None);
        assert_eq!(shown_part(&fault.error, secret), None);
    }
}

#[test]
fn a_refusal_that_echoes_the_code_or_the_state_does_not_show_it() {
    let (code, state) = ("ROW_code123", "state-4711-abcd");
    for echoed in [code, state] {
        let grant = Grant::Callback {
            query: format!("error=denied_{echoed}&code={code}&state={state}"),
            state: State::new(state.into()),
        };
        let error = grant.into_consented().err().expect("refused");
        assert_eq!(error.cause, Cause::ConsentRefused);
        assert_eq!(shown_part(&error, echoed), None);
    }
}
