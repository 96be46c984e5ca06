//! The configuration file: TOML that only its owner can read. What is wrong with it is told by its place, never by a value.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tiktok_shop_host::TenantId;
use tiktok_shop_private_file as private_file;
use toml::{Table, Value};

use super::address::Address;
use super::credentials::App;
use crate::command_line::failure::Failure;

/// Longest file, in bytes: thousands of tenants.
const MOST_BYTES: u64 = 1 << 20;

/// What it says.
#[derive(Default)]
pub(crate) struct ConfigFile {
    pub(crate) storage: Option<Address>,
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) tenants: BTreeMap<TenantId, App>,
}

impl ConfigFile {
    /// The file at this path; empty if there is none and none has to be.
    ///
    /// # Errors
    /// Others can reach it, or it is malformed.
    pub(crate) fn read(path: &Path, required: bool) -> Result<Self, Failure> {
        let malformed = |what: String| Failure::Malformed(format!("configuration {}: {what}", path.display()));
        let unusable = |error: private_file::PrivateFileError| Failure::Malformed(format!("configuration {error}"));
        match private_file::read(path, MOST_BYTES).map_err(unusable)? {
            Some(text) => Self::parse(&text, path.parent().unwrap_or_else(|| Path::new(""))).map_err(malformed),
            None if required => Err(malformed("there is no such file".to_owned())),
            None => Ok(Self::default()),
        }
    }

    /// `folder`: where relative paths begin.
    fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let table: Table = toml::from_str(text).map_err(|error| syntax(text, error.span().map(|span| span.start)))?;
        let mut config = Self::default();
        for (name, value) in &table {
            match name.as_str() {
                "storage" => {
                    let address = Address::parse(text_of(value, name)?).map_err(|what| format!("{name}: {what}"))?;
                    config.storage = Some(address.below(folder));
                }
                "key-file" => config.key_file = Some(folder.join(text_of(value, name)?)),
                "tenants" => {
                    for (tenant, members) in table_of(value, name)? {
                        let place = format!("tenants.{tenant}");
                        let id = tenant.parse().map_err(|error| format!("{place}: {error}"))?;
                        config.tenants.insert(id, app(table_of(members, &place)?, &place)?);
                    }
                }
                _ => return Err(unknown(name, "storage, key-file, tenants")),
            }
        }
        Ok(config)
    }
}

fn app(members: &Table, place: &str) -> Result<App, String> {
    let mut app = App::default();
    for (name, value) in members {
        let place = format!("{place}.{name}");
        let member = match name.as_str() {
            "app-key" => &mut app.app_key,
            "app-secret" => &mut app.app_secret,
            "previous-app-secret" => &mut app.previous_app_secret,
            "authorization-link" => &mut app.authorization_link,
            _ => return Err(unknown(&place, "app-key, app-secret, previous-app-secret, authorization-link")),
        };
        *member = Some(text_of(value, &place)?.to_owned());
    }
    Ok(app)
}

fn text_of<'a>(value: &'a Value, place: &str) -> Result<&'a str, String> {
    match value.as_str() {
        Some("") => Err(format!("{place}: empty")),
        Some(text) => Ok(text),
        None => Err(format!("{place}: not text")),
    }
}

fn table_of<'a>(value: &'a Value, place: &str) -> Result<&'a Table, String> {
    value.as_table().ok_or_else(|| format!("{place}: not a table"))
}

fn unknown(place: &str, known: &str) -> String {
    format!("{place}: unknown member; known are {known}")
}

/// Where it stops being TOML. The parser's own words might quote what stands there.
fn syntax(text: &str, at: Option<usize>) -> String {
    let before = at.and_then(|at| text.get(..at)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("not TOML at line {line}, column {column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        ConfigFile::parse(text, Path::new("/folder")).err().unwrap()
    }

    #[test]
    fn every_member_is_read_and_paths_begin_at_the_files_folder() {
        let text = "storage = \"sqlite:shops.sqlite\"\nkey-file = \"keys\"\n[tenants.acme]\napp-key = \"k\"\n\
                    app-secret = \"s\"\nprevious-app-secret = \"p\"\nauthorization-link = \"https://l\"\n[tenants.\"é b\"]\n";
        let config = ConfigFile::parse(text, Path::new("/folder")).unwrap();
        assert!(matches!(config.storage, Some(Address::Sqlite(path)) if path == Path::new("/folder/shops.sqlite")));
        assert_eq!(config.key_file.unwrap(), Path::new("/folder/keys"));
        assert_eq!(config.tenants.keys().map(TenantId::as_str).collect::<Vec<_>>(), ["acme", "é b"]);
        let acme = config.tenants.into_values().next().unwrap();
        let members = [acme.app_key, acme.app_secret, acme.previous_app_secret, acme.authorization_link];
        assert_eq!(members.map(Option::unwrap), ["k", "s", "p", "https://l"]);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_place_and_no_value_is_quoted() {
        let known = "known are app-key, app-secret, previous-app-secret, authorization-link";
        for (text, told) in [
            ("app-secret = \"CANARY\"", "app-secret: unknown member; known are storage, key-file, tenants".to_owned()),
            ("[tenants.acme]\napp_secret = \"CANARY\"", format!("tenants.acme.app_secret: unknown member; {known}")),
            ("[tenants.acme]\napp-secret = 123", "tenants.acme.app-secret: not text".to_owned()),
            ("[tenants.acme]\napp-secret = \"\"", "tenants.acme.app-secret: empty".to_owned()),
            ("tenants = \"CANARY\"", "tenants: not a table".to_owned()),
            ("tenants.acme = [\"CANARY\"]", "tenants.acme: not a table".to_owned()),
            ("[tenants.\"\"]", "tenants.: tenant id: 1 to 256 bytes".to_owned()),
            ("storage = \"mysql://CANARY\"", "storage: not sqlite:PATH, postgres://… or memory:".to_owned()),
            ("storage = [\"CANARY\"]", "storage: not text".to_owned()),
            ("[tenants.acme]\napp-secret = CANARY", "not TOML at line 2, column 14".to_owned()),
            ("[tenants.acme]\napp-secret = \"CANARY", "not TOML at line 2, column 21".to_owned()),
            ("app-secret = \"CANARY\"\napp-secret = \"CANARY\"", "not TOML at line 2, column 1".to_owned()),
        ] {
            assert_eq!(refusal(text), told, "{text}");
        }
    }
}
