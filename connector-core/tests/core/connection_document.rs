//! Tests the stored form of a row. Documents of version 1 must stay readable for ever.

use crate::samples::key;
use proptest::prelude::*;
use serde_json::{Value, json};
use tiktok_shop_connector_core::connection::document::{
    DocumentError, IndexedShop, RowIndex, StatusKind, decode, encode, encode_secrets,
};
use tiktok_shop_connector_core::connection::{Connection, ListedShop, PastFailure, Row, Shop, ShopStanding, Status};
use tiktok_shop_connector_core::record::{DeadReason, ShopPolicy};
use tiktok_shop_connector_core::secret::ShopCipher;
use tiktok_shop_connector_core::time::UnixSeconds;

/// A document in which every member is set.
const FULL: &str = include_str!("../golden/connection-v1.json");
const SECRETS: &str = include_str!("../golden/connection-secrets-v1.json");
/// A document in which every optional member is missing.
const MINIMAL: &str = include_str!("../golden/connection-v1-minimal.json");

const fn at(seconds: u64) -> UnixSeconds {
    UnixSeconds::new(seconds)
}

fn shop(id: &str) -> ListedShop {
    ListedShop {
        id: id.into(),
        name: String::new(),
        region: String::new(),
        seller_type: String::new(),
        cipher: None,
        code: String::new(),
        raw: String::new(),
    }
}

fn full() -> Row {
    let first = ListedShop {
        name: "Teapot Corner".into(),
        region: "GB".into(),
        seller_type: "LOCAL".into(),
        cipher: Some(ShopCipher::new("ROW_cipher+/=\"\\".into())),
        code: "GBLC1".into(),
        raw: "{\"id\":\"7494000000000000001\",\"new\":[1.50]}".into(),
        ..shop("7494000000000000001")
    };
    Row {
        connection: Connection {
            key: key(),
            app: Some("38fixture0key1".into()),
            seller_name: "Cửa hàng 超市 🛍\u{fe0f} \"O'Neil\"\n\0".into(),
            base_region: "VN".into(),
            scopes: vec!["seller.authorization.info".into(), "seller.order.info".into()],
            shop_policy: ShopPolicy::ExactlyOne,
            status: Status::AuthorizationEnding(at(1_767_830_400)),
            access_ends: Some(at(1_767_225_601)),
            refresh_ends: Some(UnixSeconds::MAX),
            authorization_ends: Some(at(1_767_830_400)),
            connected_at: at(0),
            granted_at: at(1_767_225_600),
            refreshed_at: at(1_767_225_602),
            shops_synced_at: Some(at(1_767_225_603)),
            shops: vec![
                Shop { listed: first, standing: ShopStanding::Granted, linked: true },
                Shop { listed: shop("2"), standing: ShopStanding::NoLongerGranted, linked: false },
            ],
            last_failure: Some(PastFailure {
                at: at(1_767_225_604),
                code: "tiktok-unavailable".into(),
                detail: "TikTok Shop has an internal fault".into(),
                http_status: Some(503),
                request_id: Some("r-1".into()),
            }),
        },
        lineage: "000102030405060708090a0b0c0d0eff".into(),
        generation: u64::MAX,
    }
}

fn minimal() -> Row {
    Row {
        connection: Connection {
            key: key(),
            app: None,
            seller_name: String::new(),
            base_region: String::new(),
            scopes: Vec::new(),
            shop_policy: ShopPolicy::All,
            status: Status::Active,
            access_ends: None,
            refresh_ends: None,
            authorization_ends: None,
            connected_at: at(0),
            granted_at: at(0),
            refreshed_at: at(0),
            shops_synced_at: None,
            shops: Vec::new(),
            last_failure: None,
        },
        lineage: String::new(),
        generation: 0,
    }
}

/// Returns what [`encode`] and [`encode_secrets`] return, as text.
fn stored(row: &Row) -> (String, String) {
    let secrets = encode_secrets(row).unwrap().expose().to_vec();
    (encode(row).unwrap(), String::from_utf8(secrets).unwrap())
}

fn read(document: &str, secrets: &str) -> Result<(String, String), DocumentError> {
    decode(key(), document, secrets.as_bytes()).map(|row| stored(&row))
}

