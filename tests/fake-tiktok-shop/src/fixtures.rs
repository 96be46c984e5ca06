//! The apps and sellers with which a fake starts by default. All values are invented.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::app::{App, Market};
use crate::endpoint::scope;
use crate::seller::{Seller, Shop};

const DAY: u64 = 86_400;

/// The length of most real authorizations. The end of such an authorization, in Unix seconds, does not fit into 32
/// bits.
pub(crate) const NINETY_NINE_YEARS: Duration = Duration::from_secs(36_135 * DAY);

/// The length of the authorizations in older reports and in the example of the documentation.
const ONE_YEAR: Duration = Duration::from_secs(365 * DAY);

/// Returns three apps. The first app asks for every scope that the calls need. The second app belongs to another tenant,
/// and asks only for the scopes of shops and orders. The third app is the first app for the US: it sees only the shops
/// of the US.
pub fn apps() -> Vec<App> {
    vec![
        App {
            name: "Northwind Sync".to_owned(),
            app_key: "6fakeapp00001".to_owned(),
            app_secret: "1f0e8a5b7c2d4396a1b2c3d4e5f60718293a4b5c".to_owned(),
            service_id: "7480000000000000001".to_owned(),
            scopes: scopes([scope::ORDERS, scope::FULFILLMENT, scope::PRODUCTS, scope::PRODUCTS_WRITE]),
            redirect_address: None,
            market: Market::All,
        },
        App {
            name: "Harbour Orders".to_owned(),
            app_key: "6fakeapp00002".to_owned(),
            app_secret: "9c8b7a6f5e4d3c2b1a09f8e7d6c5b4a392817060".to_owned(),
            service_id: "7480000000000000002".to_owned(),
            scopes: scopes([scope::ORDERS]),
            redirect_address: None,
            market: Market::All,
        },
        App {
            name: "Northwind Sync US".to_owned(),
            app_key: "6fakeapp00010".to_owned(),
            app_secret: "5d4c3b2a190807f6e5d4c3b2a1908f7e6d5c4b3a".to_owned(),
            service_id: "7480000000000000010".to_owned(),
            scopes: scopes([scope::ORDERS, scope::FULFILLMENT, scope::PRODUCTS, scope::PRODUCTS_WRITE]),
            redirect_address: None,
            market: Market::Us,
        },
    ]
}

/// Returns one seller of each kind that can consent: `one-shop`, `several-regions`, `cross-border`, `global-selling`,
/// `no-shop` and `creator`.
///
/// `cross-border` has the `user_type` 4, and `global-selling` has the `user_type` 5. The Irish shop of
/// `several-regions` has no cipher, and its German shop has members that are not documented.
pub fn sellers() -> Vec<Seller> {
    vec![
        seller("one-shop", "Teapot Corner", "GB", vec![shop(1, "Teapot Corner", "GB", "LOCAL")]),
        Seller {
            authorization_lasts: ONE_YEAR,
            ..seller(
                "several-regions",
                "Lantern & Loom",
                "DE",
                vec![
                    Shop { extra: unknown_members(), ..shop(2, "Lantern & Loom DE", "DE", "LOCAL") },
                    shop(3, "Lantern & Loom FR", "FR", "LOCAL"),
                    Shop { cipher: None, ..shop(4, "Lantern & Loom IE", "IE", "LOCAL") },
                ],
            )
        },
        Seller {
            user_type: 4,
            ..seller(
                "cross-border",
                "Yunhe Trading",
                "CN",
                vec![
                    shop(5, "Yunhe UK", "GB", "CROSS_BORDER"),
                    shop(6, "Yunhe US", "US", "CROSS_BORDER"),
                    shop(7, "Yunhe Malaysia", "MY", "CROSS_BORDER"),
                    shop(8, "Yunhe ไทย", "TH", "CROSS_BORDER"),
                    shop(9, "Yunhe Việt Nam", "VN", "CROSS_BORDER"),
                ],
            )
        },
        Seller {
            user_type: 5,
            ..seller("global-selling", "Qingshan Global", "CN", vec![shop(10, "Qingshan", "SG", "CROSS_BORDER")])
        },
        seller("no-shop", "Just Registered", "GB", Vec::new()),
        Seller { user_type: 1, ..seller("creator", "Mira Creates", "GB", Vec::new()) },
    ]
}

/// Returns a seller with one shop, for tests with many sellers. Each number has a seller of its own.
pub fn numbered_seller(number: usize) -> Seller {
    let name = format!("Shop {number}");
    let shop = Shop {
        id: shop_id(number),
        name: name.clone(),
        region: "GB".to_owned(),
        seller_type: "LOCAL".to_owned(),
        cipher: Some(format!("ROW_cipher-of-shop-{number:05}")),
        code: format!("GBLC{number:05}"),
        extra: Map::new(),
    };
    seller(&seller_id(number), &name, "GB", vec![shop])
}

/// Returns the id of a [`numbered_seller`].
pub fn seller_id(number: usize) -> String {
    format!("seller-{number}")
}

/// Returns the id of the only shop of a [`numbered_seller`].
pub fn shop_id(number: usize) -> String {
    format!("74910000000000{number:05}")
}

fn scopes<const N: usize>(more: [&str; N]) -> Vec<String> {
    [scope::AUTHORIZED_SHOPS, scope::SHOP].into_iter().chain(more).map(str::to_owned).collect()
}

fn seller(id: &str, name: &str, base_region: &str, shops: Vec<Shop>) -> Seller {
    Seller {
        id: id.to_owned(),
        name: name.to_owned(),
        base_region: base_region.to_owned(),
        user_type: 0,
        shops,
        granted_scopes: None,
        authorization_lasts: NINETY_NINE_YEARS,
    }
}

fn shop(number: u8, name: &str, region: &str, seller_type: &str) -> Shop {
    Shop {
        id: format!("74900000000000000{number:02}"),
        name: name.to_owned(),
        region: region.to_owned(),
        seller_type: seller_type.to_owned(),
        cipher: Some(format!("ROW_fixture{number:02}cipherOf{region}")),
        code: format!("{region}LCFIX{number:03}"),
        extra: Map::new(),
    }
}

fn unknown_members() -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("store_tier".to_owned(), json!("gold"));
    members.insert("opened_at".to_owned(), json!(9_007_199_254_740_993_u64));
    members.insert("warehouses".to_owned(), json!([{ "id": "7491000000000000001", "default": true, "note": null }]));
    members
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_distinct_and_have_nineteen_digits() {
        let mut seen = HashSet::new();
        let shops = sellers().into_iter().flat_map(|seller| seller.shops).map(|shop| shop.id);
        for id in apps().into_iter().map(|app| app.service_id).chain(shops) {
            assert!(id.len() == 19 && id.bytes().all(|byte| byte.is_ascii_digit()), "{id}");
            assert!(seen.insert(id.clone()), "{id}");
        }
    }
}
