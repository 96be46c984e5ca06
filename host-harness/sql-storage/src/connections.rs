//! Rows: a connection, its shops, and the events that a change of it means.

use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use super::bulk::{MAX_VALUES, tuples};
use super::error::{breaks_reference, storage_error};
use super::{
    AccountId, Columns as _, ConnectionKey, CustomerId, Ending, MAX_RACES, NewEvent, Next, Revision, Row, RowEntry,
    Sealed, ShopId, SqlStorage, Statement, StorageError, Swapped, TenantId, UnixSeconds, escaped, keyed, limited,
    malformed, number, optional_seconds, seconds, statement,
};
use tiktok_shop_host::connection::{
    Connection, ConnectionStatus, PastFailure, ReauthorizationReason, Shop, ShopPolicy, ShopStanding,
};
use tiktok_shop_host::error::Failure;

/// The columns of a connection that a swap writes, in the order in which they are bound from `$4` on.
pub(super) const COLUMNS: [&str; 25] = [
    "revision",
    "token_lineage",
    "token_generation",
    "seller_name",
    "seller_base_region",
    "granted_scopes",
    "shop_policy",
    "status",
    "status_ends_at",
    "status_reason",
    "access_expires_at",
    "refresh_expires_at",
    "authorization_ends_at",
    "ends_at",
    "connected_at",
    "granted_at",
    "refreshed_at",
    "shops_synced_at",
    "failure_at",
    "failure_code",
    "failure_detail",
    "failure_http_status",
    "failure_request_id",
    "sealed_by",
    "sealed",
];
const FIRST: usize = 4;
/// Where `sealed_by` is bound.
const SEALED_BY: usize = FIRST + COLUMNS.len() - 2;

/// Columns of a shop beside its connection's.
pub(super) const SHOP_COLUMNS: [&str; 9] =
    ["id", "position", "name", "region", "seller_type", "code", "raw", "standing", "linked"];

impl SqlStorage {
    /// The rows of a customer, or of one account. One statement, so that a row and its shops are of one write.
    pub(super) async fn rows(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        account: Option<&AccountId>,
    ) -> Result<Vec<RowEntry>, StorageError> {
        // The first shop brings the columns of the connection along.
        let first = |column: &&str| format!("CASE WHEN COALESCE(s.position, 0) = 0 THEN c.{column} END AS {column}");
        let columns: Vec<_> = COLUMNS.iter().map(first).collect();
        let one = if account.is_some() { "AND c.account = $3" } else { "" };
        let sql = format!(
            "SELECT c.customer, c.account, s.position, s.id AS shop_id, s.name, s.region, s.seller_type, s.code, s.raw, \
             s.standing, CASE WHEN s.linked THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END AS linked, {} \
             FROM tiktok_shop_connections c LEFT JOIN tiktok_shop_shops s \
             ON s.tenant = c.tenant AND s.customer = c.customer AND s.account = c.account \
             WHERE c.tenant = $1 AND c.customer = $2 {one} ORDER BY c.account, s.position",
            columns.join(", ")
        );
        let query = statement(sql).bind(escaped(tenant.as_str())).bind(escaped(customer.as_str()));
        let query = match account {
            Some(account) => query.bind(escaped(account.as_str())),
            None => query,
        };
        let mut entries: Vec<RowEntry> = Vec::new();
        for row in query.fetch_all(&self.readers).await.map_err(storage_error)? {
            let position = row.optional_whole("position")?;
            if position.unwrap_or_default() == 0 {
                entries.push(entry(&row)?);
            }
            if let (Some(_), Some(entry)) = (position, entries.last_mut()) {
                let shop = shop(&row, &entry.row.connection.key.account)?;
                entry.row.connection.shops.push(shop);
            }
        }
        Ok(entries)
    }

