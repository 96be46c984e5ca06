//! Sample values: one customer with one account, and numbered tokens. The pair `AT-1`/`RT-1` is stored; TikTok issues
//! `AT-2`/`RT-2` next, and so on.

use crate::scripted_host::Answer;
use crate::stored_fields::Fields;
use serde_json::{Value, json};
use tiktok_shop_connector_core::connection::document;
use tiktok_shop_connector_core::connection::{Connection, ListedShop, Row, Shop, ShopStanding, Status};
use tiktok_shop_connector_core::error::{Cause, Error};
use tiktok_shop_connector_core::identity::{AccountId, ConnectionKey, CustomerId};
use tiktok_shop_connector_core::record::{
    Claim, CurrentPair, Lineage, NewGrant, Profile, ShopPolicy, TokenHash, TokenRecord,
};
use tiktok_shop_connector_core::secret::{AccessToken, AppSecret, RefreshToken, ShopCipher};
use tiktok_shop_connector_core::time::UnixSeconds;
use tiktok_shop_connector_core::token::{Expiry, Pair, UserType};

/// The time at which the wall clock of every scripted host starts.
pub(crate) const NOW: UnixSeconds = UnixSeconds::new(1_767_225_600);
pub(crate) const DAY: u64 = 86_400;
pub(crate) const APP_KEY: &str = "app-key-1";
pub(crate) const APP_SECRET: &str = "app-secret-canary-9d1c2e7b5a4f";
pub(crate) const PREVIOUS_APP_SECRET: &str = "app-secret-canary-before-77aa";
/// The key of a second app of the tenant.
pub(crate) const OTHER_APP: &str = "app-key-2";
pub(crate) const LINEAGE: Lineage = Lineage([0x11; 16]);
/// The nonce of a claim that another call wrote.
pub(crate) const THEIR_NONCE: [u8; 16] = [0xee; 16];
pub(crate) const SELLER: i64 = 0;

pub(crate) fn customer() -> CustomerId {
    CustomerId::parse("customer-1".into()).unwrap()
}

pub(crate) fn account() -> AccountId {
    AccountId::parse("account-1".into()).unwrap()
}

pub(crate) fn key() -> ConnectionKey {
    ConnectionKey { customer: customer(), account: account() }
}

pub(crate) fn key_of(customer: &str, account: &str) -> ConnectionKey {
    ConnectionKey {
        customer: CustomerId::parse(customer.into()).unwrap(),
        account: AccountId::parse(account.into()).unwrap(),
    }
}

/// Returns the secret of the app with this key.
pub(crate) fn secret_of(app_key: &str) -> AppSecret {
    AppSecret::new(if app_key == APP_KEY { APP_SECRET.into() } else { format!("secret-canary-4be1-of-{app_key}") })
}

pub(crate) fn access(text: &str) -> AccessToken {
    AccessToken::new(text.into())
}

pub(crate) fn refresh_token(text: &str) -> RefreshToken {
    RefreshToken::new(text.into())
}

/// Returns a claim that another call holds on this refresh token.
pub(crate) fn their_claim(spends: &str) -> Claim {
    Claim { nonce: THEIR_NONCE, spends: TokenHash::of(&refresh_token(spends)) }
}

/// Returns a record of a connection that was made a month ago, was renewed yesterday and is due in five days.
pub(crate) fn fresh() -> TokenRecord {
    let fields = Fields {
        lineage: LINEAGE,
        generation: 4,
        app_key: APP_KEY.into(),
        current: CurrentPair {
            access: Some(access("AT-1")),
            access_ends: Some(NOW.plus(6 * DAY)),
            refresh: Some(refresh_token("RT-1")),
            refresh_ends: Some(NOW.plus(365 * DAY)),
        },
        due_at: NOW.plus(5 * DAY),
        fallbacks: Vec::new(),
        rejected: Vec::new(),
        claim: None,
        presented: 0,
        failures: 0,
        not_before: None,
        granted_at: NOW.minus(30 * DAY),
        rotated_at: NOW.minus(DAY),
        verify: false,
        dead: None,
        profile: Profile {
            shop_policy: ShopPolicy::All,
            seller_name: "Seller".into(),
            base_region: "GB".into(),
            scopes: vec!["seller.authorization.info".into()],
            user_type: None,
        },
    };
    fields.record()
}

