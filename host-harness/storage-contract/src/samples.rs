//! Values that the checks write: small values that are easy to tell apart, and ids and texts that a storage may confuse
//! or change.

use tiktok_shop_host::AccountId;
use tiktok_shop_host::connection::{Connection, ConnectionKey, Shop, UnixSeconds};
use tiktok_shop_host::events::{EventKind, NewEvent, Origin};
use tiktok_shop_host::storage::{
    Next, OnceDigest, OpenRow, Row, RowEntry, Sealed, TenantKey, TokenEntry, TokenWrite, WrappedKey,
};

use super::broken::Broken;

/// Different ids that a storage may confuse if it folds case, trims, normalises, joins with a separator, escapes
/// wrongly, truncates, or reads text as a number. They are in byte order, which differs from the order of UTF-16: in
/// byte order U+FFFF comes before U+10000.
pub(super) const SIMILAR_IDS: [&str; 65] = [
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

/// Texts that a storage may change, for example by trimming, normalising or escaping them.
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

/// The maximum length of an id.
pub(super) const MAX_ID_BYTES: usize = 256;

/// Returns an id of the maximum length, which repeats the text.
pub(super) fn longest_id(part: &str) -> String {
    part.repeat(MAX_ID_BYTES / part.len())
}

/// Returns, in byte order, [`SIMILAR_IDS`] and two ids of the maximum length. These two ids differ only in their last
/// byte.
pub(super) fn ids() -> Vec<String> {
    let mut ids: Vec<String> = SIMILAR_IDS.iter().map(|id| (*id).to_owned()).collect();
    ids.extend(["x", "y"].map(|end| format!("{end:~>MAX_ID_BYTES$}")));
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

/// A row that a check writes. It is easier to change than an encoded [`Row`].
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) connection: Connection,
    pub(super) sealed: Option<Sealed>,
    pub(super) token_lineage: String,
    pub(super) token_generation: u64,
}

impl Sample {
    /// Returns the row as a storage gets it.
    pub(super) fn stored(&self) -> Result<Row, Broken> {
        let Self { connection, sealed, token_lineage, token_generation } = self.clone();
        Ok(Row { sealed, ..OpenRow { connection, token_lineage, token_generation }.encode()? })
    }

    /// Returns the name of the consent from which the row comes.
    pub(super) fn grant(&self) -> String {
        Row::grant_name(&self.token_lineage, self.connection.granted_at)
    }
}

/// Returns the rows as a storage gets them.
pub(super) fn stored(rows: &[Sample]) -> Result<Vec<Row>, Broken> {
    rows.iter().map(Sample::stored).collect()
}

/// Returns a row of an active connection without shops.
pub(super) fn row(key: &ConnectionKey) -> Sample {
    Sample { connection: Connection::new(key.clone()), sealed: None, token_lineage: String::new(), token_generation: 0 }
}

/// Returns a shop with this id and empty texts.
pub(super) fn shop(id: &str, account: &AccountId) -> Result<Shop, Broken> {
    Ok(Shop::new(id.parse()?, account.clone()))
}

/// Returns a row with these shops.
pub(super) fn row_with_shops(key: &ConnectionKey, shops: &[&str]) -> Result<Sample, Broken> {
    let mut row = row(key);
    row.connection.shops = shops.iter().map(|id| shop(id, &key.account)).collect::<Result<_, _>>()?;
    Ok(row)
}

pub(super) fn event(key: &ConnectionKey, kind: EventKind) -> NewEvent {
    NewEvent { at: UnixSeconds(7), key: Some(key.clone()), kind, origin: Origin::default() }
}

/// Returns an event that concerns no connection.
pub(super) fn tenant_event(kind: EventKind) -> NewEvent {
    NewEvent { at: UnixSeconds(7), key: None, kind, origin: Origin::default() }
}

/// Returns an event that contains this number.
pub(super) fn numbered_event(key: &ConnectionKey, number: u64) -> NewEvent {
    event(key, EventKind::AuthorizationEnding { ends: UnixSeconds(number) })
}

/// Returns a digest for `append_once`: the bytes of the name, followed by zeros. The name has at most 32 bytes.
pub(super) fn once(name: &str) -> OnceDigest {
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(name.bytes()).for_each(|(byte, of_name)| *byte = of_name);
    OnceDigest::new(bytes)
}

/// Returns the revision and the value of a token record. The age is left out, because it differs from read to read.
pub(super) fn revision_and_value(entry: Option<TokenEntry>) -> Option<(String, Sealed)> {
    entry.map(|entry| (entry.revision.into(), entry.value))
}

/// Returns the revision and the row.
pub(super) fn revision_and_row(entry: Option<RowEntry>) -> Option<(String, Row)> {
    entry.map(|entry| (entry.revision.into(), entry.row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_are_in_byte_order_and_differ() {
        let ids = ids();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
        assert!(SIMILAR_IDS.is_sorted());
        assert_eq!(ids.iter().map(String::len).max(), Some(MAX_ID_BYTES));
    }
}
