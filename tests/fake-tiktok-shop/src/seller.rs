//! Sellers and their shops, as they are registered in Seller Center.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// An account that can consent.
#[derive(Clone, Debug)]
pub struct Seller {
    /// The seller's name inside this fake. It is never sent to an app.
    pub id: String,
    /// The `seller_name` in token answers.
    pub name: String,
    /// The `seller_base_region` in token answers. It is the region of the account; shops have regions of their own.
    pub base_region: String,
    /// The `user_type` in token answers: 0 is a seller, 1 is a creator, 2 and 3 are partners, and 4 and 5 are
    /// cross-border sellers (Global Selling).
    pub user_type: u8,
    /// The shops that a consent covers, in the order in which they are listed.
    pub shops: Vec<Shop>,
    /// The scopes to which the seller limits a consent. `None` means that the seller grants every scope that the app
    /// asks for.
    pub granted_scopes: Option<Vec<String>>,
    /// The time for which an authorization by this seller lasts, counted from the exchange of its code.
    pub authorization_lasts: Duration,
}

/// A shop, with the members of its row in the list of authorized shops.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shop {
    /// The shop id, up to 19 digits.
    pub id: String,
    /// The name of the shop.
    pub name: String,
    /// The region of the shop.
    pub region: String,
    /// `LOCAL` or `CROSS_BORDER`.
    pub seller_type: String,
    /// The shop's first cipher. It is valid until a consent changes it. Calls for the shop send the present cipher as
    /// `shop_cipher`. If this field is `None`, the shop's row has no cipher.
    #[serde(default)]
    pub cipher: Option<String>,
    /// The shop code that the seller sees in Seller Center.
    pub code: String,
    /// Members of the row that are not documented. TikTok may add members, so clients must accept them.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

impl Shop {
    /// Returns the shop's row in the list of authorized shops. `cipher` is the present cipher. If it is `None`, the row
    /// has no cipher.
    pub(crate) fn row(&self, cipher: Option<String>) -> Value {
        let mut row = Map::new();
        for (name, value) in
            [("id", &self.id), ("name", &self.name), ("region", &self.region), ("seller_type", &self.seller_type)]
        {
            row.insert(name.to_owned(), json!(value));
        }
        if let Some(cipher) = cipher {
            row.insert("cipher".to_owned(), json!(cipher));
        }
        row.insert("code".to_owned(), json!(self.code));
        row.extend(self.extra.clone());
        Value::Object(row)
    }
}

impl fmt::Debug for Shop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shop")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("region", &self.region)
            .field("seller_type", &self.seller_type)
            .field("cipher", &self.cipher.as_ref().map(|_| "[redacted]"))
            .field("code", &self.code)
            .field("extra", &self.extra.keys().collect::<Vec<_>>())
            .finish()
    }
}
