//! Parses the address of a database, refuses a password in an argument, and opens the database.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use tiktok_shop_host::clock::Clock;
use tiktok_shop_host::storage::{HostStorage, MemoryStorage, RequestStorage};
use tiktok_shop_private_file::Access;
use tiktok_shop_server::delivery::{DeliveryStorage, MemoryDeliveries};
use tiktok_shop_sql_storage::{OpenError, OpenMode, PostgresOptions, SqlStorage};

use super::configured_text::{MAX_PATH_BYTES, Rule, cleaned};
use super::variable_names::{CONTRACT_STORAGE, STORAGE};
use crate::failure::Failure;

/// The address of the database that contains the connections. It may contain a password, so it is never printed.
#[derive(Clone)]
pub(crate) enum Address {
    /// The path of an SQLite file.
    Sqlite(PathBuf),
    /// The URL of a PostgreSQL server.
    Postgres(String),
    /// The memory of this process.
    Memory,
}

/// An opened database. The parts are the same database.
pub(crate) struct OpenedDatabase {
    pub(crate) storage: Arc<dyn HostStorage>,
    /// The requests to the service, which only the service needs.
    pub(crate) requests: Arc<dyn RequestStorage>,
    /// The webhooks that the service sends.
    pub(crate) deliveries: Arc<dyn DeliveryStorage>,
}

impl Address {
    /// Parses an address.
    ///
    /// # Errors
    /// The text is not an address. The error does not repeat the text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = cleaned(text, Rule::OneLine).map_err(|error| error.to_string())?;
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            PostgresOptions::check_address(text).map_err(|error| error.to_string())?;
            return Ok(Self::Postgres(text.to_owned()));
        }
        // Two slashes may stand before the path, as in a URL.
        let path = text.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
        match path {
            Some(path) => {
                check_sqlite_path(path, text)?;
                Ok(Self::Sqlite(path.into()))
            }
            None => Err("not sqlite:PATH, postgres://… or memory:".to_owned()),
        }
    }

    /// Parses an address from an argument, which every user of this machine can read.
    ///
    /// # Errors
    /// The text is not an address, or it contains a password.
    pub(crate) fn without_password(text: &str) -> Result<Self, String> {
        if may_contain_secret(text) {
            // An unknown parameter may contain a password. The error names the parameter, so that the user can correct
            // it.
            let mistake = match PostgresOptions::check_address(text) {
                Err(error @ OpenError::Parameter { name: Some(_), .. }) => format!("{error}; "),
                Err(error @ OpenError::Unsupported(_)) => return Err(error.to_string()),
                Ok(()) | Err(_) => String::new(),
            };
            return Err(format!(
                "{mistake}an argument must not contain a password, because other users can read it; put the address into {}, \
                 for contract into {}, or into the configuration file",
                STORAGE, CONTRACT_STORAGE,
            ));
        }
        Self::parse(text)
    }

    /// Returns the address. If it contains a relative path, joins the path to `folder`.
    pub(crate) fn relative_to(self, folder: &Path) -> Self {
        match self {
            Self::Sqlite(path) => Self::Sqlite(folder.join(path)),
            other @ (Self::Postgres(_) | Self::Memory) => other,
        }
    }

    /// Opens the database. `mode` says what may be created or changed, and `access` who may read a file that the
    /// address names. Only a storage in memory uses `clock`.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(crate) async fn open(
        &self,
        mode: OpenMode,
        access: Access,
        clock: Arc<dyn Clock>,
    ) -> Result<OpenedDatabase, Failure> {
        Ok(match self.open_sql(mode, access).await? {
            Some(sql) => {
                let sql = Arc::new(sql);
                OpenedDatabase { storage: sql.clone(), requests: sql.clone(), deliveries: sql }
            }
            None => {
                let memory = Arc::new(MemoryStorage::new(clock.clone()));
                let deliveries = Arc::new(MemoryDeliveries::new(clock));
                OpenedDatabase { storage: memory.clone(), requests: memory, deliveries }
            }
        })
    }

    /// Opens the SQL database. Returns `None` if the address names the memory of this process.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(crate) async fn open_sql(&self, mode: OpenMode, access: Access) -> Result<Option<SqlStorage>, OpenError> {
        let options = PostgresOptions { key_file_access: access, ..PostgresOptions::default() };
        Ok(match self {
            Self::Sqlite(path) => Some(SqlStorage::sqlite(path, mode).await?),
            Self::Postgres(address) => Some(SqlStorage::postgres(address, mode, options).await?),
            Self::Memory => None,
        })
    }
}

