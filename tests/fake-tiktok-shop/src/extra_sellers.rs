//! Reads more apps, sellers and shops from a JSON file, and adds them to those of the fixtures.
//!
//! An app with the service id of a known app replaces that app. A seller with the id of a known seller replaces that
//! seller. `docs/fake-tiktok-shop.md` describes the file.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::app::{App, Market};
use crate::endpoint::scope;
use crate::file_error::reason;
use crate::fixtures::NINETY_NINE_YEARS;
use crate::seller::{Seller, Shop};

/// The maximum length of the JSON file: 1 MiB.
const MAX_BYTES: u64 = 1 << 20;

/// The content of the JSON file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExtraSellers {
    #[serde(default)]
    apps: Vec<ExtraApp>,
    #[serde(default)]
    sellers: Vec<ExtraSeller>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExtraApp {
    name: String,
    app_key: String,
    app_secret: String,
    service_id: String,
    #[serde(default)]
    scopes: Option<Vec<String>>,
    #[serde(default)]
    redirect_address: Option<String>,
    #[serde(default)]
    market: Market,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExtraSeller {
    id: String,
    name: String,
    base_region: String,
    #[serde(default)]
    user_type: u8,
    #[serde(default)]
    shops: Vec<ExtraShop>,
    #[serde(default)]
    granted_scopes: Option<Vec<String>>,
    #[serde(default)]
    authorization_lasts_seconds: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExtraShop {
    id: String,
    name: String,
    region: String,
    #[serde(default)]
    seller_type: SellerType,
    #[serde(default, deserialize_with = "given")]
    cipher: Cipher,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    extra: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum SellerType {
    #[default]
    Local,
    CrossBorder,
}

#[derive(Debug, Default)]
enum Cipher {
    /// The shop has no member `cipher` in the file. The fake invents a cipher.
    #[default]
    Invented,
    /// The file contains `"cipher": null` for the shop. The shop has no cipher.
    None,
    Given(String),
}

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cipher, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map_or(Cipher::None, Cipher::Given))
}

/// Reads the JSON file.
///
/// # Errors
/// The file can't be read, is too long, or has an unknown member, a missing member or another mistake. The error text
/// names the file and, if possible, the line.
pub(crate) fn read(file: &Path) -> Result<ExtraSellers, String> {
    let named = |text: String| format!("{}: {text}", file.display());
    let unreadable =
        |error: io::Error| named(format!("{}; name the JSON file of apps and sellers with --sellers", reason(&error)));
    let length = fs::metadata(file).map_err(unreadable)?.len();
    if length > MAX_BYTES {
        return Err(named(format!("the file has more than {MAX_BYTES} bytes")));
    }
    let text = fs::read(file).map_err(unreadable)?;
    serde_json::from_slice(&text)
        .map_err(|error| named(format!("{error}; docs/fake-tiktok-shop.md describes the file")))
}

impl ExtraSellers {
    /// Adds the apps and sellers of the file to those that the fake knows.
    ///
    /// # Errors
    /// An entry has an empty text or a value that TikTok Shop never sends, or two entries have the same id. The error
    /// text names the entry or the repeated id.
    pub(crate) fn add_to(self, apps: &mut Vec<App>, sellers: &mut Vec<Seller>) -> Result<(), String> {
        let mut seen = HashSet::new();
        for (position, app) in self.apps.into_iter().enumerate() {
            let place = format!("apps[{position}]");
            if !seen.insert(app.service_id.clone()) {
                return Err(format!("{place}: the service_id {:?} occurs twice in the file", app.service_id));
            }
            replace_or_add(apps, app.checked(&place)?, |app| &app.service_id);
        }
        let mut seen = HashSet::new();
        for (position, seller) in self.sellers.into_iter().enumerate() {
            let place = format!("sellers[{position}]");
            if !seen.insert(seller.id.clone()) {
                return Err(format!("{place}: the id {:?} occurs twice in the file", seller.id));
            }
            replace_or_add(sellers, seller.checked(&place)?, |seller| &seller.id);
        }
        // An `app_key` or a shop id in the file may also belong to an app or a shop that the file does not replace.
        if let Some(key) = first_repeated(apps.iter().map(|app| app.app_key.as_str())) {
            return Err(format!("two apps have the app_key {key:?}"));
        }
        let shops = sellers.iter().flat_map(|seller| seller.shops.iter().map(|shop| shop.id.as_str()));
        match first_repeated(shops) {
            Some(id) => Err(format!("two shops have the id {id:?}")),
            None => Ok(()),
        }
    }
}

impl ExtraApp {
    fn checked(self, place: &str) -> Result<App, String> {
        for (name, value) in [
            ("name", &self.name),
            ("app_key", &self.app_key),
            ("app_secret", &self.app_secret),
            ("service_id", &self.service_id),
        ] {
            not_empty(place, name, value)?;
        }
        let every_scope = || scope::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
        Ok(App {
            name: self.name,
            app_key: self.app_key,
            app_secret: self.app_secret,
            service_id: self.service_id,
            scopes: self.scopes.unwrap_or_else(every_scope),
            redirect_address: self.redirect_address,
            market: self.market,
        })
    }
}

impl ExtraSeller {
    fn checked(self, place: &str) -> Result<Seller, String> {
        for (name, value) in [("id", &self.id), ("name", &self.name), ("base_region", &self.base_region)] {
            not_empty(place, name, value)?;
        }
        if self.user_type > 5 {
            return Err(format!("{place}: user_type is {}, but TikTok Shop has the types 0 to 5", self.user_type));
        }
        let shops = self.shops.into_iter().enumerate();
        let shops = shops.map(|(position, shop)| shop.checked(&format!("{place}.shops[{position}]")));
        Ok(Seller {
            id: self.id,
            name: self.name,
            base_region: self.base_region,
            user_type: self.user_type,
            shops: shops.collect::<Result<_, _>>()?,
            granted_scopes: self.granted_scopes,
            authorization_lasts: self.authorization_lasts_seconds.map_or(NINETY_NINE_YEARS, Duration::from_secs),
        })
    }
}

impl ExtraShop {
    fn checked(self, place: &str) -> Result<Shop, String> {
        for (name, value) in [("name", &self.name), ("region", &self.region)] {
            not_empty(place, name, value)?;
        }
        if !(1..=19).contains(&self.id.len()) || !self.id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!("{place}: the id {:?} is not a number of 1 to 19 digits in quotes", self.id));
        }
        let seller_type = match self.seller_type {
            SellerType::Local => "LOCAL",
            SellerType::CrossBorder => "CROSS_BORDER",
        };
        let cipher = match self.cipher {
            Cipher::Invented => Some(format!("ROW_cipherOf{}", self.id)),
            Cipher::None => None,
            Cipher::Given(cipher) => {
                not_empty(place, "cipher", &cipher)?;
                Some(cipher)
            }
        };
        Ok(Shop {
            code: self.code.unwrap_or_else(|| format!("{}LC{}", self.region, self.id)),
            id: self.id,
            name: self.name,
            region: self.region,
            seller_type: seller_type.to_owned(),
            cipher,
            extra: self.extra,
        })
    }
}