fn error(document: &str, secrets: &str) -> Option<DocumentError> {
    read(document, secrets).err()
}

/// Returns the full document with one member changed or added.
fn full_with(path: &str, value: Value) -> String {
    let mut document: Value = serde_json::from_str(FULL).unwrap();
    let (object, name) = path.rsplit_once('/').unwrap();
    document.pointer_mut(object).unwrap().as_object_mut().unwrap().insert(name.into(), value);
    document.to_string()
}

fn full_without(path: &str) -> String {
    let mut document: Value = serde_json::from_str(FULL).unwrap();
    let (object, name) = path.rsplit_once('/').unwrap();
    document.pointer_mut(object).unwrap().as_object_mut().unwrap().remove(name).unwrap();
    document.to_string()
}

#[test]
fn rows_are_encoded_as_in_the_golden_files() {
    assert_eq!(stored(&full()), (FULL.trim_end().into(), SECRETS.trim_end().into()));
    assert_eq!(stored(&minimal()), (MINIMAL.trim_end().into(), String::new()), "no cipher, no secrets");
}

#[test]
fn the_golden_files_are_decoded() {
    assert_eq!(read(FULL, SECRETS), Ok((FULL.trim_end().into(), SECRETS.trim_end().into())));
    assert_eq!(read(MINIMAL, ""), Ok((MINIMAL.trim_end().into(), String::new())));
    let row = decode(key(), FULL, SECRETS.as_bytes()).unwrap();
    assert_eq!(row.connection.key, key());
    assert_eq!(row.connection.shops[0].listed.cipher.as_ref().unwrap().expose(), "ROW_cipher+/=\"\\");
    assert!(row.connection.shops[1].listed.cipher.is_none());
}

#[test]
fn the_document_contains_no_cipher() {
    assert!(!encode(&full()).unwrap().contains("ROW_cipher"));
}

#[test]
fn a_row_without_its_secrets_has_no_cipher() {
    let row = decode(key(), FULL, b"").unwrap();
    assert_eq!(stored(&row), (FULL.trim_end().into(), String::new()));
}

#[test]
fn a_cipher_of_an_unknown_shop_is_ignored() {
    let secrets = r#"{"version":1,"ciphers":{"9":"ROW_other"}}"#;
    assert_eq!(read(FULL, secrets), Ok((FULL.trim_end().into(), String::new())));
}

#[test]
fn members_of_later_versions_are_ignored() {
    for path in ["/new", "/shops/0/new", "/last_failure/new"] {
        assert_eq!(
            read(&full_with(path, json!({"a": [1]})), SECRETS).map(|(document, _)| document),
            Ok(FULL.trim_end().into()),
            "{path}"
        );
    }
    let secrets = r#"{"version":1,"ciphers":{},"new":7}"#;
    assert_eq!(read(MINIMAL, secrets), Ok((MINIMAL.trim_end().into(), String::new())));
}

#[test]
fn optional_members_may_be_missing_or_null() {
    for path in [
        "/app_key",
        "/access_expires_at",
        "/refresh_expires_at",
        "/authorization_ends_at",
        "/shops_synced_at",
        "/last_failure",
        "/last_failure/http_status",
        "/last_failure/request_id",
    ] {
        let missing = read(&full_without(path), "").unwrap();
        assert_eq!(read(&full_with(path, Value::Null), ""), Ok(missing), "{path}");
    }
}

#[test]
fn a_document_without_a_member_that_is_always_written_is_unreadable() {
    for path in [
        "/version",
        "/token_lineage",
        "/token_generation",
        "/seller_name",
        "/seller_base_region",
        "/granted_scopes",
        "/shop_policy",
        "/status",
        "/status_ends_at",
        "/connected_at",
        "/granted_at",
        "/refreshed_at",
        "/shops",
        "/shops/0/id",
        "/shops/0/name",
        "/shops/0/region",
        "/shops/0/seller_type",
        "/shops/0/code",
        "/shops/0/raw",
        "/shops/0/standing",
        "/shops/0/linked",
        "/last_failure/at",
        "/last_failure/code",
        "/last_failure/detail",
    ] {
        assert_eq!(error(&full_without(path), ""), Some(DocumentError::Unreadable), "{path}");
        assert_eq!(error(&full_with(path, json!([{}])), ""), Some(DocumentError::Unreadable), "{path}");
    }
}