/// Returns a record that has been due for a minute. Its access token is valid for another day.
pub(crate) fn due() -> TokenRecord {
    with(fresh(), |record| {
        record.due_at = NOW.minus(60);
        record.current.access_ends = Some(NOW.plus(DAY));
        record.rotated_at = NOW.minus(6 * DAY);
    })
}

/// Returns a record that is due, and whose access token has expired.
pub(crate) fn expired() -> TokenRecord {
    with(due(), |record| record.current.access_ends = Some(NOW.minus(1)))
}

pub(crate) fn with(record: TokenRecord, edit: impl FnOnce(&mut Fields)) -> TokenRecord {
    let mut fields = Fields::of(&record);
    edit(&mut fields);
    fields.record()
}

/// Copies a record. `TokenRecord` deliberately does not implement `Clone`.
pub(crate) fn duplicate(record: &TokenRecord) -> TokenRecord {
    TokenRecord::decode(record.encode().unwrap().expose()).unwrap()
}

/// Returns the stored form of a record as text, for comparing records.
pub(crate) fn stored_form(record: &TokenRecord) -> String {
    String::from_utf8(record.encode().unwrap().expose().to_vec()).unwrap()
}

/// Describes the tokens of a record, for example `AT-2 RT-2 [RT-1] claimed`: the access token, the refresh token, the
/// fallbacks in brackets, and the word `claimed` or `dead` if the record is claimed or dead. `-` stands for a missing
/// token.
pub(crate) fn tokens(record: &TokenRecord) -> String {
    let access = record.current().access.as_ref().map_or("-", AccessToken::expose);
    let refresh = record.current().refresh.as_ref().map_or("-", RefreshToken::expose);
    let fallbacks: Vec<_> = record.fallbacks().iter().map(RefreshToken::expose).collect();
    let claimed = if record.current_claim().is_some() { " claimed" } else { "" };
    let dead = if record.dead().is_some() { " dead" } else { "" };
    format!("{access} {refresh} [{}]{claimed}{dead}", fallbacks.join(" "))
}

/// Returns the pair with this number, as the core reads it from TikTok's answer.
pub(crate) fn pair(number: u32) -> Pair {
    Pair {
        access: Some(access(&format!("AT-{number}"))),
        access_expiry: Expiry::At(NOW.plus(7 * DAY)),
        refresh: Some(refresh_token(&format!("RT-{number}"))),
        refresh_ends: Some(NOW.plus(365 * DAY)),
        account: Some("account-1".into()),
        user_type: Some(UserType(SELLER)),
        seller_name: Some("Seller".into()),
        base_region: Some("GB".into()),
        scopes: Some(vec!["seller.authorization.info".into()]),
        date: None,
        status: 200,
        request_id: None,
    }
}

/// Describes a consent that was given at the time `at`, and for which TikTok issued this pair.
pub(crate) const fn grant(shop_policy: ShopPolicy, pair: &Pair, at: UnixSeconds) -> NewGrant<'_> {
    NewGrant { lineage: LINEAGE, app_key: APP_KEY, shop_policy, pair, received_at: at, granted_at: at, random: 0 }
}

/// Returns the pair with this number, as TikTok sends it.
pub(crate) fn pair_data(number: u32) -> Value {
    json!({
        "access_token": format!("AT-{number}"),
        "access_token_expire_in": NOW.plus(14 * DAY).seconds(),
        "refresh_token": format!("RT-{number}"),
        "refresh_token_expire_in": 4_903_858_076_u64,
        "open_id": "account-1",
        "seller_name": "Seller",
        "seller_base_region": "GB",
        "user_type": SELLER,
        "granted_scopes": ["seller.authorization.info"],
    })
}

pub(crate) fn pair_answer(number: u32) -> Answer {
    Answer::success(&pair_data(number))
}

