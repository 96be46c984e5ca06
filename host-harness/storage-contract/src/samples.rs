//! What checks write: small values that are easy to tell apart, and ids and texts that storages have stumbled over.

use super::broken::Broken;
use tiktok_shop_host::AccountId;
use tiktok_shop_host::connection::{
    Connection, ConnectionKey, ConnectionStatus, Shop, ShopPolicy, ShopStanding, UnixSeconds,
};
use tiktok_shop_host::events::{EventKind, NewEvent};
use tiktok_shop_host::storage::{Next, Row, RowEntry, Sealed, TenantKey, TokenEntry, TokenWrite, WrappedKey};

/// Ids that differ in little, and in nothing for whoever folds, trims, normalises, joins, escapes wrongly, takes text for a
/// number or cuts it off. In byte order, which is not that of UTF-16: U+FFFF comes before U+10000.
pub(super) const ALIKE: [&str; 65] = [
    "\0",
    "\0a",
    "\u{1}",
    "\u{1}\u{1}",
    "\u{1}\u{2}",
    "\u{2}",
    " ",
    "  ",
    " a",
    "\"",
    "$1",
    "%",
    "%61",
    "'",
    "..",
    "../a",
    "0",
    "0.0",
    "00",
    "1",
    "1e0",
    ";--",
    "A",
    "I",
    "NULL",
    "\\",
    "\\'",
    "\\u0000",
    "_",
    "a",
    "a\0",
    "a\0b",
    "a\u{1}",
    "a\t",
    "a\n",
    "a\r\n",
    "a ",
    "a%",
    "a/b",
    "a_",
    "ae",
    "a\u{301}",
    "ff",
    "i",
    "null",
    "ss",
    "\u{7f}",
    "\u{a0}",
    "ß",
    "á",
    "ä",
    "æ",
    "İ",
    "ı",
    "α",
    "а",
    "\u{200b}",
    "\u{202e}a",
    "ﬀ",
    "\u{feff}",
    "ａ",
    "\u{fffd}",
    "\u{ffff}",
    "\u{10000}",
    "\u{10ffff}",
];

/// Texts of which none is like another, and none like what many storages make of it.
pub(super) const TEXTS: [&str; 12] = [
    "",
    "\0",
    "\0\u{1}\u{2}\0",
    "O'Brien \"& Sons\" \\ %s {} ; -- /* */ $1 ? :a",
    "Teapot Corner, Zürich, Köln\u{308}",
    "👩‍👩‍👧‍👦 🇩🇪 ☕\u{fe0f}",
    "\u{10ffff}\u{fffd}\u{ffff}\u{feff}",
    "  \t\r\n trailing and leading \u{a0}\u{200b} ",
    "شركة \u{202e}gnirts\u{202c}",
    "null",
    "[\"a\",\u{1}]",
    "0123",
];

/// So long an id may be.
pub(super) const LONGEST_ID: usize = 256;

/// As long as an id may be, of this.
pub(super) fn longest(part: &str) -> String {
    part.repeat(LONGEST_ID / part.len())
}

/// [`ALIKE`], and two as long as an id may be that differ in their last byte, in byte order.
pub(super) fn ids() -> Vec<String> {
    let mut ids: Vec<String> = ALIKE.iter().map(|id| (*id).to_owned()).collect();
    ids.extend(["x", "y"].map(|end| format!("{end:~>LONGEST_ID$}")));
    ids.sort();
    ids
}

pub(super) fn key(customer: &str, account: &str) -> Result<ConnectionKey, Broken> {
    Ok(ConnectionKey { customer: customer.parse()?, account: account.parse()? })
}

pub(super) fn tenant_key(id: &str, wrapped: &[u8]) -> Result<TenantKey, Broken> {
    Ok(TenantKey { id: id.parse()?, wrapped: Some(wrapped_key("host-key", wrapped)?) })
}

pub(super) fn wrapped_key(host_key: &str, bytes: &[u8]) -> Result<WrappedKey, Broken> {
    Ok(WrappedKey { host_key: host_key.parse()?, bytes: bytes.to_vec() })
}

pub(super) fn token(revision: &str, value: Sealed, due: Option<UnixSeconds>) -> Result<Next<TokenWrite>, Broken> {
    Ok(Next { revision: revision.parse()?, value: TokenWrite { value, refresh_due_at: due } })
}

/// A row of a connection that works, and of which nothing else is known.
pub(super) fn row(key: &ConnectionKey) -> Row {
    let connection = Connection {
        key: key.clone(),
        seller_name: String::new(),
        seller_base_region: String::new(),
        granted_scopes: Vec::new(),
        shop_policy: ShopPolicy::All,
        status: ConnectionStatus::Active,
        access_expires_at: None,
        refresh_expires_at: None,
        authorization_ends_at: None,
        connected_at: UnixSeconds(0),
        granted_at: UnixSeconds(0),
        refreshed_at: UnixSeconds(0),
        shops_synced_at: None,
        shops: Vec::new(),
        last_failure: None,
    };
    Row { connection, ciphers: None, token_lineage: String::new(), token_generation: 0 }
}

/// A shop of which only the id is known.
pub(super) fn shop(id: &str, account: &AccountId) -> Result<Shop, Broken> {
    Ok(Shop {
        id: id.parse()?,
        account: account.clone(),
        name: String::new(),
        region: String::new(),
        seller_type: String::new(),
        cipher: None,
        code: String::new(),
        raw: String::new(),
        standing: ShopStanding::Granted,
        linked: false,
    })
}

/// The row with these shops.
pub(super) fn row_with_shops(key: &ConnectionKey, shops: &[&str]) -> Result<Row, Broken> {
    let mut row = row(key);
    row.connection.shops = shops.iter().map(|id| shop(id, &key.account)).collect::<Result<_, _>>()?;
    Ok(row)
}

pub(super) fn event(key: &ConnectionKey, kind: EventKind) -> NewEvent {
    NewEvent { at: UnixSeconds(7), key: key.clone(), kind }
}

/// An event that carries a number.
pub(super) fn numbered(key: &ConnectionKey, number: u64) -> NewEvent {
    event(key, EventKind::AuthorizationEnding { ends: UnixSeconds(number) })
}

/// A token record without its age, which differs from read to read.
pub(super) fn ageless(entry: Option<TokenEntry>) -> Option<(String, Sealed)> {
    entry.map(|entry| (entry.revision.into(), entry.value))
}

pub(super) fn revised(entry: Option<RowEntry>) -> Option<(String, Row)> {
    entry.map(|entry| (entry.revision.into(), entry.row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_are_in_byte_order_and_differ() {
        let ids = ids();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
        assert!(ALIKE.is_sorted());
        assert_eq!(ids.iter().map(String::len).max(), Some(LONGEST_ID));
    }
}