    pub(super) async fn swapped_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<Row>>,
        events: &[NewEvent],
    ) -> Result<Swapped<RowEntry>, StorageError> {
        for _ in 0..MAX_RACES {
            if self.try_row(tenant, key, expected, next, events).await? {
                return Ok(Swapped::Done);
            }
            let found = self.rows(tenant, &key.customer, Some(&key.account)).await?.pop();
            if found.as_ref().map(|entry| &entry.revision) != expected {
                return Ok(Swapped::Stale(found));
            }
            let sealed_by = next.and_then(|next| next.value.ciphers.as_ref()).map(Sealed::key);
            if let Some(sealed_by) = sealed_by
                && !self.has_key(tenant, sealed_by).await?
            {
                return Err(StorageError::KeyGone);
            }
        }
        Err(StorageError::Unavailable("other writers keep coming in between".to_owned()))
    }

    /// `false`: nothing is written. The revision was another, or the key is gone.
    async fn try_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<Row>>,
        events: &[NewEvent],
    ) -> Result<bool, StorageError> {
        let mut transaction = self.begin().await?;
        match self.write_row(&mut transaction, tenant, key, expected, next, events).await {
            Ok(true) => {
                transaction.commit().await.map_err(storage_error)?;
                Ok(true)
            }
            Ok(false) => {
                transaction.rollback().await.map_err(storage_error)?;
                Ok(false)
            }
            // Dropped, it is rolled back.
            Err(error) if breaks_reference(&error) => Ok(false),
            Err(error) => Err(storage_error(error)),
        }
    }

    async fn write_row(
        &self,
        transaction: &mut Transaction<'static, Any>,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<Row>>,
        events: &[NewEvent],
    ) -> Result<bool, sqlx::Error> {
        if !self.write_connection(transaction, tenant, key, expected, next).await? {
            return Ok(false);
        }
        let sql = "DELETE FROM tiktok_shop_shops WHERE tenant = $1 AND customer = $2 AND account = $3";
        if expected.is_some() {
            keyed(sql.to_owned(), tenant, key).execute(&mut **transaction).await?;
        }
        if let Some(next) = next {
            insert_shops(transaction, tenant, key, &next.value.connection.shops).await?;
        }
        self.append(transaction, tenant, events).await?;
        Ok(true)
    }

    async fn write_connection(
        &self,
        transaction: &mut Transaction<'static, Any>,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<Row>>,
    ) -> Result<bool, sqlx::Error> {
        let query = match (expected, next) {
            (expected, Some(Next { revision, value })) => {
                let columns = COLUMNS.join(", ");
                let values: Vec<_> = (FIRST..).take(COLUMNS.len()).map(|number| format!("${number}")).collect();
                let values = values.join(", ");
                let has_key = format!(
                    "(${SEALED_BY} IS NULL OR EXISTS (SELECT 1 FROM tiktok_shop_tenant_keys \
                     WHERE tenant = $1 AND id = ${SEALED_BY} AND wrapped IS NOT NULL))"
                );
                let sql = match expected {
                    Some(_) => format!(
                        "UPDATE tiktok_shop_connections SET ({columns}) = ({values}) \
                         WHERE tenant = $1 AND customer = $2 AND account = $3 AND revision = ${} AND {has_key}",
                        FIRST + COLUMNS.len()
                    ),
                    None => format!(
                        "INSERT INTO tiktok_shop_connections (tenant, customer, account, {columns}) \
                         SELECT $1, $2, $3, {values} WHERE {has_key} ON CONFLICT DO NOTHING"
                    ),
                };
                let query = bind_row(keyed(sql, tenant, key), revision, value).map_err(encode)?;
                match expected {
                    Some(expected) => query.bind(escaped(expected.as_str())),
                    None => query,
                }
            }
            (Some(expected), None) => {
                let sql = "DELETE FROM tiktok_shop_connections \
                           WHERE tenant = $1 AND customer = $2 AND account = $3 AND revision = $4";
                keyed(sql.to_owned(), tenant, key).bind(escaped(expected.as_str()))
            }
            (None, None) => {
                // Nothing is there to delete, and the events are appended only if that is so.
                let sql = "SELECT revision FROM tiktok_shop_connections \
                           WHERE tenant = $1 AND customer = $2 AND account = $3";
                let found = keyed(sql.to_owned(), tenant, key).fetch_optional(&mut **transaction).await?;
                return Ok(found.is_none());
            }
        };
        Ok(query.execute(&mut **transaction).await?.rows_affected() > 0)
    }

    pub(super) async fn owners_of(&self, tenant: &TenantId, shop: &ShopId) -> Result<Vec<ConnectionKey>, StorageError> {
        let sql = "SELECT customer, account FROM tiktok_shop_shops WHERE tenant = $1 AND id = $2 \
                   ORDER BY customer, account";
        let query = statement(sql.to_owned()).bind(escaped(tenant.as_str())).bind(escaped(shop.as_str()));
        let rows = query.fetch_all(&self.readers).await.map_err(storage_error)?;
        rows.iter().map(|row| row.key()).collect()
    }

    pub(super) async fn ending_connections(
        &self,
        by: UnixSeconds,
        after: Option<&Ending>,
        limit: usize,
    ) -> Result<Vec<Ending>, StorageError> {
        let sql = "SELECT ends_at, tenant, customer, account, token_lineage, granted_at FROM tiktok_shop_connections \
                   WHERE ends_at <= $1 AND status <> 'reauthorization-required' \
                   AND (ends_at, tenant, customer, account) > ($2, $3, $4, $5) \
                   ORDER BY ends_at, tenant, customer, account LIMIT $6";
        let query = statement(sql.to_owned()).bind(i64::try_from(by.0).unwrap_or(i64::MAX));
        let query = match after {
            Some(Ending { at, tenant, key, .. }) => query
                .bind(seconds(*at)?)
                .bind(escaped(tenant.as_str()))
                .bind(escaped(key.customer.as_str()))
                .bind(escaped(key.account.as_str())),
            None => query.bind(-1_i64).bind(String::new()).bind(String::new()).bind(String::new()),
        };
        let rows = query.bind(limited(limit)).fetch_all(&self.readers).await.map_err(storage_error)?;
        let ending = |row: &AnyRow| {
            let grant = Row::grant_of(&row.text("token_lineage")?, row.seconds("granted_at")?);
            Ok(Ending { at: row.seconds("ends_at")?, tenant: row.id("tenant")?, key: row.key()?, grant })
        };
        rows.iter().map(ending).collect()
    }
}