/// Returns TikTok's answer that contains the pair with this number. `changes` replaces or adds members of its data.
pub(crate) fn pair_answer_with(number: u32, changes: &Value) -> Answer {
    let mut data = pair_data(number);
    for (name, value) in changes.as_object().unwrap() {
        data[name] = value.clone();
    }
    Answer::success(&data)
}

/// Returns TikTok's list of these shops. Each shop has a cipher.
pub(crate) fn shops_answer(ids: &[&str]) -> Answer {
    let rows: Vec<_> = ids
        .iter()
        .map(|id| json!({"id": id, "name": format!("Shop {id}"), "region": "GB", "seller_type": "LOCAL", "cipher": format!("cipher-{id}"), "code": "GBCODE"}))
        .collect();
    Answer::success(&json!({ "shops": rows }))
}

pub(crate) fn shop(id: &str) -> Shop {
    let listed = ListedShop {
        id: id.into(),
        name: format!("Shop {id}"),
        region: "GB".into(),
        seller_type: "LOCAL".into(),
        cipher: Some(ShopCipher::new(format!("cipher-{id}"))),
        code: "GBCODE".into(),
        raw: format!(r#"{{"id":"{id}"}}"#),
    };
    Shop { listed, standing: ShopStanding::Granted, linked: true }
}

/// Returns the row that belongs to a record. All shops of the row are linked.
pub(crate) fn row_of(key: &ConnectionKey, record: &TokenRecord, shops: &[&str]) -> Row {
    Row {
        connection: Connection {
            key: key.clone(),
            app: Some(record.app_key().into()),
            seller_name: record.profile().seller_name.clone(),
            base_region: record.profile().base_region.clone(),
            scopes: record.profile().scopes.clone(),
            shop_policy: record.profile().shop_policy,
            status: record.dead().map_or(Status::Active, Status::ReauthorizationRequired),
            access_ends: record.current().access_ends,
            refresh_ends: record.current().refresh_ends,
            authorization_ends: None,
            connected_at: record.granted_at(),
            granted_at: record.granted_at(),
            refreshed_at: record.rotated_at(),
            shops_synced_at: Some(record.rotated_at()),
            shops: shops.iter().map(|id| shop(id)).collect(),
            last_failure: None,
        },
        lineage: record.lineage().to_text(),
        generation: record.generation(),
    }
}

/// Copies a row, by its stored form. `Row` deliberately does not implement `Clone`, because it holds ciphers.
pub(crate) fn duplicate_row(row: &Row) -> Row {
    let (document, secrets) = (document::encode(row).unwrap(), document::encode_secrets(row).unwrap());
    document::decode(row.connection.key.clone(), &document, secrets.expose()).unwrap()
}

/// Describes the shops of a connection in their order, for example `1 granted linked, 2 gone`.
pub(crate) fn shops_of(connection: &Connection) -> String {
    let shop = |shop: &Shop| {
        let standing = match shop.standing {
            ShopStanding::Granted => "granted",
            ShopStanding::Inactive => "inactive",
            ShopStanding::NoLongerGranted => "gone",
            ShopStanding::Unconfirmed => "unconfirmed",
        };
        format!("{} {standing}{}", shop.listed.id, if shop.linked { " linked" } else { "" })
    };
    connection.shops.iter().map(shop).collect::<Vec<_>>().join(", ")
}

/// Returns `ok` or the code of the error.
pub(crate) fn outcome<T>(result: &Result<T, Error>) -> &'static str {
    result.as_ref().map_or_else(|error| error.cause.code(), |_| "ok")
}

/// Returns the code of the connection's last failure, if there is one.
pub(crate) fn last_failure(connection: &Connection) -> Option<&str> {
    connection.last_failure.as_ref().map(|failure| failure.code.as_str())
}

/// Returns the cause and the delay in seconds of an operation that must fail.
pub(crate) fn cause_and_delay<T>(result: Result<T, Error>) -> (Cause, u64) {
    let error = result.err().expect("an error");
    (error.cause, error.delay.as_secs())
}
