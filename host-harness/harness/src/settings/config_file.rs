//! The configuration file: TOML that only its owner can read. An error says where in the file a mistake is. It never
//! quotes a value, because a value may be a secret.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tiktok_shop_host::{ComponentDigest, TenantId};
use tiktok_shop_private_file::{self as private_file, Access, PrivateFileError};
use tiktok_shop_server::ApiKeyEntry;
use toml::Table;

use super::address::Address;
use super::configured_text::{InvalidText, Rule, cleaned};
use super::credentials::{App, AppPlace};
use super::environment::CONFIG;
use super::key_service::KeyServiceTable;
use super::proxy::ProxySettings;
use super::serve::{ServeTable, api_keys};
use super::toml_value::{table_of, text_of, unknown};
use crate::failure::{Failure, access_advice};

/// The maximum size of the file: 1 MiB. This is enough for thousands of tenants.
const MAX_BYTES: u64 = 1 << 20;

/// The members that the file may have. The error for an unknown member lists them.
const MEMBERS: &str = "storage, key-file, file-access, key-service, component-sha256, egress, export, unsealed-rows, serve, api-keys, tenants";

/// Whether the command `export` may write tokens to a file. Only the configuration file can allow it: an option would
/// get into scripts, and a variable into every process of a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ExportRule {
    #[default]
    Refused,
    Allowed,
}

/// Whether the host accepts a row without a seal. Only a host of release 0.1 writes such a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum UnsealedRows {
    #[default]
    Accepted,
    Refused,
}

/// The content of the file.
#[derive(Default)]
pub(crate) struct ConfigFile {
    /// The path of the file, for error texts. The file may not exist.
    pub(crate) file: PathBuf,
    pub(crate) storage: Option<Address>,
    pub(crate) key_file: Option<PathBuf>,
    /// Who may read the key file.
    pub(crate) file_access: Option<Access>,
    pub(crate) key_service: Option<KeyServiceTable>,
    pub(crate) component_sha256: Option<ComponentDigest>,
    pub(crate) proxy: ProxySettings,
    pub(crate) export: ExportRule,
    pub(crate) unsealed_rows: UnsealedRows,
    /// The settings of the service.
    pub(crate) serve: ServeTable,
    /// The API keys of the service.
    pub(crate) api_keys: Vec<ApiKeyEntry>,
    /// The apps of each tenant.
    pub(crate) tenants: BTreeMap<TenantId, Vec<App>>,
}

impl ConfigFile {
    /// Reads the file at this path. `access` says who may be able to read the file.
    ///
    /// # Errors
    /// The file does not exist, other users can access it, or it is malformed.
    pub(crate) fn read(path: &Path, access: Access) -> Result<Self, Failure> {
        Self::find(path, access)?.ok_or_else(|| {
            Failure::Unavailable(format!(
                "configuration {}: there is no such file; correct --config or {CONFIG}",
                path.display()
            ))
        })
    }

    /// Reads the file at this path. A file that does not exist counts as empty.
    ///
    /// # Errors
    /// Other users can access the file, or it is malformed.
    pub(crate) fn read_if_exists(path: &Path, access: Access) -> Result<Self, Failure> {
        Ok(Self::find(path, access)?.unwrap_or_else(|| Self { file: path.to_owned(), ..Self::default() }))
    }

    fn find(path: &Path, access: Access) -> Result<Option<Self>, Failure> {
        let text = private_file::read_with_access(path, MAX_BYTES, access).map_err(|error| {
            let text = format!("configuration {error}{}", access_advice(&error));
            if has_wrong_content(&error) { Failure::Malformed(text) } else { Failure::Unavailable(text) }
        })?;
        let Some(text) = text else { return Ok(None) };
        Self::parse(&text, path).map(Some).map_err(|what| malformed(path, &what))
    }