/// A value that no column takes, found while a statement is put together.
fn encode(error: StorageError) -> sqlx::Error {
    sqlx::Error::Encode(error.to_string().into())
}

/// In the order of [`COLUMNS`].
pub(super) fn bind_row(query: Statement, revision: &Revision, row: &Row) -> Result<Statement, StorageError> {
    let Row { connection, ciphers, token_lineage, token_generation } = row;
    let scopes =
        serde_json::to_string(&connection.granted_scopes).map_err(|error| StorageError::Refused(error.to_string()))?;
    let (status, status_ends_at, status_reason) = status_words(connection.status);
    let failure = connection.last_failure.as_ref();
    Ok(query
        .bind(escaped(revision.as_str()))
        .bind(escaped(token_lineage))
        .bind(number(*token_generation)?)
        .bind(escaped(&connection.seller_name))
        .bind(escaped(&connection.seller_base_region))
        .bind(scopes)
        .bind(policy_word(connection.shop_policy))
        .bind(status)
        .bind(optional_seconds(status_ends_at)?)
        .bind(status_reason)
        .bind(optional_seconds(connection.access_expires_at)?)
        .bind(optional_seconds(connection.refresh_expires_at)?)
        .bind(optional_seconds(connection.authorization_ends_at)?)
        .bind(optional_seconds(connection.ends_at())?)
        .bind(seconds(connection.connected_at)?)
        .bind(seconds(connection.granted_at)?)
        .bind(seconds(connection.refreshed_at)?)
        .bind(optional_seconds(connection.shops_synced_at)?)
        .bind(optional_seconds(failure.map(|past| past.at))?)
        .bind(failure.map(|past| escaped(&past.failure.code)))
        .bind(failure.map(|past| escaped(&past.failure.detail)))
        .bind(failure.and_then(|past| past.failure.http_status).map(i64::from))
        .bind(failure.and_then(|past| past.failure.request_id.as_deref()).map(escaped))
        .bind(ciphers.as_ref().map(|sealed| escaped(sealed.key().as_str())))
        .bind(ciphers.as_ref().map(|sealed| sealed.bytes().to_vec())))
}

async fn insert_shops(
    transaction: &mut Transaction<'static, Any>,
    tenant: &TenantId,
    key: &ConnectionKey,
    shops: &[Shop],
) -> Result<(), sqlx::Error> {
    let mut position = 0;
    for shops in shops.chunks(MAX_VALUES / SHOP_COLUMNS.len()) {
        let sql = format!(
            "INSERT INTO tiktok_shop_shops (tenant, customer, account, {}) VALUES {}",
            SHOP_COLUMNS.join(", "),
            tuples(shops.len(), SHOP_COLUMNS.len(), FIRST, "$1, $2, $3, ")
        );
        let mut query = keyed(sql, tenant, key);
        for shop in shops {
            query = bind_shop(query, position, shop);
            position += 1;
        }
        query.execute(&mut **transaction).await?;
    }
    Ok(())
}

/// In the order of [`SHOP_COLUMNS`].
pub(super) fn bind_shop(query: Statement, position: i64, shop: &Shop) -> Statement {
    let Shop { id, account: _, name, region, seller_type, cipher: _, code, raw, standing, linked } = shop;
    query
        .bind(escaped(id.as_str()))
        .bind(position)
        .bind(escaped(name))
        .bind(escaped(region))
        .bind(escaped(seller_type))
        .bind(escaped(code))
        .bind(escaped(raw))
        .bind(standing_word(*standing))
        .bind(*linked)
}

