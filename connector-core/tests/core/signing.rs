//! Compares signatures with the vectors on disk, and checks properties that every request must have.

use crate::samples::{NOW, access, refresh_token};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;
use tiktok_shop_connector_core::authorization_link::LinkScheme;
use tiktok_shop_connector_core::credentials::Credentials;
use tiktok_shop_connector_core::endpoint::{shops, token};
use tiktok_shop_connector_core::secret::{AppSecret, AuthorizationCode};
use tiktok_shop_connector_core::signing::{
    Signable, SignedWith, Webhook, has_the_form_of_a_signature, hmac_sha256, percent_encoded,
};

/// The sources of the vectors are in `tests/vectors/README.md`.
const VECTORS: &str = include_str!("../vectors/request-signing.json");

fn secret(text: &str) -> AppSecret {
    AppSecret::new(text.into())
}

fn string_to_sign(signable: &Signable<'_>, secret: &AppSecret) -> String {
    String::from_utf8(signable.string_to_sign(secret).expose().to_vec()).unwrap()
}

fn decoded(query: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

#[test]
fn every_webhook_vector_is_signed_as_published() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("../vectors/webhook-signing.json")).unwrap();
    assert_eq!(vectors.len(), 3);
    for vector in &vectors {
        let text = |name: &str| vector[name].as_str().unwrap();
        let authorization = text("authorization").as_bytes();
        let webhook = Webhook { app_key: text("app_key"), body: text("body").as_bytes(), authorization };
        let secret = secret(text("app_secret"));
        assert_eq!(webhook.signature(&secret), text("authorization"), "{}", text("id"));
        assert_eq!(webhook.signed_with(&secret, None), Some(SignedWith::CurrentSecret), "{}", text("id"));
    }
}

