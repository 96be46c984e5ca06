//! The part that keeps rows and events.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use tiktok_shop_host::connection::{ConnectionKey, UnixSeconds};
use tiktok_shop_host::events::{Event, EventPosition, NewEvent};
use tiktok_shop_host::storage::{
    ConnectionStorage, Ending, Next, OnceDigest, Row, RowEntry, RowFilter, Sealed, StorageError, Swapped,
};
use tiktok_shop_host::{AccountId, CustomerId, Revision, ShopId, TenantId};

use super::{ForeignStorage, MAX_NUMBER, Name, SwapAnswer, at_most, of_connection, read_text, text_of, up_to, with};

/// A stored row.
#[derive(Deserialize)]
struct Entry {
    revision: Revision,
    /// The row without its sealed value, as text.
    row: String,
    sealed: Option<Sealed>,
}

impl Entry {
    fn read(self) -> Result<RowEntry, StorageError> {
        let row: Row = read_text(&self.row)?;
        Ok(RowEntry { revision: self.revision, row: Row { sealed: self.sealed, ..row } })
    }
}

fn read_all(entries: Vec<Entry>) -> Result<Vec<RowEntry>, StorageError> {
    entries.into_iter().map(Entry::read).collect()
}

/// Returns a row that is to be written: the text, the sealed value, and the values for lists and searches.
fn written(Next { revision, value }: &Next<Row>) -> Result<Value, StorageError> {
    let index = &value.index;
    Ok(json!({
        "revision": revision,
        "row": text_of(&Row { sealed: None, ..value.clone() })?,
        "sealed": value.sealed,
        "index": {
            "status": index.status.as_str(),
            "ends_at": index.ends_at,
            "app": index.app,
            "seller_name": index.seller_name,
            "shops": index.shops.iter().map(|shop| shop.id.as_str()).collect::<Vec<_>>(),
            "grant": value.grant(),
        },
    }))
}

/// Returns an event that is to be appended: the connection, if it concerns one, and the text.
fn appended(event: &NewEvent) -> Result<Value, StorageError> {
    let key = event.key.as_ref();
    Ok(json!({
        "customer": key.map(|key| key.customer.as_str()),
        "account": key.map(|key| key.account.as_str()),
        "event": text_of(event)?,
    }))
}

#[derive(Deserialize)]
struct EventAnswer {
    position: u64,
    event: String,
}

#[derive(Deserialize)]
struct EndingAnswer {
    at: u64,
    tenant: TenantId,
    grant: String,
    customer: CustomerId,
    account: AccountId,
}

impl From<EndingAnswer> for Ending {
    fn from(EndingAnswer { at, tenant, grant, customer, account }: EndingAnswer) -> Self {
        Self { at: UnixSeconds(at), tenant, key: ConnectionKey { customer, account }, grant }
    }
}

fn digits(once: &OnceDigest) -> String {
    hex::encode(once.as_bytes())
}

#[async_trait]
impl ConnectionStorage for ForeignStorage {
    async fn list_rows(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<RowEntry>, StorageError> {
        let arguments = json!({ "tenant": tenant.as_str(), "customer": customer.as_str() });
        read_all(self.ask("list_rows", arguments).await?)
    }

    async fn load_row(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<RowEntry>, StorageError> {
        let entry: Option<Entry> = self.ask("load_row", of_connection(tenant, key)).await?;
        entry.map(Entry::read).transpose()
    }

    async fn swap_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<Row>>,
        events: &[NewEvent],
    ) -> Result<Swapped<RowEntry>, StorageError> {
        let next = next.map(written).transpose()?;
        let events = events.iter().map(text_of).collect::<Result<Vec<_>, _>>()?;
        let arguments = with(of_connection(tenant, key), "expected", json!(expected));
        let arguments = with(with(arguments, "next", Value::from(next)), "events", json!(events));
        let answer: SwapAnswer<Entry> = self.ask("swap_row", arguments).await?;
        answer.read(Entry::read)
    }

    async fn owners(&self, tenant: &TenantId, shop: &ShopId) -> Result<Vec<ConnectionKey>, StorageError> {
        let arguments = json!({ "tenant": tenant.as_str(), "shop": shop.as_str() });
        let owners: Vec<Name> = self.ask("owners", arguments).await?;
        Ok(owners.into_iter().map(ConnectionKey::from).collect())
    }

    async fn tenant_rows(
        &self,
        tenant: &TenantId,
        filter: &RowFilter,
        after: Option<&ConnectionKey>,
        limit: usize,
    ) -> Result<Vec<RowEntry>, StorageError> {
        let arguments = json!({
            "tenant": tenant.as_str(),
            "filter": {
                "status": filter.status.map(|status| status.as_str()),
                "shop": filter.shop,
                "account": filter.account,
                "seller_name": filter.seller_name,
            },
            "after": after,
            "limit": at_most(limit),
        });
        read_all(self.ask("tenant_rows", arguments).await?)
    }

    async fn endings(
        &self,
        by: UnixSeconds,
        after: Option<&Ending>,
        limit: usize,
    ) -> Result<Vec<Ending>, StorageError> {
        let after = after.map(|ending| with(of_connection(&ending.tenant, &ending.key), "at", json!(ending.at)));
        let endings: Vec<EndingAnswer> =
            self.ask("endings", json!({ "by": up_to(by), "after": after, "limit": at_most(limit) })).await?;
        Ok(endings.into_iter().map(Ending::from).collect())
    }

    async fn events(
        &self,
        tenant: &TenantId,
        after: Option<EventPosition>,
        limit: usize,
    ) -> Result<Vec<Event>, StorageError> {
        let after = after.map(|position| position.0.min(MAX_NUMBER));
        let arguments = json!({ "tenant": tenant.as_str(), "after": after, "limit": at_most(limit) });
        let events: Vec<EventAnswer> = self.ask("events", arguments).await?;
        let read = |EventAnswer { position, event }| {
            Ok(Event { position: EventPosition(position), event: read_text(&event)? })
        };
        events.into_iter().map(read).collect()
    }

    async fn knows_once(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        once: &OnceDigest,
    ) -> Result<bool, StorageError> {
        self.ask("knows_once", with(of_connection(tenant, key), "once", digits(once).into())).await
    }

    async fn append_once(
        &self,
        tenant: &TenantId,
        once: &OnceDigest,
        event: &NewEvent,
        grant: Option<&str>,
    ) -> Result<bool, StorageError> {
        let arguments = with(appended(event)?, "tenant", tenant.as_str().into());
        let arguments = with(arguments, "grant", grant.into());
        self.ask("append_once", with(arguments, "once", digits(once).into())).await
    }
}