fn entry(row: &AnyRow) -> Result<RowEntry, StorageError> {
    let scopes = row.text("granted_scopes")?;
    let failure = match row.optional_seconds("failure_at")? {
        Some(at) => Some(PastFailure { at, failure: failure(row)? }),
        None => None,
    };
    let connection = Connection {
        key: row.key()?,
        seller_name: row.text("seller_name")?,
        seller_base_region: row.text("seller_base_region")?,
        granted_scopes: serde_json::from_str(&scopes).map_err(|_| malformed("granted_scopes"))?,
        shop_policy: policy(&row.text("shop_policy")?)?,
        status: status(row)?,
        access_expires_at: row.optional_seconds("access_expires_at")?,
        refresh_expires_at: row.optional_seconds("refresh_expires_at")?,
        authorization_ends_at: row.optional_seconds("authorization_ends_at")?,
        connected_at: row.seconds("connected_at")?,
        granted_at: row.seconds("granted_at")?,
        refreshed_at: row.seconds("refreshed_at")?,
        shops_synced_at: row.optional_seconds("shops_synced_at")?,
        shops: Vec::new(),
        last_failure: failure,
    };
    let ciphers = match row.optional_text("sealed_by")? {
        Some(_) => Some(Sealed::new(row.id("sealed_by")?, row.bytes("sealed")?)),
        None => None,
    };
    let (token_lineage, token_generation) = (row.text("token_lineage")?, row.whole("token_generation")?);
    let revision = row.id("revision")?;
    Ok(RowEntry { revision, row: Row { connection, ciphers, token_lineage, token_generation } })
}

fn failure(row: &AnyRow) -> Result<Failure, StorageError> {
    let http_status = row.optional_whole("failure_http_status")?;
    Ok(Failure {
        code: row.text("failure_code")?,
        detail: row.text("failure_detail")?,
        http_status: http_status
            .map(|status| u16::try_from(status).map_err(|_| malformed("failure_http_status")))
            .transpose()?,
        request_id: row.optional_text("failure_request_id")?,
    })
}

fn shop(row: &AnyRow, account: &AccountId) -> Result<Shop, StorageError> {
    Ok(Shop {
        id: row.id("shop_id")?,
        account: account.clone(),
        name: row.text("name")?,
        region: row.text("region")?,
        seller_type: row.text("seller_type")?,
        cipher: None,
        code: row.text("code")?,
        raw: row.text("raw")?,
        standing: standing(&row.text("standing")?)?,
        linked: row.is("linked")?,
    })
}

pub(super) fn policy_word(policy: ShopPolicy) -> &'static str {
    match policy {
        ShopPolicy::All => "all",
        ShopPolicy::ExactlyOne => "exactly-one",
    }
}

pub(super) fn policy(word: &str) -> Result<ShopPolicy, StorageError> {
    match word {
        "all" => Ok(ShopPolicy::All),
        "exactly-one" => Ok(ShopPolicy::ExactlyOne),
        _ => Err(malformed("shop_policy")),
    }
}

fn standing_word(standing: ShopStanding) -> &'static str {
    match standing {
        ShopStanding::Granted => "granted",
        ShopStanding::Inactive => "inactive",
        ShopStanding::NoLongerGranted => "no-longer-granted",
    }
}

fn standing(word: &str) -> Result<ShopStanding, StorageError> {
    match word {
        "granted" => Ok(ShopStanding::Granted),
        "inactive" => Ok(ShopStanding::Inactive),
        "no-longer-granted" => Ok(ShopStanding::NoLongerGranted),
        _ => Err(malformed("standing")),
    }
}

pub(super) fn reason_word(reason: ReauthorizationReason) -> &'static str {
    match reason {
        ReauthorizationReason::AuthorizationExpired => "authorization-expired",
        ReauthorizationReason::AuthorizationRevoked => "authorization-revoked",
        ReauthorizationReason::RefreshOutcomeUnknown => "refresh-outcome-unknown",
    }
}

pub(super) fn reason(word: &str) -> Option<ReauthorizationReason> {
    match word {
        "authorization-expired" => Some(ReauthorizationReason::AuthorizationExpired),
        "authorization-revoked" => Some(ReauthorizationReason::AuthorizationRevoked),
        "refresh-outcome-unknown" => Some(ReauthorizationReason::RefreshOutcomeUnknown),
        _ => None,
    }
}

fn status_words(status: ConnectionStatus) -> (&'static str, Option<UnixSeconds>, Option<&'static str>) {
    match status {
        ConnectionStatus::Active => ("active", None, None),
        ConnectionStatus::AuthorizationEnding(at) => ("authorization-ending", Some(at), None),
        ConnectionStatus::ReauthorizationRequired(reason) => {
            ("reauthorization-required", None, Some(reason_word(reason)))
        }
    }
}

fn status(row: &AnyRow) -> Result<ConnectionStatus, StorageError> {
    match row.text("status")?.as_str() {
        "active" => Ok(ConnectionStatus::Active),
        "authorization-ending" => Ok(ConnectionStatus::AuthorizationEnding(row.seconds("status_ends_at")?)),
        "reauthorization-required" => {
            let reason = reason(&row.text("status_reason")?).ok_or_else(|| malformed("status_reason"))?;
            Ok(ConnectionStatus::ReauthorizationRequired(reason))
        }
        _ => Err(malformed("status")),
    }
}