#[test]
fn a_webhook_that_differs_anywhere_has_no_valid_signature() {
    let [current, other, empty] = ["current", "other", ""].map(secret);
    let signed_with = |app_key, body: &str, authorization: &str, current, previous| {
        let (body, authorization) = (body.as_bytes(), authorization.as_bytes());
        Webhook { app_key, body, authorization }.signed_with(current, previous)
    };
    let digest = |secret| Webhook { app_key: "key", body: br#"{"type":6}"#, authorization: b"" }.signature(secret);
    let (sign, by_empty) = (digest(&current), digest(&empty));

    let accepted = [
        (&current, None, SignedWith::CurrentSecret),
        (&current, Some(&current), SignedWith::CurrentSecret),
        (&other, Some(&current), SignedWith::PreviousSecret),
    ];
    for (current, previous, expected) in accepted {
        assert_eq!(signed_with("key", r#"{"type":6}"#, &sign, current, previous), Some(expected));
    }
    let flipped = format!("{}{}", if sign.starts_with('0') { '1' } else { '0' }, &sign[1..]);
    let (upper, spaced) = (sign.to_uppercase(), format!("{sign} "));
    assert_ne!(upper, sign);
    let refused = [
        ("key", r#"{"type":7}"#, &*sign, &current, None),
        ("key", r#"{"type": 6}"#, &sign, &current, None),
        ("Key", r#"{"type":6}"#, &sign, &current, None),
        ("key", r#"{"type":6}"#, &sign, &other, None),
        ("key", r#"{"type":6}"#, &sign, &other, Some(&other)),
        ("key", r#"{"type":6}"#, &upper, &current, Some(&current)),
        ("key", r#"{"type":6}"#, &spaced, &current, None),
        ("key", r#"{"type":6}"#, &flipped, &current, None),
        ("key", r#"{"type":6}"#, &sign[..63], &current, None),
        ("key", r#"{"type":6}"#, "", &current, Some(&empty)),
        ("key", r#"{"type":6}"#, &by_empty, &empty, None),
        ("key", r#"{"type":6}"#, &by_empty, &current, Some(&empty)),
    ];
    for (at, (app_key, body, authorization, current, previous)) in refused.into_iter().enumerate() {
        assert_eq!(signed_with(app_key, body, authorization, current, previous), None, "row {at}");
    }
}

#[test]
fn every_signature_has_the_form_of_one_and_only_64_lowercase_hexadecimal_digits_have_it() {
    let signature = Webhook { app_key: "key", body: b"body", authorization: b"" }.signature(&secret("secret"));
    assert!(has_the_form_of_a_signature(signature.as_bytes()));
    for other in ["", &signature[1..], &format!("{signature}0"), &format!(" {}", &signature[1..]), &"A".repeat(64)] {
        assert!(!has_the_form_of_a_signature(other.as_bytes()), "{other}");
    }
}

#[test]
fn every_request_vector_is_signed_as_published() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(vectors.len(), 13);
    for vector in &vectors {
        let text = |name: &str| vector[name].as_str().unwrap();
        let timestamp = vector["timestamp"].to_string();
        let mut query = vec![("app_key", text("app_key")), ("timestamp", timestamp.as_str())];
        for pair in vector["query"].as_array().unwrap() {
            query.push((pair["name"].as_str().unwrap(), pair["value"].as_str().unwrap()));
        }
        let body = vector["body"].as_str().map(|body| (body.as_bytes(), vector["content_type"].as_str()));
        let signable = Signable { path: text("path"), query: &query, body };
        let secret = secret(text("app_secret"));
        assert_eq!(string_to_sign(&signable, &secret), text("string_to_sign"), "{}", text("id"));
        assert_eq!(signable.signature(&secret), text("sign"), "{}", text("id"));
    }
}

/// Test cases 1, 2 and 6 of RFC 4231: two short keys, and a key that is longer than a block of SHA-256 (64 bytes).
#[test]
fn the_mac_is_hmac_sha256_for_keys_of_any_length() {
    type Parts = &'static [&'static [u8]];
    let table: [(&[u8], Parts, &str); 3] = [
        (&[0x0b; 20], &[b"Hi ", b"There"], "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (
            b"Jefe",
            &[b"what do ya want ", b"", b"for nothing?"],
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            &[0xaa; 131],
            &[b"Test Using Larger Than Block-Size Key - Hash Key First"],
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ];
    for (key, parts, expected) in table {
        assert_eq!(hex::encode(hmac_sha256(key, parts)), expected);
    }
}

#[test]
fn a_multipart_body_is_not_signed_whatever_its_boundary() {
    let secret = secret("s");
    let signature = |body: Option<(&[u8], Option<&str>)>| {
        Signable { path: "/p", query: &[("app_key", "k")], body }.signature(&secret)
    };
    let without = signature(None);
    for media in ["multipart/form-data", "multipart/form-data; boundary=x", "Multipart/Form-Data;boundary=\"a;b\""] {
        assert_eq!(signature(Some((b"body", Some(media)))), without, "{media}");
    }
    for media in [Some("application/json"), Some("multipart/form-data-x"), Some("multipart/mixed"), None] {
        assert_ne!(signature(Some((b"body", media))), without, "{media:?}");
    }
}

#[test]
fn the_shops_request_carries_the_signature_of_what_it_sends() {
    let app = Credentials {
        app_key: "key +/&=é".into(),
        app_secret: secret("secret"),
        previous_app_secret: None,
        authorization_link: None,
        link_scheme: LinkScheme::Https,
    };
    let request = shops::REQUEST.signed(&app, &access("AT-1"), NOW);
    let (path, query) = request.path_and_query.expose().split_once('?').unwrap();
    let mut query = decoded(query);
    let sign = query.remove("sign").unwrap();
    let pairs: Vec<_> = query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(pairs, [("app_key", "key +/&=é"), ("timestamp", "1767225600")]);
    assert_eq!(sign, Signable { path, query: &pairs, body: None }.signature(&app.app_secret));
    assert_eq!(request.access_token.unwrap().expose(), "AT-1", "in the header, not in the query");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_encoded_query_decodes_back(text in any::<String>()) {
        let encoded = percent_encoded(&text);
        prop_assert!(encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
        prop_assert_eq!(percent_encoding::percent_decode_str(&encoded).decode_utf8().unwrap(), text.as_str());
        prop_assert_eq!(decoded(&format!("a={encoded}")).remove("a"), Some(text));
    }

    #[test]
    fn a_token_request_carries_exactly_what_it_was_given(key in any::<String>(), secret in any::<String>(), token in any::<String>()) {
        let app = Credentials { app_key: key.clone(), app_secret: AppSecret::new(secret.clone()), previous_app_secret: None, authorization_link: None, link_scheme: LinkScheme::Https };
        let requests = [
            (token::refresh_request(&app, &refresh_token(&token)), "refresh_token", "refresh_token"),
            (token::exchange_request(&app, &AuthorizationCode::new(token.clone())), "auth_code", "authorized_code"),
        ];
        for (request, name, grant_type) in requests {
            let target = request.path_and_query.expose();
            prop_assert!(target.is_ascii() && !target.contains(['#', ' ']));
            let (_, query) = target.split_once('?').unwrap();
            let expected = [("app_key", &key), ("app_secret", &secret), (name, &token), ("grant_type", &grant_type.to_owned())];
            prop_assert_eq!(decoded(query), expected.into_iter().map(|(n, v)| (n.to_owned(), v.clone())).collect());
        }
    }

    #[test]
    fn the_order_of_the_parameters_never_matters(
        (query, shuffled) in prop::collection::btree_map("[a-zA-Z_]{1,6}", any::<String>(), 0..8)
            .prop_map(|query| query.into_iter().collect::<Vec<_>>())
            .prop_flat_map(|query| (Just(query.clone()), Just(query).prop_shuffle())),
    ) {
        let secret = secret("secret");
        let sign = |pairs: &[(String, String)]| {
            let query: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            string_to_sign(&Signable { path: "/p", query: &query, body: None }, &secret)
        };
        prop_assert_eq!(sign(&query), sign(&shuffled));
    }

    #[test]
    fn sign_and_access_token_are_never_signed(sign in any::<String>(), token in any::<String>(), at in 0..3_usize) {
        let secret = secret("secret");
        let mut query = vec![("app_key", "k"), ("timestamp", "1")];
        let without = Signable { path: "/p", query: &query, body: None }.signature(&secret);
        query.insert(at, ("sign", &sign));
        query.insert(at, ("access_token", &token));
        prop_assert_eq!(Signable { path: "/p", query: &query, body: None }.signature(&secret), without);
    }
}