/// Refuses a path that SQLite's own addresses, a shell or an editor would read in another way. With such a path, the
/// program would use another file than the user means. `address` is the whole address that contains `path`.
fn check_sqlite_path(path: &str, address: &str) -> Result<(), String> {
    let refused = |what: &str| Err(what.to_owned());
    if path.len() > MAX_PATH_BYTES {
        return refused("the path after sqlite: is longer than 4096 bytes");
    }
    SqlStorage::check_path(Path::new(path)).map_err(|error| {
        let is_in_memory = matches!(error, OpenError::InMemory);
        if is_in_memory { "a database in memory is written memory:".to_owned() } else { error.to_string() }
    })?;
    if path.is_empty() {
        return refused("no path after sqlite:");
    }
    if path.trim() != path {
        return refused("the path after sqlite: begins or ends with a blank: remove it");
    }
    if let Some((_, parameters)) = path.split_once('?') {
        let name: String = parameters.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
        return Err(match name.as_str() {
            "" => "a path after sqlite: can't contain a question mark".to_owned(),
            name => format!("sqlite:PATH takes no parameters: remove the parameter {name}"),
        });
    }
    if path.starts_with('~') {
        return refused(
            "~ is not replaced by the home folder: write the whole path, such as sqlite:/home/ana/x.sqlite",
        );
    }
    if path.starts_with("file:") {
        return refused("write sqlite:PATH, without file:");
    }
    if path.ends_with('/') {
        return refused("the path after sqlite: ends with / and names a folder: name a file in it");
    }
    let is_encoded = |rest: &str| rest.get(..2).is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if address.starts_with("sqlite://") && path.split('%').skip(1).any(is_encoded) {
        return refused("a path after sqlite: is not decoded: write each character itself, not as %XX");
    }
    Ok(())
}

