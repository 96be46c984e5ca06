//! Checks that the storage returns every field of a record unchanged.

use super::broken::{Broken, ensure_eq};
use super::concurrency::eventually;
use super::samples::{self, Sample, TEXTS, revision_and_row, revision_and_value};
use super::trial::{Tenant, Trial};
use tiktok_shop_host::connection::{
    ConnectionStatus, PastFailure, ReauthorizationReason, ShopPolicy, ShopStanding, UnixSeconds,
};
use tiktok_shop_host::error::Failure;
use tiktok_shop_host::storage::{Due, Next, Swapped};

/// The last second of the year 9999.
const LAST: UnixSeconds = UnixSeconds(253_402_300_799);

/// Writes the row, then reads it with `load_row`, with `list_rows` and with a stale swap. Each read must return the row
/// unchanged.
async fn check_row(tenant: &Tenant, row: &Sample, expected: Option<&str>, revision: &str) -> Result<(), Broken> {
    let (Tenant { storage, id, .. }, key) = (tenant, &row.connection.key);
    let next = Next { revision: revision.parse()?, value: row.stored()? };
    tenant.swap_row(key, expected, Some(&next), &[]).await?;
    let stored = Some((revision.to_owned(), row.stored()?));
    eventually("`load_row`", stored.clone(), || async { storage.load_row(id, key).await.map(revision_and_row) })
        .await?;
    let listed = || async {
        let rows = storage.list_rows(id, &key.customer).await?;
        Ok::<_, Broken>(revision_and_row(rows.into_iter().find(|entry| entry.row.key == *key)))
    };
    eventually("`list_rows`", stored.clone(), listed).await?;
    let stale = storage.swap_row(id, key, None, None, &[]).await?;
    let Swapped::Stale(found) = stale else {
        return Err(Broken("a deletion that expects no record won although a record exists".to_owned()));
    };
    ensure_eq!(revision_and_row(found), stored, "the row in the answer of a stale swap");
    Ok(())
}

/// Returns a row in which every text is set. `text` gets the name of a field and returns the text for that field.
fn filled(tenant: &Tenant, text: impl Fn(&str) -> String) -> Result<Sample, Broken> {
    let key = samples::key("customer", "account")?;
    let mut row = samples::row(&key);
    row.token_lineage = text("lineage");
    row.sealed = Some(tenant.sealed(text("ciphers")));
    let connection = &mut row.connection;
    connection.app = text("app").parse().ok();
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

pub(super) async fn every_text_of_a_row_is_returned_unchanged(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let mut current: Option<String> = None;
    for (number, text) in TEXTS.iter().enumerate() {
        // In the first row, the fields contain only this text. In the second row, each field also contains its own
        // name.
        let alone = filled(&tenant, |_| (*text).to_owned())?;
        let with_the_field = filled(&tenant, |field| format!("{text}{field}{text}"))?;
        for (row, way) in [(alone, "alone"), (with_the_field, "with the field")] {
            let revision = format!("{number} {way}");
            check_row(&tenant, &row, current.as_deref(), &revision).await?;
            current = Some(revision);
        }
    }
    Ok(())
}

pub(super) async fn every_status_policy_standing_and_reason_is_returned_unchanged(trial: &Trial) -> Result<(), Broken> {
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
    let mut current: Option<String> = None;
    for (number, status) in statuses.into_iter().enumerate() {
        for (shop_policy, linked) in [(ShopPolicy::All, true), (ShopPolicy::ExactlyOne, false)] {
            let mut row = samples::row(&samples::key("customer", "account")?);
            row.connection.status = status;
            row.connection.shop_policy = shop_policy;
            let standings = [
                ShopStanding::Granted,
                ShopStanding::Inactive,
                ShopStanding::NoLongerGranted,
                ShopStanding::Unconfirmed,
            ];
            for (standing, id) in standings.into_iter().zip(["3", "1", "2", "4"]) {
                let mut shop = samples::shop(id, &row.connection.key.account)?;
                (shop.standing, shop.linked) = (standing, linked);
                row.connection.shops.push(shop);
            }
            let revision = format!("{number} {linked}");
            check_row(&tenant, &row, current.as_deref(), &revision).await?;
            current = Some(revision);
        }
    }
    Ok(())
}

pub(super) async fn extreme_numbers_and_absent_values_are_returned_unchanged(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let mut current: Option<String> = None;
    let failure = |http_status, request_id: Option<&str>| {
        let request_id = request_id.map(str::to_owned);
        Some(Failure { code: String::new(), detail: String::new(), http_status, request_id })
    };
    let failures = [None, failure(None, None), failure(Some(0), Some("")), failure(Some(u16::MAX), Some("id"))];
    let (zero, last, greatest) = (UnixSeconds(0), LAST, i64::MAX.unsigned_abs());
    for (number, failure) in failures.into_iter().enumerate() {
        // Each tuple holds the index of the optional time that is set (4 means that all four are set), the time, and
        // the token generation.
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
            check_row(&tenant, &row, current.as_deref(), &revision).await?;
            current = Some(revision);
        }
    }
    due_in_the_far_future(trial, &tenant).await
}