    /// Parses the text of this file. Relative paths start at the folder of the file.
    fn parse(text: &str, file: &Path) -> Result<Self, String> {
        let folder = file.parent().unwrap_or_else(|| Path::new(""));
        let table: Table = toml::from_str(text).map_err(|error| syntax(text, error.span().map(|span| span.start)))?;
        let mut config = Self { file: file.to_owned(), ..Self::default() };
        for (name, value) in &table {
            match name.as_str() {
                "storage" => {
                    let text = text_of(value, name, Rule::OneLine)?;
                    let address = Address::parse(text).map_err(|what| format!("{name}: {what}"))?;
                    config.storage = Some(address.relative_to(folder));
                }
                "key-file" => config.key_file = Some(folder.join(text_of(value, name, Rule::OneLine)?)),
                "file-access" => {
                    let access = text_of(value, name, Rule::VisibleAscii)?.parse();
                    config.file_access = Some(access.map_err(|what| format!("{name}: {what}"))?);
                }
                "key-service" => {
                    config.key_service = Some(KeyServiceTable::parse(table_of(value, name)?, name, file)?);
                }
                "component-sha256" => {
                    let digest =
                        text_of(value, name, Rule::VisibleAscii)?.parse().map_err(|what| format!("{name}: {what}"))?;
                    config.component_sha256 = Some(digest);
                }
                "egress" => config.proxy = proxy(table_of(value, name)?, folder)?,
                "export" => {
                    config.export = match text_of(value, name, Rule::VisibleAscii)? {
                        "allowed" => ExportRule::Allowed,
                        "refused" => ExportRule::Refused,
                        _ => return Err(format!("{name}: neither allowed nor refused; write one of the two")),
                    }
                }
                "unsealed-rows" => {
                    config.unsealed_rows = match text_of(value, name, Rule::VisibleAscii)? {
                        "accepted" => UnsealedRows::Accepted,
                        "refused" => UnsealedRows::Refused,
                        _ => return Err(format!("{name}: neither accepted nor refused; write one of the two")),
                    }
                }
                "serve" => config.serve = ServeTable::parse(table_of(value, name)?, folder)?,
                "api-keys" => config.api_keys = api_keys(value)?,
                "tenants" => {
                    for (tenant, members) in table_of(value, name)? {
                        let place = format!("tenants.{tenant}");
                        let id = cleaned(tenant, Rule::OneLine).map_err(|error| match error {
                            InvalidText::Empty => format!("{place}: a tenant without a name; give it a name"),
                            InvalidText::Hidden { .. } | InvalidText::NotAscii { .. } | InvalidText::TooLongPath => {
                                format!("{place}: {error}")
                            }
                        })?;
                        let id = id.parse().map_err(|error| format!("{place}: {error}"))?;
                        if config.tenants.insert(id, apps(table_of(members, &place)?, &place)?).is_some() {
                            return Err(format!("{place}: this tenant is named twice; put its members into one table"));
                        }
                    }
                }
                _ => return Err(unknown(name, MEMBERS)),
            }
        }
        Ok(config)
    }
}

/// Returns whether a file can be read, but is no text, or is too long.
fn has_wrong_content(error: &PrivateFileError) -> bool {
    let is_not_text = matches!(error, PrivateFileError::Io { source, .. } if source.kind() == ErrorKind::InvalidData);
    is_not_text || matches!(error, PrivateFileError::TooLong { .. })
}

fn malformed(path: &Path, what: &str) -> Failure {
    Failure::Malformed(format!("configuration {}: {what}", path.display()))
}

fn proxy(members: &Table, folder: &Path) -> Result<ProxySettings, String> {
    let mut settings = ProxySettings::default();
    for (name, value) in members {
        let place = format!("egress.{name}");
        match name.as_str() {
            "proxy" => {
                let proxy = text_of(value, &place, Rule::VisibleAscii)?.parse();
                settings.proxy = Some(proxy.map_err(|error| format!("{place}: {error}"))?);
            }
            "proxy-certificates" => {
                settings.certificates = Some(folder.join(text_of(value, &place, Rule::OneLine)?));
            }
            _ => return Err(unknown(&place, "proxy, proxy-certificates")),
        }
    }
    Ok(settings)
}

/// Reads the apps of a tenant: the only app, whose members are those of the tenant, or the list `apps`.
fn apps(members: &Table, place: &str) -> Result<Vec<App>, String> {
    let Some(listed) = members.get("apps") else {
        return Ok(vec![app(
            members,
            place,
            AppPlace::Tenant(place.to_owned()),
            "apps, app-key, app-secret, previous-app-secret, authorization-link",
        )?]);
    };
    let list = format!("{place}.apps");
    if let Some(name) = members.keys().find(|name| *name != "apps") {
        return Err(format!("{place}.{name}: a tenant with {list} has no other members; put it into one of its apps"));
    }
    let listed =
        listed.as_array().ok_or_else(|| format!("{list}: not a list of tables; write [[{list}]] above each app"))?;
    if listed.is_empty() {
        return Err(format!("{list}: the list is empty; add an app, or remove the list"));
    }
    let listed = listed.iter().enumerate().map(|(number, value)| {
        let place = format!("{list}[{number}]");
        app(
            table_of(value, &place)?,
            &place,
            AppPlace::Listed(place.clone()),
            "app-key, app-secret, previous-app-secret, authorization-link",
        )
    });
    listed.collect()
}

