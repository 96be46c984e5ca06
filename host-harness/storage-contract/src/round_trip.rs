//! What is given comes back as it was given, in every field.

use super::broken::{Broken, ensure_same};
use super::concurrency::settles;
use super::samples::{self, TEXTS, ageless, revised};
use super::trial::{Tenant, Trial};
use tiktok_shop_host::connection::{
    ConnectionStatus, PastFailure, ReauthorizationReason, ShopPolicy, ShopStanding, UnixSeconds,
};
use tiktok_shop_host::error::Failure;
use tiktok_shop_host::storage::{Next, Row};

/// The last second of the year 9999.
const LAST: UnixSeconds = UnixSeconds(253_402_300_799);

/// Writes the row, created or in the place of one, and reads it in every way there is.
async fn comes_back(tenant: &Tenant, row: &Row, expected: Option<&str>, revision: &str) -> Result<(), Broken> {
    let (Tenant { storage, id, .. }, key) = (tenant, &row.connection.key);
    let next = Next { revision: revision.parse()?, value: row.clone() };
    tenant.swap_row(key, expected, Some(&next), &[]).await?;
    let stored = Some((revision.to_owned(), row.clone()));
    settles("load_row", stored.clone(), || async { storage.load_row(id, key).await.map(revised) }).await?;
    let listed = || async {
        let rows = storage.list_rows(id, &key.customer).await?;
        Ok::<_, Broken>(revised(rows.into_iter().find(|entry| entry.row.connection.key == *key)))
    };
    settles("list_rows", stored.clone(), listed).await?;
    let lost = storage.swap_row(id, key, None, None, &[]).await?;
    let tiktok_shop_host::storage::Swapped::Stale(found) = lost else {
        return Err(Broken("a deletion won that expected no record where one stands".to_owned()));
    };
    ensure_same!(revised(found), stored, "a row in a lost swap");
    Ok(())
}

/// A row every text of which comes from here: told the name of a field.
fn filled(tenant: &Tenant, text: impl Fn(&str) -> String) -> Result<Row, Broken> {
    let key = samples::key("customer", "account")?;
    let mut row = samples::row(&key);
    row.token_lineage = text("lineage");
    row.ciphers = Some(tenant.sealed(text("ciphers")));
    let connection = &mut row.connection;
    connection.seller_name = text("seller name");
    connection.seller_base_region = text("seller base region");
    connection.granted_scopes = vec![text("first scope"), String::new(), text("second scope")];
    let (code, detail, request_id) = (text("code"), text("detail"), Some(text("request id")));
    let failure = Failure { code, detail, http_status: None, request_id };
    connection.last_failure = Some(PastFailure { at: UnixSeconds(0), failure });
    for id in ["2", "1"] {
        let mut shop = samples::shop(id, &key.account)?;
        shop.name = text("name");
        shop.region = text("region");
        shop.seller_type = text("seller type");
        shop.code = text("code of the shop");
        shop.raw = text("raw");
        connection.shops.push(shop);
    }
    Ok(row)
}

pub(super) async fn any_text_comes_back_in_every_field_of_a_row(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let mut stands: Option<String> = None;
    for (number, text) in TEXTS.iter().enumerate() {
        // Once in every field, and once so that no field is taken for another.
        let alone = filled(&tenant, |_| (*text).to_owned())?;
        let with_the_field = filled(&tenant, |field| format!("{text}{field}{text}"))?;
        for (row, way) in [(alone, "alone"), (with_the_field, "with the field")] {
            let revision = format!("{number} {way}");
            comes_back(&tenant, &row, stands.as_deref(), &revision).await?;
            stands = Some(revision);
        }
    }
    Ok(())
}

pub(super) async fn every_status_policy_standing_and_reason_comes_back(trial: &Trial) -> Result<(), Broken> {
    use ReauthorizationReason::{AuthorizationExpired, AuthorizationRevoked, RefreshOutcomeUnknown};

    let tenant = trial.tenant().await?;
    let statuses = [
        ConnectionStatus::Active,
        ConnectionStatus::AuthorizationEnding(UnixSeconds(0)),
        ConnectionStatus::AuthorizationEnding(LAST),
        ConnectionStatus::ReauthorizationRequired(AuthorizationExpired),
        ConnectionStatus::ReauthorizationRequired(AuthorizationRevoked),
        ConnectionStatus::ReauthorizationRequired(RefreshOutcomeUnknown),
    ];
    let mut stands: Option<String> = None;
    for (number, status) in statuses.into_iter().enumerate() {
        for (shop_policy, linked) in [(ShopPolicy::All, true), (ShopPolicy::ExactlyOne, false)] {
            let mut row = samples::row(&samples::key("customer", "account")?);
            row.connection.status = status;
            row.connection.shop_policy = shop_policy;
            let standings = [ShopStanding::Granted, ShopStanding::Inactive, ShopStanding::NoLongerGranted];
            for (standing, id) in standings.into_iter().zip(["3", "1", "2"]) {
                let mut shop = samples::shop(id, &row.connection.key.account)?;
                (shop.standing, shop.linked) = (standing, linked);
                row.connection.shops.push(shop);
            }
            let revision = format!("{number} {linked}");
            comes_back(&tenant, &row, stands.as_deref(), &revision).await?;
            stands = Some(revision);
        }
    }
    Ok(())
}