#[test]
fn damaged_documents_and_secrets_are_refused() {
    let unknown = [("/status", "dead"), ("/shop_policy", "All"), ("/shops/0/standing", "")];
    for (path, word) in unknown {
        assert_eq!(error(&full_with(path, json!(word)), ""), Some(DocumentError::Unreadable), "{path}");
    }
    for document in ["", "null", "[]", "{}", "{\"version\":1}", "{\"version\":0}", &FULL[..FULL.len() - 3]] {
        assert_eq!(error(document, ""), Some(DocumentError::Unreadable), "{document}");
    }
    for secrets in ["x", "{}", "{\"version\":1}", "{\"version\":1,\"ciphers\":[]}", &SECRETS[1..]] {
        assert_eq!(error(FULL, secrets), Some(DocumentError::Unreadable), "{secrets}");
    }
    let number = r#"{"version":1,"ciphers":{"2":7}}"#;
    assert_eq!(error(FULL, number), Some(DocumentError::Unreadable));
}

#[test]
fn a_newer_version_is_told_from_damage() {
    assert_eq!(error(&full_with("/version", json!(2)), SECRETS), Some(DocumentError::TooNew));
    assert_eq!(error(FULL, r#"{"version":2,"sealed":true}"#), Some(DocumentError::TooNew));
    assert_eq!(error(r#"{"version":18446744073709551615}"#, ""), Some(DocumentError::TooNew));
}

#[test]
fn every_reason_and_standing_is_read_back() {
    for reason in DeadReason::ALL {
        let mut row = minimal();
        row.connection.status = Status::ReauthorizationRequired(*reason);
        let (document, secrets) = stored(&row);
        assert_eq!(read(&document, &secrets), Ok((document.clone(), secrets.clone())));
        assert_eq!(decode(key(), &document, b"").unwrap().connection.dead(), Some(*reason));
    }
    for standing in ShopStanding::ALL {
        let mut row = minimal();
        row.connection.shops.push(Shop { listed: shop("1"), standing, linked: false });
        assert_eq!(decode(key(), &encode(&row).unwrap(), b"").unwrap().connection.shops[0].standing, standing);
    }
}

#[test]
fn the_index_says_which_shops_are_usable() {
    let mut row = full();
    let indexed = |id: &str, linked, usable| IndexedShop { id: id.into(), linked, usable };
    let shops = vec![indexed("7494000000000000001", true, true), indexed("2", false, false)];
    let index = RowIndex {
        status: StatusKind::AuthorizationEnding,
        ends_at: Some(at(1_767_830_400)),
        app: Some("38fixture0key1".into()),
        shops,
    };
    assert_eq!(RowIndex::of(&row.connection), index);
    row.connection.status = Status::ReauthorizationRequired(DeadReason::AuthorizationRevoked);
    row.connection.authorization_ends = None;
    let dead = RowIndex {
        status: StatusKind::ReauthorizationRequired,
        ends_at: Some(UnixSeconds::MAX),
        app: Some("38fixture0key1".into()),
        shops: vec![indexed("7494000000000000001", true, false), indexed("2", false, false)],
    };
    assert_eq!(RowIndex::of(&row.connection), dead);
    let nothing = RowIndex { status: StatusKind::Active, ends_at: None, app: None, shops: Vec::new() };
    assert_eq!(RowIndex::of(&minimal().connection), nothing);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_back(name in any::<String>(), raw in any::<String>(), cipher in any::<String>()) {
        let mut row = full();
        row.connection.seller_name = name;
        row.connection.shops[1].listed.raw = raw;
        row.connection.shops[1].listed.cipher = Some(ShopCipher::new(cipher));
        let (document, secrets) = stored(&row);
        prop_assert_eq!(read(&document, &secrets), Ok((document, secrets)));
    }

    #[test]
    fn no_document_causes_a_panic(document in any::<String>(), secrets in any::<Vec<u8>>()) {
        let _no_panic = decode(key(), &document, &secrets).is_ok();
        let _no_panic = decode(key(), FULL, &secrets).is_ok();
    }
}
