//! Tests the stored form of a token record. Records of version 1 must stay readable for ever. The core refuses bytes
//! that are not a record, and does not panic.

use crate::samples::{access, refresh_token, stored_form};
use crate::stored_fields::Fields;
use proptest::prelude::*;
use serde_json::{Value, json};
use tiktok_shop_connector_core::error::Cause;
use tiktok_shop_connector_core::identity::AccountId;
use tiktok_shop_connector_core::pending_install::PendingInstall;
use tiktok_shop_connector_core::record::{
    Claim, CurrentPair, DeadReason, DecodeError, Lineage, Profile, ShopPolicy, TokenHash, TokenRecord,
};
use tiktok_shop_connector_core::time::UnixSeconds;
use tiktok_shop_connector_core::token::UserType;

/// A record in which every field is set. Some numbers have the largest value that is allowed.
const FULL: &str = include_str!("../golden/token-record-v1.json");
/// The record of a cross-border seller.
const CROSS_BORDER: &str = include_str!("../golden/token-record-v2.json");
/// A record in which every option is `None` and every list is empty.
const MINIMAL: &str = include_str!("../golden/token-record-v1-minimal.json");

/// A pending install, with the minimal record.
const PENDING: &str = include_str!("../golden/pending-install-v1.json");

fn full() -> Fields {
    Fields {
        lineage: Lineage(*b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\xff"),
        generation: u64::MAX,
        app_key: "38fixture0key1".into(),
        current: CurrentPair {
            access: Some(access("ROW_access+/=\"\\")),
            access_ends: Some(UnixSeconds::new(1_767_830_400)),
            refresh: Some(refresh_token("ROW_refresh_4")),
            refresh_ends: Some(UnixSeconds::new(4_903_858_076)),
        },
        due_at: UnixSeconds::MAX,
        fallbacks: ["ROW_refresh_3", "ROW_refresh_2", "ROW_refresh_1"].map(refresh_token).into(),
        rejected: ["ROW_refresh_6", "ROW_refresh_5"].map(refresh_token).into(),
        claim: Some(Claim { nonce: [0xab; 16], spends: TokenHash::of(&refresh_token("ROW_refresh_4")) }),
        presented: u32::MAX,
        failures: 7,
        not_before: Some(UnixSeconds::new(1_767_229_200)),
        granted_at: UnixSeconds::new(0),
        rotated_at: UnixSeconds::new(1_767_225_600),
        verify: true,
        dead: Some(DeadReason::RefreshOutcomeUnknown),
        profile: Profile {
            shop_policy: ShopPolicy::ExactlyOne,
            seller_name: "Cửa hàng 超市 🛍\u{fe0f} \"O'Neil\"\n".into(),
            base_region: "VN".into(),
            scopes: vec!["seller.authorization.info".into(), "seller.order.info".into()],
            user_type: None,
        },
    }
}

fn minimal() -> Fields {
    Fields {
        lineage: Lineage([0; 16]),
        generation: 1,
        app_key: "38fixture0key1".into(),
        current: CurrentPair::default(),
        due_at: UnixSeconds::new(1_767_225_600),
        fallbacks: Vec::new(),
        rejected: Vec::new(),
        claim: None,
        presented: 0,
        failures: 0,
        not_before: None,
        granted_at: UnixSeconds::new(1_767_225_600),
        rotated_at: UnixSeconds::new(1_767_225_600),
        verify: false,
        dead: None,
        profile: Profile {
            shop_policy: ShopPolicy::All,
            seller_name: String::new(),
            base_region: String::new(),
            scopes: Vec::new(),
            user_type: None,
        },
    }
}

fn cross_border() -> Fields {
    let mut fields = full();
    fields.profile.user_type = Some(UserType(4));
    fields
}

fn decode_error(bytes: &[u8]) -> Option<DecodeError> {
    TokenRecord::decode(bytes).err()
}

/// Returns the full golden record with one member changed or added.
fn full_with(path: &str, value: Value) -> String {
    let mut record: Value = serde_json::from_str(FULL).unwrap();
    let (object, name) = path.rsplit_once('/').unwrap();
    record.pointer_mut(object).unwrap().as_object_mut().unwrap().insert(name.into(), value);
    record.to_string()
}

fn full_without(path: &str) -> String {
    let mut record: Value = serde_json::from_str(FULL).unwrap();
    let (object, name) = path.rsplit_once('/').unwrap();
    record.pointer_mut(object).unwrap().as_object_mut().unwrap().remove(name).unwrap();
    record.to_string()
}

/// Returns the JSON pointers of all members of the full golden record.
fn members() -> Vec<String> {
    let record: Value = serde_json::from_str(FULL).unwrap();
    let names = |at: &str| -> Vec<String> {
        record.pointer(at).unwrap().as_object().unwrap().keys().map(|name| format!("{at}/{name}")).collect()
    };
    ["", "/claim", "/profile"].into_iter().flat_map(names).collect()
}

/// Returns why these bytes are no pending install. The text is empty if the error has no note.
fn pending_error(bytes: &str) -> Option<String> {
    let error = PendingInstall::decode(bytes.as_bytes()).err()?;
    assert_eq!(error.cause, Cause::PendingInstallMalformed);
    Some(error.note().unwrap_or_default().to_owned())
}

#[test]
fn the_golden_pending_install_is_written_and_read_byte_for_byte() {
    let account = AccountId::parse("open_id \"Ä\"".into()).unwrap();
    let written = PendingInstall { account: account.clone(), record: minimal().record() }.encode().unwrap();
    assert_eq!(str::from_utf8(written.expose()).unwrap(), PENDING);

    let read = PendingInstall::decode(PENDING.as_bytes()).unwrap();
    assert_eq!((read.account, stored_form(&read.record).as_str()), (account, MINIMAL));
}

#[test]
fn bytes_that_are_no_pending_install_of_this_version_are_refused() {
    let too_new = "a newer version of the connector wrote it";
    let record = MINIMAL.replace("\"version\":1", "\"version\":3");
    let table = [
        (PENDING.replacen("\"version\":1", "\"version\":2", 1), too_new),
        (PENDING.replace(MINIMAL, &record), too_new),
        (PENDING.replacen("\"version\":1", "\"version\":0", 1), ""),
        (PENDING.replacen("\"version\":1,", "", 1), ""),
        (PENDING.replace("\"account\"", "\"acount\""), ""),
        (format!(r#"{{"version":1,"account":"","record":{MINIMAL}}}"#), ""),
        (PENDING.replace(MINIMAL, "{}"), ""),
        (PENDING.replace(MINIMAL, "null"), ""),
        (MINIMAL.to_owned(), ""),
        (PENDING[..PENDING.len() - 1].to_owned(), ""),
        (String::new(), ""),
    ];
    for (bytes, note) in table {
        assert_eq!(pending_error(&bytes).as_deref(), Some(note), "{bytes}");
    }
}

#[test]
fn the_golden_records_are_written_byte_for_byte() {
    assert_eq!(stored_form(&full().record()), FULL);
    assert_eq!(stored_form(&cross_border().record()), CROSS_BORDER);
    assert_eq!(stored_form(&minimal().record()), MINIMAL);
}

#[test]
fn every_field_of_the_golden_records_is_read_as_it_was_written() {
    for (golden, fields) in [(FULL, full()), (CROSS_BORDER, cross_border()), (MINIMAL, minimal())] {
        let read = Fields::of(&TokenRecord::decode(golden.as_bytes()).unwrap());
        assert_eq!(read.stored_form(), fields.stored_form());
    }
}

#[test]
fn the_golden_records_are_read_and_written_back_unchanged() {
    for golden in [FULL, CROSS_BORDER, MINIMAL] {
        let record = TokenRecord::decode(golden.as_bytes()).unwrap();
        assert_eq!(stored_form(&record), golden);
    }
}

#[test]
fn the_order_of_members_and_the_space_between_them_do_not_matter() {
    let value: Value = serde_json::from_str(FULL).unwrap();
    let spaced = format!(" {value:#}\n");
    assert_ne!(spaced, FULL);
    assert_eq!(stored_form(&TokenRecord::decode(spaced.as_bytes()).unwrap()), FULL);
}

#[test]
fn every_dead_reason_and_shop_policy_has_its_own_name() {
    use DeadReason::{AuthorizationExpired, AuthorizationRevoked, RefreshOutcomeUnknown};
    let reasons = [
        (AuthorizationExpired, "authorization-expired"),
        (AuthorizationRevoked, "authorization-revoked"),
        (RefreshOutcomeUnknown, "refresh-outcome-unknown"),
    ];
    for (reason, name) in reasons {
        let record = TokenRecord::decode(full_with("/dead", json!(name)).as_bytes()).unwrap();
        assert_eq!(record.dead(), Some(reason));
        assert!(stored_form(&record).contains(&format!(r#""dead":"{name}""#)));
    }
    for (policy, name) in [(ShopPolicy::All, "all"), (ShopPolicy::ExactlyOne, "exactly-one")] {
        let record = TokenRecord::decode(full_with("/profile/shop-policy", json!(name)).as_bytes()).unwrap();
        assert_eq!(record.profile().shop_policy, policy);
        assert!(stored_form(&record).contains(&format!(r#""shop-policy":"{name}""#)));
    }
}

#[test]
fn a_later_version_is_too_new_whatever_else_it_holds() {
    for text in [full_with("/version", json!(3)), full_with("/version", json!(9_999)), r#"{"version":3}"#.into()] {
        assert_eq!(decode_error(text.as_bytes()), Some(DecodeError::TooNew), "{text}");
    }
    for version in [json!(0), json!(-1), json!(1.5), json!(null), json!(true), json!([2]), json!("two")] {
        let text = full_with("/version", version);
        assert_eq!(decode_error(text.as_bytes()), Some(DecodeError::Unreadable), "{text}");
    }
}

/// A host that knows only version 1 would lose the kind of seller when it writes the record again. So such a host must
/// not be able to read a record that contains the kind of seller.
#[test]
fn the_kind_of_seller_belongs_to_version_2() {
    for text in [
        full_with("/profile/user-type", json!(4)),
        full_with("/version", json!(2)),
        CROSS_BORDER.replace(r#""user-type":4"#, r#""user-type":null"#),
        CROSS_BORDER.replace(r#""user-type":4"#, r#""user-type":"4""#),
        CROSS_BORDER.replace(r#""user-type":4"#, r#""user-typ":4"#),
    ] {
        assert_eq!(decode_error(text.as_bytes()), Some(DecodeError::Unreadable), "{text}");
    }
}

#[test]
fn a_missing_member_is_unreadable() {
    for member in members() {
        assert_eq!(decode_error(full_without(&member).as_bytes()), Some(DecodeError::Unreadable), "{member}");
    }
}

/// A member that this version does not know may come from another version. If this version read the record and wrote it
/// again, the member would be lost.
#[test]
fn an_unknown_or_repeated_member_is_unreadable() {
    for member in ["/new", "/claim/new", "/profile/new"] {
        let text = full_with(member, json!(1));
        assert_eq!(decode_error(text.as_bytes()), Some(DecodeError::Unreadable), "{member}");
    }
    for (once, twice) in [
        (r#""failures":7"#, r#""failures":7,"failures":8"#),
        (r#""nonce":"#, r#""nonce":"00","nonce":"#),
        (r#""base-region":"VN""#, r#""base-region":"VN","base-region":"GB""#),
        // The number of members is right, but one member is missing and another is repeated.
        (r#""failures":7"#, r#""presented":7"#),
    ] {
        let text = FULL.replace(once, twice);
        assert_ne!(text, FULL);
        assert_eq!(decode_error(text.as_bytes()), Some(DecodeError::Unreadable), "{twice}");
    }
}

#[test]
fn a_member_of_the_wrong_type_is_unreadable() {
    let may_be_null = ["/access", "/access-ends", "/refresh", "/refresh-ends", "/claim", "/not-before", "/dead"];
    let odd = [json!(null), json!(true), json!(-1), json!(1.5), json!("odd"), json!([1]), json!({"a": 1})];
    for member in members() {
        let name = member.rsplit('/').next().unwrap();
        for value in &odd {
            let fits = match name {
                "access" | "refresh" | "app-key" | "seller-name" | "base-region" => value.is_string(),
                "verify" => value.is_boolean(),
                _ => false,
            };
            if fits || (value.is_null() && may_be_null.contains(&member.as_str())) {
                continue;
            }
            let text = full_with(&member, value.clone());
            assert_eq!(decode_error(text.as_bytes()), Some(DecodeError::Unreadable), "{member} {value}");
        }
    }
}

#[test]
fn a_number_beyond_its_range_is_unreadable() {
    for (member, text) in [
        ("\"generation\":18446744073709551615", "\"generation\":18446744073709551616"),
        ("\"presented\":4294967295", "\"presented\":4294967296"),
        ("\"failures\":7", "\"failures\":7e0"),
    ] {
        let changed = FULL.replace(member, text);
        assert_ne!(changed, FULL);
        assert_eq!(decode_error(changed.as_bytes()), Some(DecodeError::Unreadable), "{text}");
    }
}

#[test]
fn a_fourth_fallback_is_unreadable() {
    let with = |count: usize| full_with("/fallbacks", (0..count).map(|n| json!(format!("RT-{n}"))).collect());
    assert_eq!(decode_error(with(3).as_bytes()), None);
    assert_eq!(decode_error(with(4).as_bytes()), Some(DecodeError::Unreadable));
}

#[test]
fn a_record_cut_short_anywhere_is_unreadable() {
    for length in 0..FULL.len() {
        assert_eq!(decode_error(&FULL.as_bytes()[..length]), Some(DecodeError::Unreadable), "{length} bytes");
    }
}

fn point() -> impl Strategy<Value = UnixSeconds> {
    any::<u64>().prop_map(UnixSeconds::new)
}

/// Generates arbitrary records in their stored form, because a record itself does not implement `Debug`, which proptest
/// needs.
fn stored() -> impl Strategy<Value = String> {
    let texts = || prop::collection::vec(any::<String>(), 0..4);
    let reasons =
        [DeadReason::AuthorizationExpired, DeadReason::AuthorizationRevoked, DeadReason::RefreshOutcomeUnknown];
    let ends = || prop::option::of(point());
    let claim = any::<([u8; 16], [u8; 32])>().prop_map(|(nonce, spends)| Claim { nonce, spends: TokenHash(spends) });
    let current = (any::<Option<String>>(), ends(), any::<Option<String>>(), ends());
    let rest = (any::<[u8; 16]>(), any::<u64>(), any::<u32>(), any::<u32>(), any::<bool>());
    let grant = (prop::option::of(claim), prop::option::of(prop::sample::select(reasons.to_vec())), texts());
    let times = (point(), ends(), point(), point());
    let profile = (any::<String>(), any::<bool>(), any::<String>(), any::<String>(), texts(), any::<Option<i64>>());
    (current, rest, grant, times, profile).prop_map(|(current, rest, grant, times, profile)| {
        let (access_token, access_ends, refresh, refresh_ends) = current;
        let (lineage, generation, presented, failures, verify) = rest;
        let (claim, dead, fallbacks) = grant;
        let (due_at, not_before, granted_at, rotated_at) = times;
        let (app_key, all, seller_name, base_region, scopes, user_type) = profile;
        let fields = Fields {
            lineage: Lineage(lineage),
            generation,
            app_key,
            current: CurrentPair {
                access: access_token.as_deref().map(access),
                access_ends,
                refresh: refresh.as_deref().map(refresh_token),
                refresh_ends,
            },
            due_at,
            fallbacks: fallbacks.iter().map(|text| refresh_token(text)).collect(),
            rejected: fallbacks.iter().rev().map(|text| refresh_token(text)).collect(),
            claim,
            presented,
            failures,
            not_before,
            granted_at,
            rotated_at,
            verify,
            dead,
            profile: Profile {
                shop_policy: if all { ShopPolicy::All } else { ShopPolicy::ExactlyOne },
                seller_name,
                base_region,
                scopes,
                user_type: user_type.map(UserType),
            },
        };
        stored_form(&fields.record())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_record_survives_the_round_trip(stored in stored()) {
        let read = TokenRecord::decode(stored.as_bytes()).map(|record| stored_form(&record));
        prop_assert_eq!(read, Ok(stored));
    }
}