fn app(members: &Table, place: &str, at: AppPlace, known: &str) -> Result<App, String> {
    let mut app = App { place: at, ..App::default() };
    for (name, value) in members {
        let place = format!("{place}.{name}");
        let member = match name.as_str() {
            "app-key" => &mut app.app_key,
            "app-secret" => &mut app.app_secret,
            "previous-app-secret" => &mut app.previous_app_secret,
            "authorization-link" => &mut app.authorization_link,
            _ => return Err(unknown(&place, known)),
        };
        *member = Some(text_of(value, &place, Rule::VisibleAscii)?.to_owned());
    }
    Ok(app)
}

/// Returns the line and the column of a syntax error as a text. The parser's own text is not used, because it could
/// quote a value.
fn syntax(text: &str, at: Option<usize>) -> String {
    let before = at.and_then(|at| text.get(..at)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("not TOML at line {line}, column {column}; correct the syntax there")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_error(text: &str) -> String {
        ConfigFile::parse(text, Path::new("/folder/config.toml")).err().unwrap()
    }

    #[test]
    fn every_member_is_read_and_relative_paths_start_at_the_folder_of_the_file() {
        let pinned = "0a".repeat(32);
        let text = "storage = \"sqlite:shops.sqlite\"\nkey-file = \"keys\"\nfile-access = \"group\"\ncomponent-sha256 = \"PINNED\"\nexport = \"allowed\"\nunsealed-rows = \"refused\"\n\
                    [egress]\nproxy = \" https://u:p@proxy:3128\\n\"\nproxy-certificates = \"ca.pem\"\n\
                    [tenants.acme]\napp-key = \"k\"\napp-secret = \" s\\n\"\nprevious-app-secret = \"p\"\nauthorization-link = \"https://l\"\n[tenants.\"é b\"]\n";
        let config = ConfigFile::parse(&text.replace("PINNED", &pinned), Path::new("/folder/config.toml")).unwrap();
        assert_eq!(config.component_sha256.unwrap().to_string(), pinned);
        assert!(matches!(config.storage, Some(Address::Sqlite(path)) if path == Path::new("/folder/shops.sqlite")));
        assert_eq!(config.key_file.unwrap(), Path::new("/folder/keys"));
        assert_eq!(config.file_access, Some(Access::Group));
        assert_eq!((config.export, config.unsealed_rows), (ExportRule::Allowed, UnsealedRows::Refused));
        assert_eq!(config.proxy.proxy.unwrap().to_string(), "https://proxy:3128");
        assert_eq!(config.proxy.certificates.unwrap(), Path::new("/folder/ca.pem"));
        assert_eq!(config.tenants.keys().map(TenantId::as_str).collect::<Vec<_>>(), ["acme", "é b"]);
        let [acme] = <[App; 1]>::try_from(config.tenants.into_values().next().unwrap()).ok().unwrap();
        let members = [acme.app_key, acme.app_secret, acme.previous_app_secret, acme.authorization_link];
        assert_eq!(members.map(Option::unwrap), ["k", "s", "p", "https://l"]);
    }

    #[test]
    fn a_tenant_may_have_a_list_of_apps() {
        let text = "[[tenants.acme.apps]]\napp-key = \"eu\"\napp-secret = \"s1\"\n\
                    [[tenants.acme.apps]]\napp-key = \"us\"\nprevious-app-secret = \"s2\"\n[tenants.other]\napp-key = \"k\"\n";
        let config = ConfigFile::parse(text, Path::new("/folder")).unwrap();
        let apps = config
            .tenants
            .values()
            .map(|apps| apps.iter().map(|app| (app.place.clone(), app.app_key.as_deref())).collect::<Vec<_>>());
        let listed = |place: &str| AppPlace::Listed(place.to_owned());
        let of_other = AppPlace::Tenant("tenants.other".to_owned());
        assert_eq!(
            apps.collect::<Vec<_>>(),
            [
                vec![(listed("tenants.acme.apps[0]"), Some("eu")), (listed("tenants.acme.apps[1]"), Some("us"))],
                vec![(of_other, Some("k"))]
            ]
        );
    }

    #[test]
    fn an_error_names_the_place_and_quotes_no_value() {
        let members = "app-key, app-secret, previous-app-secret, authorization-link";
        let known = format!("the members are apps, {members}");
        let of_an_app = format!("the members are {members}");
        for (text, error) in [
            (
                "app-secret = \"CANARY\"",
                "app-secret: there is no such member; correct or remove it; the members are storage, key-file, file-access, key-service, \
                 component-sha256, egress, export, unsealed-rows, serve, api-keys, tenants"
                    .to_owned(),
            ),
            ("[tenants.acme]\napp_secret = \"CANARY\"", format!("tenants.acme.app_secret: there is no such member; correct or remove it; {known}")),
            ("tenants.acme.apps = []", "tenants.acme.apps: the list is empty; add an app, or remove the list".to_owned()),
            ("tenants.acme.apps = \"CANARY\"", "tenants.acme.apps: not a list of tables; write [[tenants.acme.apps]] above each app".to_owned()),
            ("tenants.acme.apps = [\"CANARY\"]", "tenants.acme.apps[0]: not a table; write [[tenants.acme.apps]] above its members".to_owned()),
            ("[[tenants.acme.apps]]\napp-key = 7", "tenants.acme.apps[0].app-key: not text; write it in quotes".to_owned()),
            (
                "[[tenants.acme.apps]]\n[[tenants.acme.apps]]\nCANARY = \"CANARY\"",
                format!("tenants.acme.apps[1].CANARY: there is no such member; correct or remove it; {of_an_app}"),
            ),
            (
                "[[tenants.acme.apps]]\napps = []",
                format!("tenants.acme.apps[0].apps: there is no such member; correct or remove it; {of_an_app}"),
            ),
            (
                "[tenants.acme]\napp-secret = \"CANARY\"\n[[tenants.acme.apps]]\napp-key = \"k\"",
                "tenants.acme.app-secret: a tenant with tenants.acme.apps has no other members; put it into one of its \
                 apps"
                    .to_owned(),
            ),
            ("[tenants.acme]\napp-secret = 123", "tenants.acme.app-secret: not text; write it in quotes".to_owned()),
            ("[tenants.acme]\napp-secret = \"\"", "tenants.acme.app-secret: empty; remove it, or give it a value".to_owned()),
            ("tenants = \"CANARY\"", "tenants: not a table; write [tenants] above its members".to_owned()),
            ("egress = \"CANARY\"", "egress: not a table; write [egress] above its members".to_owned()),
            (
                "[egress]\nCANARY = \"CANARY\"",
                "egress.CANARY: there is no such member; correct or remove it; the members are proxy, proxy-certificates".to_owned(),
            ),
            ("[egress]\nproxy = 3128", "egress.proxy: not text; write it in quotes".to_owned()),
            (
                "[egress]\nproxy = \"http://user:CAN ARY@proxy:3128\"",
                "egress.proxy: contains a space (U+0020) as character 16; remove it".to_owned(),
            ),
            (
                "[egress]\nproxy = \"http://user:CANARY@proxy\"",
                "egress.proxy: the address of the proxy has no port; name it, as in http://HOST:3128".to_owned(),
            ),
            ("tenants.acme = [\"CANARY\"]", "tenants.acme: not a table; write [tenants.acme] above its members".to_owned()),
            ("component-sha256 = \"CANARY\"", "component-sha256: not a SHA-256 of 64 hexadecimal digits".to_owned()),
            ("component-sha256 = 7", "component-sha256: not text; write it in quotes".to_owned()),
            ("[tenants.\"\"]", "tenants.: a tenant without a name; give it a name".to_owned()),
            ("[tenants.acme]\n[tenants.\"acme \"]", "tenants.acme : this tenant is named twice; put its members into one table".to_owned()),
            ("export = \"CANARY\"", "export: neither allowed nor refused; write one of the two".to_owned()),
            ("export = true", "export: not text; write it in quotes".to_owned()),
            (
                "unsealed-rows = \"CANARY\"",
                "unsealed-rows: neither accepted nor refused; write one of the two".to_owned(),
            ),
            ("file-access = \"all\"", "file-access: not one of owner, group, mounted".to_owned()),
            ("key-file = \" \"", "key-file: empty; remove it, or give it a value".to_owned()),
            (
                "[tenants.acme]\napp-secret = \"CANA\\u200bRY\"",
                "tenants.acme.app-secret: contains a zero-width space (U+200B) as character 5; remove it".to_owned(),
            ),
            ("storage = \"mysql://CANARY\"", "storage: not sqlite:PATH, postgres://… or memory:".to_owned()),
            (
                "storage = \"postgres://u:CANARY@localhost/d?sslmod=disable\"",
                "storage: the address has an unknown parameter sslmod (similar: sslmode)".to_owned(),
            ),
            ("storage = [\"CANARY\"]", "storage: not text; write it in quotes".to_owned()),
            ("[tenants.acme]\napp-secret = CANARY", "not TOML at line 2, column 14; correct the syntax there".to_owned()),
            ("[tenants.acme]\napp-secret = \"CANARY", "not TOML at line 2, column 21; correct the syntax there".to_owned()),
            ("app-secret = \"CANARY\"\napp-secret = \"CANARY\"", "not TOML at line 2, column 1; correct the syntax there".to_owned()),
        ] {
            assert_eq!(parse_error(text), error, "{text}");
        }
    }
}
