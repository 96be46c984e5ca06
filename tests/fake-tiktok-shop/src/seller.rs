//! Sellers and their shops, as registered in Seller Center.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// An account that can consent.
#[derive(Clone, Debug)]
pub struct Seller {
    /// Name of the seller in this fake; it never goes over the wire to the app.
    pub id: String,
    /// `seller_name` of token answers.
    pub name: String,
    /// `seller_base_region` of token answers: region of the account, not of each shop.
    pub base_region: String,
    /// `user_type` of token answers: 0 seller, 1 creator, 3 partner.
    pub user_type: u8,
    /// Shops that a consent covers, in the order of the listing.
    pub shops: Vec<Shop>,
    /// Scopes the seller leaves ticked when it consents; `None` is all that the app asks for.
    pub granted_scopes: Option<Vec<String>>,
    /// How long an authorization by this seller lasts, from the exchange of its code.
    pub authorization_lasts: Duration,
}

/// One row of the listing of authorized shops.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shop {
    /// Text of up to 19 digits.
    pub id: String,
    /// Name of the shop.
    pub name: String,
    /// Region of the shop.
    pub region: String,
    /// `LOCAL` or `CROSS_BORDER`.
    pub seller_type: String,
    /// What calls for this shop take as `shop_cipher`; `None` leaves the field out.
    #[serde(default)]
    pub cipher: Option<String>,
    /// What the seller sees in Seller Center.
    pub code: String,
    /// Further members of the row: fields that TikTok may add one day.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

impl Shop {
    /// The row as it is listed, with `cipher` in place of the shop's own.
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