/// Checks that a due time in the year 9999 is stored exactly: the record is listed at that second, and not a second
/// earlier.
async fn due_in_the_far_future(trial: &Trial, tenant: &Tenant) -> Result<(), Broken> {
    let key = samples::key("customer", "account")?;
    let token = samples::token("r", tenant.sealed("value"), Some(LAST))?;
    tenant.swap_token(&key, None, Some(&token)).await?;
    let due = |at| Due { at, tenant: tenant.id.clone(), key: key.clone() };
    let after = due(UnixSeconds(LAST.0 - 1));
    for (now, expected) in [(LAST, Some(due(LAST))), (UnixSeconds(u64::MAX), Some(due(LAST)))] {
        let listed = || async {
            let page = trial.storage.due(now, Some(&after), 100).await?;
            Ok::<_, Broken>(page.into_iter().find(|due| due.tenant == tenant.id))
        };
        eventually(&format!("`due` at {now:?}"), expected, listed).await?;
    }
    let before = trial.storage.due(after.at, Some(&due(UnixSeconds(LAST.0 - 2))), 100).await?;
    ensure_eq!(before.into_iter().find(|due| due.tenant == tenant.id), None, "`due` a second earlier");
    Ok(())
}

pub(super) async fn any_number_of_shops_is_returned_in_its_order(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let key = samples::key("customer", "account")?;
    let mut current: Option<String> = None;
    for count in [0_u64, 1, 2_000, 2, 0] {
        let mut row = samples::row(&key);
        for nth in 0..count {
            // The ids are neither in ascending nor in descending order.
            let mut shop = samples::shop(&format!("{}", (nth * 7_919) % 100_003), &key.account)?;
            shop.name = format!("shop {nth}");
            shop.linked = nth.is_multiple_of(2);
            row.connection.shops.push(shop);
        }
        let revision = format!("{count} after {}", current.as_deref().unwrap_or("none"));
        check_row(&tenant, &row, current.as_deref(), &revision).await?;
        current = Some(revision);
    }
    Ok(())
}

pub(super) async fn large_and_empty_values_are_returned_unchanged(trial: &Trial) -> Result<(), Broken> {
    const MEBIBYTE: usize = 1 << 20;
    let tenant = trial.tenant().await?;
    let key = samples::key("customer", "account")?;
    let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(MEBIBYTE).collect();
    tenant.put_token(&key, "r", bytes.as_slice()).await?;
    let (storage, id) = (&tenant.storage, &tenant.id);
    let load = || async { storage.load_token(id, &key).await.map(revision_and_value) };
    eventually("`load_token`", Some(("r".to_owned(), tenant.sealed(bytes.as_slice()))), load).await?;
    let mut row = samples::row(&key);
    row.sealed = Some(tenant.sealed(bytes));
    let mut shop = samples::shop("1", &key.account)?;
    shop.raw = TEXTS.iter().cycle().flat_map(|text| text.chars()).take(MEBIBYTE / 2).collect();
    row.connection.shops.push(shop);
    check_row(&tenant, &row, None, "r").await?;
    // An empty value is not the same as no value.
    let empty = samples::key("customer", "empty")?;
    tenant.put_token(&empty, "r", Vec::new()).await?;
    let load = || async { storage.load_token(id, &empty).await.map(revision_and_value) };
    eventually("`load_token`", Some(("r".to_owned(), tenant.sealed(Vec::new()))), load).await?;
    let mut row = samples::row(&empty);
    row.sealed = Some(tenant.sealed(Vec::new()));
    check_row(&tenant, &row, None, "r").await
}
