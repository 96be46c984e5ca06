//! Tests that every error is fit for a log. An error may quote text from TikTok, a gateway or a browser. The quoted
//! text is one short line of plain text, and it shows no secret in any usual encoding.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::json;
use tiktok_shop_canaries::Canaries;
use tiktok_shop_connector_core::callback::Grant;
use tiktok_shop_connector_core::envelope;
use tiktok_shop_connector_core::error::{Cause, Error};
use tiktok_shop_connector_core::http::Response;
use tiktok_shop_connector_core::secret::State;
use tiktok_shop_connector_core::signing::percent_encoded;

/// An app secret, a token and a state, each with the length and form of a real secret.
const SECRETS: [&str; 3] = [
    "9d1c2e7b5a4f40e6b8137c0d5e2a9f61c3d4b7e8",
    "ROW_Qw3rTyUiOpAsDfGhJkLzXcVbNm0123456789-_",
    "st-8kQ2vXw0Zr5LmN7pTfBh3A",
];

/// The most characters that an error adds to the fixed sentence of its cause: a note of 200 characters (the quoted
/// text), a space and two brackets.
const MAX_NOTE: usize = 200 + 3;

fn assert_fit_for_a_log(error: &Error) {
    let detail = error.detail();
    let sentence = Cause::ALL.iter().map(|cause| cause.sentence().chars().count()).max().unwrap();
    assert!(detail.chars().count() <= sentence + MAX_NOTE, "{} characters", detail.chars().count());
    let odd = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    assert_eq!(detail.chars().find(|c| odd(*c)), None, "{detail:?}");
    let mut canaries = Canaries::default();
    SECRETS.iter().for_each(|secret| canaries.add("secret", secret));
    assert_eq!(canaries.found_in(detail.as_bytes()).first(), None, "{detail:?}");
    let raw = |text: &str| SECRETS.iter().any(|secret| text.contains(secret));
    assert!(error.request_id.as_deref().is_none_or(|id| id.len() <= 64 && !raw(id)), "{:?}", error.request_id);
}

/// Generates a secret in one of the encodings in which a server might repeat it.
fn echo() -> impl Strategy<Value = String> {
    let encoded = |secret: &str, how: u8| match how {
        0 => secret.to_owned(),
        1 => hex::encode(secret),
        2 => hex::encode_upper(secret),
        3 => STANDARD.encode(secret),
        4 => URL_SAFE_NO_PAD.encode(format!("k={secret}")),
        5 => percent_encoded(secret),
        6 => secret.bytes().map(|byte| format!("%{byte:02x}")).collect(),
        7 => secret.to_uppercase(),
        _ => format!("{:?}", secret.as_bytes()).replace(' ', ""),
    };
    (0..SECRETS.len(), 0..9_u8).prop_map(move |(secret, how)| encoded(SECRETS[secret], how))
}

/// Generates text that contains encoded secrets.
fn text() -> impl Strategy<Value = String> {
    let around = prop::sample::select(vec![
        " ",
        "\n",
        "\r\n",
        "\t",
        "\0",
        "\u{1b}[31m",
        "\u{9b}2J",
        "\u{202e}",
        "\u{2066}",
        "\u{200b}",
        "\u{feff}",
        "\u{2028}",
        "\u{7f}",
        "=",
        ":",
        ",",
        "\"",
        "&app_secret=",
        "Invalid timestamp",
        "app_key",
        "…",
        "\u{10ffff}",
    ]);
    let piece = prop_oneof![3 => echo(), 4 => around.prop_map(str::to_owned), 1 => ".{0,300}"];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn read(status: u16, body: Vec<u8>) -> Option<Error> {
    let content_type = Some("application/json".to_owned());
    let response = Response { status, content_type, content_encoding: None, retry_after: None, date: None, body };
    envelope::read(&response, &response.text(), &SECRETS).err().map(|fault| fault.error)
}

proptest! {
    #[test]
    fn a_message_of_tiktok_is_fit_for_a_log(
        code in prop::sample::select(vec![36_004_004, 36_009_002, 36_009_004, 105_001, 106_001, 7]),
        status in prop::sample::select(vec![200_u16, 400, 401, 403, 429, 500]),
        message in text(),
        request_id in text(),
    ) {
        let body = json!({"code": code, "message": message, "request_id": request_id, "data": null}).to_string();
        assert_fit_for_a_log(&read(status, body.into_bytes()).expect("an error"));
    }

    #[test]
    fn a_page_of_a_gateway_is_fit_for_a_log(status in 100_u16..600, page in text()) {
        if let Some(error) = read(status, page.into_bytes()) {
            assert_fit_for_a_log(&error);
        }
    }

    #[test]
    fn the_error_of_a_callback_is_fit_for_a_log(error in text()) {
        let [_, code, state] = SECRETS;
        let query = format!("code={code}&state={state}&error={}", percent_encoded(&error));
        prop_assume!(query.len() <= 8_192 && !error.is_empty());
        let error = Grant::Callback { query, state: State::new(state.to_owned()) }.into_consented().err().expect("a refusal");
        prop_assert_eq!(error.cause, Cause::ConsentRefused);
        assert_fit_for_a_log(&error);
    }
}

#[test]
fn a_message_of_ten_megabytes_is_cut() {
    for word in ["word ", "w", "\u{1b}[0m", "\u{202e} "] {
        let message = word.repeat((10 << 20) / word.len());
        let body = json!({"code": 36_009_004, "message": message}).to_string();
        assert_fit_for_a_log(&read(400, body.into_bytes()).expect("an error"));
    }
}