/// Returns true if an address contains a secret, or a part that could be a secret. The database driver decodes an
/// address before it uses the address, so this function also checks the decoded parts.
fn may_contain_secret(address: &str) -> bool {
    let Some((scheme, rest)) = address.split_once("://") else { return false };
    // The user and the password end at the last @, because a password may contain an unencoded @ or /.
    let has_password = |text: &str| text.rsplit_once('@').is_some_and(|(user, _)| decoded(user).contains(':'));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if has_password(rest) || has_password(&decoded(authority)) {
        return true;
    }
    if scheme == "sqlite" {
        return false;
    }
    let (before, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let mut names = form_urlencoded::parse(parameters.as_bytes()).map(|(name, _)| name);
    // The driver ignores a fragment and unknown parameters. Somebody may have put a password there, so both count as
    // secrets.
    decoded(before).contains("password=")
        || address.contains('#')
        || names.any(|name| !PostgresOptions::is_public_parameter(&name))
}

/// Percent-decodes a text again and again, until decoding changes nothing.
fn decoded(text: &str) -> String {
    let mut text = text.to_owned();
    loop {
        let next = percent_decode_str(&text).decode_utf8_lossy().into_owned();
        if next == text {
            return text;
        }
        text = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_follow_two_slashes_as_in_a_url() {
        for (text, path) in [
            ("sqlite:a.db", "a.db"),
            ("sqlite:/x/a.db", "/x/a.db"),
            ("sqlite:///x/a.db", "/x/a.db"),
            ("sqlite://a.db", "a.db"),
            // A value that was read from a file may end with a line break.
            (" sqlite:/x/a b.db\r\n", "/x/a b.db"),
        ] {
            assert!(matches!(Address::parse(text), Ok(Address::Sqlite(found)) if found == Path::new(path)), "{text}");
        }
        assert!(matches!(Address::parse("memory:"), Ok(Address::Memory)));
    }

    #[test]
    fn a_text_that_is_not_an_address_is_refused_and_not_repeated() {
        assert_eq!(Address::parse(" \n").err().unwrap(), "empty");
        let line_break = "contains a line break (U+000A) as character 13; remove it";
        assert_eq!(Address::parse("sqlite:CANAR\nY").err().unwrap(), line_break);
        for text in ["CANARY", "mysql://CANARY@host/db", "sqlite", "/CANARY/a.db", "memory:CANARY", "Sqlite:CANARY"] {
            let refused = Address::parse(text).err().unwrap();
            assert_eq!(refused, "not sqlite:PATH, postgres://… or memory:", "{text}");
        }
        assert_eq!(Address::parse("sqlite:").err().unwrap(), "no path after sqlite:");
    }

    #[test]
    fn the_address_of_a_server_is_checked_when_it_is_read() {
        for (text, expected) in [
            (
                "postgres://u:CANARY@localhost/d?poolsize=3",
                "the address has an unknown parameter poolsize (similar: pool-size)",
            ),
            (
                "postgres://u:CANARY@localhost/d?pool-size=0",
                "the value of the parameter pool-size in the address is wrong; docs/storage.md says which values it takes",
            ),
            ("postgres://u:CANARY@localhost/d#CANARY", "the address contains a #: write %23 in its place"),
        ] {
            assert_eq!(Address::parse(text).err().as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_path_that_others_would_read_in_another_way_is_refused() {
        for (text, expected) in [
            ("sqlite::memory:", "a database in memory is written memory:"),
            ("sqlite://:memory:", "a database in memory is written memory:"),
            ("sqlite:x.db?mode=rwc", "sqlite:PATH takes no parameters: remove the parameter mode"),
            ("sqlite:x.db?cache=shared&mode=CANARY", "sqlite:PATH takes no parameters: remove the parameter cache"),
            ("sqlite:x.db?", "a path after sqlite: can't contain a question mark"),
            (
                "sqlite:~/x.db",
                "~ is not replaced by the home folder: write the whole path, such as sqlite:/home/ana/x.sqlite",
            ),
            ("sqlite:file:x.db", "write sqlite:PATH, without file:"),
            ("sqlite:x\r.db", "contains a carriage return (U+000D) as character 9; remove it"),
            ("sqlite:x.db\0", "contains a null character (U+0000) as character 12; remove it"),
            ("sqlite:\u{feff}x.db", "contains a byte order mark (U+FEFF) as character 8; remove it"),
            ("sqlite: x.db", "the path after sqlite: begins or ends with a blank: remove it"),
            ("sqlite:/data/", "the path after sqlite: ends with / and names a folder: name a file in it"),
            ("sqlite:///a%20b.db", "a path after sqlite: is not decoded: write each character itself, not as %XX"),
        ] {
            assert_eq!(Address::parse(text).err().as_deref(), Some(expected), "{text}");
        }
        for path in ["a%20b.db", "./~/x.db", "a b.db", "100%.db", "#x.db"] {
            assert!(
                matches!(Address::parse(&format!("sqlite:{path}")), Ok(Address::Sqlite(found)) if found == Path::new(path))
            );
        }
    }

    #[test]
    fn a_mistyped_parameter_in_an_argument_is_named() {
        for (parameter, expected) in [
            (
                "sslmod=verify-full",
                "the address has an unknown parameter sslmod (similar: sslmode); an argument must not ",
            ),
            ("passwd=CANARY", "the address has an unknown parameter passwd (similar: password); an argument must not "),
            (
                "target_session_attrs=any",
                "the parameter target_session_attrs of the address is not supported: remove it",
            ),
        ] {
            let refused = Address::without_password(&format!("postgres://localhost/db?{parameter}")).err().unwrap();
            assert!(refused.starts_with(expected) && !refused.contains("CANARY"), "{refused}");
        }
    }

    #[test]
    fn an_argument_with_a_password_is_refused_in_every_notation() {
        for text in [
            "postgres://host/db",
            "postgresql://user@host:5432/db?sslmode=verify-full",
            "postgres:///db",
            "postgres://us%65r@host/db?host=%2Ftmp&options=-c%20search_path%3Da&options[work_mem]=1MB",
            "postgres://host/db?sslmode=disable&unverified-server=allowed&application_name=a%3Db",
        ] {
            assert!(matches!(Address::without_password(text), Ok(Address::Postgres(_))), "{text}");
        }
        for text in [
            "postgres://user:CANARY@host/db",
            "postgresql://:CANARY@host/db",
            "postgres://user:CAN/ARY@host/db",
            "postgres://user:CAN@ARY@host/db",
            "postgres://host/db?user=u&password=CANARY",
            // In each of the following addresses, the driver decodes a part to a password, or it ignores a part that it
            // does not know.
            "postgres://host/db?pass%77ord=CANARY",
            "postgres://host/db?%70%61%73%73%77%6f%72%64=CANARY",
            "postgres://host/db?user=u&p%61ssword=CANARY",
            "postgres://host/db?pass\tword=CANARY",
            "postgres://host/db?pass%2577ord=CANARY",
            "postgres://host/db?PASSWORD=CANARY",
            "postgres://host/db?passwd=CANARY",
            "postgres://host/db?sslpassword=CANARY",
            "postgres://host/db?CANARY",
            "postgres://user%3ACANARY@host/db",
            "postgres://user%3aCANARY@host/db",
            "postgres://user%253ACANARY@host/db",
            "postgres://user:CAN%40ARY@host/db",
            "postgres://user:CANARY%40host/db",
            "postgres://host/db#password=CANARY",
            "postgres://host/db#CANARY",
            "postgres://host/pass%77ord=CANARY",
        ] {
            let refused = Address::without_password(text).err().unwrap();
            assert!(refused.contains("password") && !refused.contains("CANARY"), "{refused}");
        }
    }
}