pub(super) async fn numbers_come_back_at_their_limits_and_what_is_absent_stays_absent(
    trial: &Trial,
) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let mut stands: Option<String> = None;
    let failure = |http_status, request_id: Option<&str>| {
        let request_id = request_id.map(str::to_owned);
        Some(Failure { code: String::new(), detail: String::new(), http_status, request_id })
    };
    let failures = [None, failure(None, None), failure(Some(0), Some("")), failure(Some(u16::MAX), Some("id"))];
    let (zero, last, greatest) = (UnixSeconds(0), LAST, i64::MAX.unsigned_abs());
    for (number, failure) in failures.into_iter().enumerate() {
        // One of the optional times in turn, with the others absent; then all of them.
        for (place, at, generation) in
            [(0, zero, 0), (1, last, 1), (2, zero, u64::from(u32::MAX) + 1), (3, last, greatest), (4, last, greatest)]
        {
            let mut row = samples::row(&samples::key("customer", "account")?);
            row.token_generation = generation;
            let connection = &mut row.connection;
            let optional = [
                &mut connection.access_expires_at,
                &mut connection.refresh_expires_at,
                &mut connection.authorization_ends_at,
                &mut connection.shops_synced_at,
            ];
            for (nth, time) in optional.into_iter().enumerate() {
                *time = (nth == place || place == 4).then_some(at);
            }
            (connection.connected_at, connection.granted_at, connection.refreshed_at) = (last, at, zero);
            connection.last_failure = failure.clone().map(|failure| PastFailure { at, failure });
            let revision = format!("{number} {place}");
            comes_back(&tenant, &row, stands.as_deref(), &revision).await?;
            stands = Some(revision);
        }
    }
    due_in_the_far_future(trial, &tenant).await
}

/// That a time is stored exactly is seen by what is listed then, and not a second before.
async fn due_in_the_far_future(trial: &Trial, tenant: &Tenant) -> Result<(), Broken> {
    let key = samples::key("customer", "account")?;
    let token = samples::token("r", tenant.sealed("value"), Some(LAST))?;
    tenant.swap_token(&key, None, Some(&token)).await?;
    let due = |at| tiktok_shop_host::storage::Due { at, tenant: tenant.id.clone(), key: key.clone() };
    let after = due(UnixSeconds(LAST.0 - 1));
    for (now, expected) in [(LAST, Some(due(LAST))), (UnixSeconds(u64::MAX), Some(due(LAST)))] {
        let listed = || async {
            let page = trial.storage.due(now, Some(&after), 100).await?;
            Ok::<_, Broken>(page.into_iter().find(|due| due.tenant == tenant.id))
        };
        settles(&format!("due at {now:?}"), expected, listed).await?;
    }
    let before = trial.storage.due(after.at, Some(&due(UnixSeconds(LAST.0 - 2))), 100).await?;
    ensure_same!(before.into_iter().find(|due| due.tenant == tenant.id), None, "due a second before");
    Ok(())
}

pub(super) async fn any_number_of_shops_comes_back_in_its_order(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let key = samples::key("customer", "account")?;
    let mut stands: Option<String> = None;
    for count in [0_u64, 1, 2_000, 2, 0] {
        let mut row = samples::row(&key);
        for nth in 0..count {
            // Neither sorted nor in reverse.
            let mut shop = samples::shop(&format!("{}", (nth * 7_919) % 100_003), &key.account)?;
            shop.name = format!("shop {nth}");
            shop.linked = nth.is_multiple_of(2);
            row.connection.shops.push(shop);
        }
        let revision = format!("{count} after {}", stands.as_deref().unwrap_or("none"));
        comes_back(&tenant, &row, stands.as_deref(), &revision).await?;
        stands = Some(revision);
    }
    Ok(())
}

pub(super) async fn large_values_come_back(trial: &Trial) -> Result<(), Broken> {
    const MEBIBYTE: usize = 1 << 20;
    let tenant = trial.tenant().await?;
    let key = samples::key("customer", "account")?;
    let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(MEBIBYTE).collect();
    tenant.put_token(&key, "r", bytes.as_slice()).await?;
    let (storage, id) = (&tenant.storage, &tenant.id);
    let load = || async { storage.load_token(id, &key).await.map(ageless) };
    settles("load_token", Some(("r".to_owned(), tenant.sealed(bytes.as_slice()))), load).await?;
    let mut row = samples::row(&key);
    row.ciphers = Some(tenant.sealed(bytes));
    let mut shop = samples::shop("1", &key.account)?;
    shop.raw = TEXTS.iter().cycle().flat_map(|text| text.chars()).take(MEBIBYTE / 2).collect();
    row.connection.shops.push(shop);
    comes_back(&tenant, &row, None, "r").await?;
    // Nor are empty values taken for none.
    let empty = samples::key("customer", "empty")?;
    tenant.put_token(&empty, "r", Vec::new()).await?;
    let load = || async { storage.load_token(id, &empty).await.map(ageless) };
    settles("load_token", Some(("r".to_owned(), tenant.sealed(Vec::new()))), load).await?;
    let mut row = samples::row(&empty);
    row.ciphers = Some(tenant.sealed(Vec::new()));
    comes_back(&tenant, &row, None, "r").await
}