fn not_empty(place: &str, name: &str, value: &str) -> Result<(), String> {
    if value.trim().is_empty() { Err(format!("{place}: {name} is empty")) } else { Ok(()) }
}

fn replace_or_add<T>(all: &mut Vec<T>, entry: T, id: impl Fn(&T) -> &String) {
    match all.iter_mut().find(|known| id(known) == id(&entry)) {
        Some(known) => *known = entry,
        None => all.push(entry),
    }
}

fn first_repeated<'a>(values: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = HashSet::new();
    values.into_iter().find(|value| !seen.insert(*value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn added(text: &str) -> Result<(Vec<App>, Vec<Seller>), String> {
        let (mut apps, mut sellers) = (fixtures::apps(), fixtures::sellers());
        let extra: ExtraSellers = serde_json::from_str(text).map_err(|error| error.to_string())?;
        extra.add_to(&mut apps, &mut sellers).map(|()| (apps, sellers))
    }

    #[test]
    fn a_file_adds_apps_and_sellers_and_replaces_known_ones() {
        let (apps, sellers) = added(
            r#"{"apps": [{"name": "A", "app_key": "k", "app_secret": "s", "service_id": "1"},
                         {"name": "B", "app_key": "b", "app_secret": "s", "service_id": "7480000000000000002",
                          "scopes": ["seller.order.info"], "redirect_address": "https://p.example/cb"}],
                "sellers": [{"id": "new", "name": "New", "base_region": "NL", "user_type": 4,
                             "authorization_lasts_seconds": 60, "granted_scopes": [],
                             "shops": [{"id": "1", "name": "S", "region": "NL"},
                                       {"id": "2", "name": "T", "region": "BE", "seller_type": "CROSS_BORDER",
                                        "cipher": null, "code": "C", "extra": {"x": 1}}]},
                            {"id": "one-shop", "name": "Replaced", "base_region": "GB"}]}"#,
        )
        .unwrap();
        let names: Vec<_> = apps.iter().map(|app| app.name.as_str()).collect();
        assert_eq!(names, ["Northwind Sync", "B", "Northwind Sync US", "A"]);
        assert_eq!((apps[1].scopes.len(), apps[2].scopes.len()), (1, scope::ALL.len()));
        assert_eq!(sellers[0].name, "Replaced");
        let new = sellers.last().unwrap();
        assert_eq!((new.user_type, new.authorization_lasts), (4, Duration::from_secs(60)));
        assert_eq!(new.shops[0].cipher.as_deref(), Some("ROW_cipherOf1"));
        assert_eq!((new.shops[1].cipher.as_deref(), new.shops[1].seller_type.as_str()), (None, "CROSS_BORDER"));
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        let seller =
            |shops: &str| format!(r#"{{"sellers": [{{"id": "s", "name": "S", "base_region": "GB", {shops}}}]}}"#);
        for (text, error) in [
            (r#"{"seller": []}"#.to_owned(), "unknown field `seller`, expected `apps` or `sellers` at line 1 column 9"),
            (r#"{"apps": [{"name": "A"}]}"#.to_owned(), "missing field `app_key` at line 1 column 23"),
            (
                r#"{"apps": [{"name": " ", "app_key": "k", "app_secret": "s", "service_id": "1"}]}"#.to_owned(),
                "apps[0]: name is empty",
            ),
            (
                r#"{"apps": [{"name": "A", "app_key": "6fakeapp00001", "app_secret": "s", "service_id": "1"}]}"#
                    .to_owned(),
                "two apps have the app_key \"6fakeapp00001\"",
            ),
            (
                seller(r#""shops": [{"id": "x1", "name": "N", "region": "GB"}]"#),
                "sellers[0].shops[0]: the id \"x1\" is not a number of 1 to 19 digits in quotes",
            ),
            (
                seller(r#""shops": [{"id": "7490000000000000001", "name": "N", "region": "GB"}]"#),
                "two shops have the id \"7490000000000000001\"",
            ),
            (seller(r#""user_type": 6"#), "sellers[0]: user_type is 6, but TikTok Shop has the types 0 to 5"),
            (
                seller(r#""shops": [{"id": "1", "name": "N", "region": "GB", "seller_type": "local"}]"#),
                "unknown variant `local`, expected `LOCAL` or `CROSS_BORDER`",
            ),
        ] {
            let refused = added(&text).unwrap_err();
            assert!(refused.starts_with(error), "{refused}");
        }
        let entry = r#"{"id": "s", "name": "S", "base_region": "GB"}"#;
        let twice = format!(r#"{{"sellers": [{entry}, {entry}]}}"#);
        assert_eq!(added(&twice).unwrap_err(), "sellers[1]: the id \"s\" occurs twice in the file");
    }
}
