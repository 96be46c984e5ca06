//! The address of a PostgreSQL database: which parameters it may have, and when it needs TLS. An address is refused if
//! the driver would ignore a part of it.
//!
//! Unless the address asks for verification, the driver does not verify the server, and continues without TLS if the
//! server says that it has no TLS. So anybody in the network could get the password. Therefore this module asks for
//! verified TLS even if the address does not.

use std::borrow::Cow;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr as _;

use sqlx::any::AnyConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::error::OpenError;
use crate::postgres_options::PostgresOptions;

/// The schemes of an address.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];
/// The parameter and the value with which an operator switches off the verification of the server.
const UNVERIFIED: (&str, &str) = ("unverified-server", "allowed");
/// The parameter that sets the highest number of connections. It overrides [`PostgresOptions::connections`].
const POOL_SIZE: &str = "pool-size";
/// The highest value of [`POOL_SIZE`].
const MAX_POOL_SIZE: u32 = 1_000;
/// The parameters that the driver knows and that contain no secret. The driver ignores unknown parameters, so a
/// mistyped parameter would have no effect.
const PARAMETERS: [&str; 17] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];
/// Parameters that PostgreSQL's own library knows, and that this storage does not support.
const UNSUPPORTED: [&str; 14] = [
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "gssencmode",
    "keepalives",
    "load_balance_hosts",
    "passfile",
    "require_auth",
    "service",
    "ssl_min_protocol_version",
    "sslcrl",
    "sslnegotiation",
    "target_session_attrs",
    "tcp_user_timeout",
];
/// The environment variables that the driver reads, and that this module can't replace with a default value, each with
/// the parameter that sets the same part of a connection.
const VARIABLES: [(&str, &str); 7] = [
    ("PGHOST", "host"),
    ("PGHOSTADDR", "host"),
    ("PGOPTIONS", "options"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGUSER", "user"),
];
/// The name of the connector's connections at the server, unless the address sets another one.
const APPLICATION: &str = "tiktok-shop-connector";
/// PostgreSQL's usual port.
const DEFAULT_PORT: u16 = 5432;
/// The parameter of the driver that is a secret.
const PASSWORD: &str = "password";
/// The maximum length of a parameter's name that an error quotes.
const MAX_NAME: usize = 40;

impl PostgresOptions {
    /// Returns true if an address may have a parameter with this name, and if the value of this parameter is not a
    /// secret. The name must already be percent-decoded. For `password`, returns `false`, because its value is a
    /// secret.
    #[must_use]
    pub fn is_public_parameter(name: &str) -> bool {
        let is_setting = name.strip_prefix("options[").is_some_and(|rest| rest.ends_with(']'));
        is_setting || name == UNVERIFIED.0 || name == POOL_SIZE || PARAMETERS.contains(&name)
    }

    /// Checks an address without connecting to the server.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn check_address(address: &str) -> Result<(), OpenError> {
        parse(address).map(drop)
    }
}

/// The contents of an address.
#[derive(Debug)]
pub(super) struct Parsed {
    /// How the driver connects to the server.
    pub(super) driver: PgConnectOptions,
    /// The highest number of connections. `None` if the address does not set it.
    pub(super) pool_size: Option<u32>,
    /// The parts of a connection that the address sets, each by the name of its usual parameter.
    pub(super) named: Vec<&'static str>,
    /// The file of the private key with which the driver proves its identity over TLS.
    pub(super) key_file: Option<PathBuf>,
}

impl Parsed {
    /// Refuses an environment variable that the driver has read and that no setter of the driver takes back. `is_set`
    /// says whether a variable is set.
    ///
    /// # Errors
    /// [`OpenError::Variable`].
    pub(super) fn refuse_variables(&self, is_set: impl Fn(&str) -> bool) -> Result<(), OpenError> {
        // The driver adds the options of an address to those of the variable.
        let acts = |parameter: &str| parameter == "options" || !self.named.contains(&parameter);
        match VARIABLES.iter().find(|(name, parameter)| acts(parameter) && is_set(name)) {
            Some(&(name, parameter)) => Err(OpenError::Variable { name, parameter }),
            None => Ok(()),
        }
    }
}

/// Parses an address. If the server is on another machine, the result asks for verified TLS, unless the address
/// contains `unverified-server=allowed`.
pub(super) fn parse(address: &str) -> Result<Parsed, OpenError> {
    let Some(rest) = SCHEMES.iter().find_map(|scheme| address.strip_prefix(scheme)) else {
        return Err(OpenError::Address);
    };
    OpenError::if_invisible(address, "address")?;
    if rest.contains('#') {
        return Err(OpenError::Fragment);
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.rsplit('@').next().is_some_and(|hosts| hosts.contains(',')) {
        return Err(OpenError::SeveralServers);
    }
    let mut options = AnyConnectOptions::from_str(address).map_err(|_| OpenError::Address)?;
    let owned = |(name, value): (Cow<'_, str>, Cow<'_, str>)| (name.into_owned(), value.into_owned());
    let parameters: Vec<_> = options.database_url.query_pairs().map(owned).collect();
    let (mut for_driver, mut is_unverified, mut pool_size) = (Vec::new(), false, None);
    for (name, value) in parameters {
        match name.as_str() {
            "host" | "hostaddr" | "port" if value.contains(',') => return Err(OpenError::SeveralServers),
            known if known == UNVERIFIED.0 && value == UNVERIFIED.1 => is_unverified = true,
            known if known == UNVERIFIED.0 => return Err(OpenError::Value(name)),
            POOL_SIZE => match value.parse() {
                Ok(size) if (1..=MAX_POOL_SIZE).contains(&size) => pool_size = Some(size),
                Ok(_) | Err(_) => return Err(OpenError::Value(name)),
            },
            // The error for a file that can't be used quotes its path, and this value is a private key and no path.
            "sslkey" | "ssl-key" if value.contains("-----BEGIN") => return Err(OpenError::Value(name)),
            known if known == PASSWORD || PostgresOptions::is_public_parameter(known) => for_driver.push((name, value)),
            _ => return Err(unknown(&name, &value, address)),
        }
    }
    options.database_url.set_query(None);
    for pair in &for_driver {
        let mut alone = AnyConnectOptions::from_str("postgres://localhost").map_err(|_| OpenError::Address)?;
        alone.database_url.query_pairs_mut().extend_pairs([pair]);
        if PgConnectOptions::from_str(alone.database_url.as_str()).is_err() {
            return Err(OpenError::Value(pair.0.clone()));
        }
    }
    if !for_driver.is_empty() {
        options.database_url.query_pairs_mut().extend_pairs(&for_driver);
    }
    let named = named_parts(&options, &for_driver);
    // If the address names several files, the driver takes the last one.
    let key_file = for_driver.iter().rfind(|(name, _)| ["sslkey", "ssl-key"].contains(&name.as_str()));
    let key_file = key_file.map(|(_, path)| PathBuf::from(path));
    let driver = PgConnectOptions::from_str(options.database_url.as_str()).map_err(|_| OpenError::Address)?;
    let mut driver = with_defaults(driver, &named);
    let names_mode = named.contains(&"sslmode");
    if !is_on_this_machine(&driver) && !is_unverified {
        match driver.get_ssl_mode() {
            PgSslMode::VerifyFull => {}
            PgSslMode::Allow | PgSslMode::Disable | PgSslMode::Prefer | PgSslMode::Require | PgSslMode::VerifyCa => {
                if names_mode {
                    return Err(OpenError::Unverified);
                }
                driver = driver.ssl_mode(PgSslMode::VerifyFull);
            }
        }
    }
    // `extra_float_digits` is removed, because a connection pooler refuses it. It concerns only numbers with a
    // fraction, and no table contains such numbers.
    Ok(Parsed { driver: driver.extra_float_digits(None), pool_size, named, key_file })
}

/// Returns the parts of a connection that an address sets, each by the name of its usual parameter. `parameters` are
/// the parameters of the address.
fn named_parts(options: &AnyConnectOptions, parameters: &[(String, String)]) -> Vec<&'static str> {
    let url = &options.database_url;
    let of_authority = [
        ("host", url.host_str().is_some_and(|host| !host.is_empty())),
        ("port", url.port().is_some()),
        ("user", !url.username().is_empty()),
        (PASSWORD, url.password().is_some()),
        ("dbname", !url.path().trim_start_matches('/').is_empty()),
    ];
    let of_parameters = parameters.iter().filter_map(|(name, _)| {
        Some(match name.as_str() {
            "application_name" => "application_name",
            "dbname" => "dbname",
            "host" | "hostaddr" => "host",
            PASSWORD => PASSWORD,
            "port" => "port",
            "ssl-ca" | "ssl-root-cert" | "sslrootcert" => "sslrootcert",
            "ssl-cert" | "sslcert" => "sslcert",
            "ssl-key" | "sslkey" => "sslkey",
            "ssl-mode" | "sslmode" => "sslmode",
            "user" => "user",
            _ => return None,
        })
    });
    of_authority.into_iter().filter_map(|(name, is_named)| is_named.then_some(name)).chain(of_parameters).collect()
}

/// Gives each part of a connection that the address does not set its default value. Otherwise, the driver would take
/// the part from an environment variable of PostgreSQL's own library, or the password from that library's password
/// file.
fn with_defaults(mut driver: PgConnectOptions, named: &[&str]) -> PgConnectOptions {
    let is_missing = |part: &str| !named.contains(&part);
    if is_missing("port") {
        driver = driver.port(DEFAULT_PORT);
    }
    if is_missing("dbname") {
        let user = driver.get_username().to_owned();
        driver = driver.database(&user);
    }
    if is_missing(PASSWORD) {
        // The driver sends an empty password if it has none, so this changes nothing else.
        driver = driver.password("");
    }
    if is_missing("sslmode") {
        driver = driver.ssl_mode(PgSslMode::Prefer);
    }
    if is_missing("application_name") {
        driver = driver.application_name(APPLICATION);
    }
    driver
}

/// Returns the error for a parameter that is not known.
fn unknown(name: &str, value: &str, address: &str) -> OpenError {
    if let Some(unsupported) = UNSUPPORTED.into_iter().find(|unsupported| *unsupported == name) {
        return OpenError::Unsupported(unsupported);
    }
    // A text without a value is not the name of a parameter. It may be a part of a password.
    let is_name = !name.is_empty()
        && name.len() <= MAX_NAME
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.[]".contains(&byte))
        && (!value.is_empty() || address.contains(&format!("{name}=")));
    if !is_name {
        return OpenError::Parameter { name: None, similar: None };
    }
    let lower = name.to_ascii_lowercase();
    let known = PARAMETERS.into_iter().chain([PASSWORD, POOL_SIZE, UNVERIFIED.0]);
    let (distance, similar) = known
        .map(|known| (strsim::damerau_levenshtein(&lower, known), known))
        .min_by_key(|(distance, _)| *distance)
        .unwrap_or((usize::MAX, ""));
    let similar = (distance <= (name.len() / 3).max(1)).then_some(similar);
    OpenError::Parameter { name: Some(name.to_owned()), similar }
}

/// Returns whether the server is reached by a Unix socket, by `localhost` or by a loopback address. Nobody in a network
/// can see such traffic.
fn is_on_this_machine(driver: &PgConnectOptions) -> bool {
    let host = driver.get_host();
    // The driver takes a host that begins with a slash as the folder of a socket.
    if driver.get_socket().is_some() || host.starts_with('/') || host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the TLS mode that the driver would use.
    fn mode(address: &str) -> Result<&'static str, String> {
        let parsed = parse(address).map_err(|error| error.to_string())?;
        Ok(match parsed.driver.get_ssl_mode() {
            PgSslMode::Allow => "allow",
            PgSslMode::Disable => "disable",
            PgSslMode::Prefer => "prefer",
            PgSslMode::Require => "require",
            PgSslMode::VerifyCa => "verify-ca",
            PgSslMode::VerifyFull => "verify-full",
        })
    }

    #[test]
    fn a_server_on_this_machine_needs_no_tls() {
        for host in [
            "localhost",
            "LOCALHOST:5432",
            "127.0.0.1",
            "127.1.2.3:5432",
            "[::1]:5432",
            "%2Fvar%2Frun%2Fpostgresql",
            "localhost/d?host=/tmp&user=u",
            "localhost/d?host=127.0.0.1",
            "localhost/d?hostaddr=::1",
            "db.example/d?host=/tmp",
        ] {
            assert_eq!(mode(&format!("postgres://u:p@{host}")), Ok("prefer"), "{host}");
            let mark = if host.contains('?') { '&' } else { '?' };
            assert_eq!(mode(&format!("postgres://u:p@{host}{mark}sslmode=disable")), Ok("disable"), "{host}");
        }
    }

    const REMOTE: [&str; 9] = [
        "db.example",
        "10.0.0.1:5432",
        "0.0.0.0",
        "[fe80::1]:5432",
        "localhost.example",
        "127.0.0.1.example",
        "localhost/d?host=db.example",
        "localhost/d?hostaddr=::ffff:127.0.0.1",
        "localhost/d?host=localhost&hostaddr=10.0.0.1",
    ];

    #[test]
    fn a_server_in_a_network_is_always_verified() {
        let refused = OpenError::Unverified.to_string();
        for host in REMOTE {
            let mark = if host.contains('?') { '&' } else { '?' };
            let address = format!("postgresql://u:p@{host}");
            assert_eq!(mode(&address), Ok("verify-full"), "{host}");
            for name in ["sslmode", "ssl-mode", "ssl%6Dode"] {
                assert_eq!(mode(&format!("{address}{mark}{name}=verify-full")), Ok("verify-full"), "{host}");
                for weak in ["disable", "allow", "prefer", "require", "verify-ca", "REQUIRE"] {
                    assert_eq!(mode(&format!("{address}{mark}{name}={weak}")), Err(refused.clone()), "{host} {weak}");
                }
            }
            // If the address contains a parameter twice, the last one counts.
            let both = format!("{address}{mark}sslmode=verify-full&sslmode=require");
            assert_eq!(mode(&both), Err(refused.clone()), "{host}");
        }
    }

    #[test]
    fn an_operator_can_give_up_the_check_of_the_server() {
        for host in REMOTE {
            let mark = if host.contains('?') { '&' } else { '?' };
            let address = format!("postgres://u:p@{host}{mark}unverified-server=allowed");
            assert_eq!(mode(&address), Ok("prefer"), "{host}");
            assert_eq!(mode(&format!("{address}&sslmode=require")), Ok("require"), "{host}");
            assert_eq!(mode(&format!("{address}&sslmode=disable")), Ok("disable"), "{host}");
        }
        for value in ["", "yes", "true", "ALLOWED", "allowed&unverified-server=no"] {
            let address = format!("postgres://u:p@db.example/d?unverified-server={value}");
            assert_eq!(mode(&address), Err(OpenError::Value("unverified-server".to_owned()).to_string()), "{value}");
        }
    }

    #[test]
    fn an_unknown_parameter_is_named_with_a_similar_one_because_the_driver_would_ignore_it() {
        for (parameter, expected) in [
            ("sslmod=verify-full", " sslmod (similar: sslmode)"),
            ("ssl_mode=verify-full", " ssl_mode (similar: ssl-mode)"),
            ("sslMode=verify-full", " sslMode (similar: sslmode)"),
            ("sslmode=disable&applicaton_name=a", " applicaton_name (similar: application_name)"),
            ("poolsize=3", " poolsize (similar: pool-size)"),
            ("passwd=CANARY", " passwd (similar: password)"),
            ("max_connections=CANARY", " max_connections; docs/storage.md lists the known ones"),
            ("CANARY", "; docs/storage.md lists the known ones"),
            ("CANARY%26=CANARY", "; docs/storage.md lists the known ones"),
            ("%20sslmode=disable", "; docs/storage.md lists the known ones"),
        ] {
            let error = mode(&format!("postgres://u@localhost/d?{parameter}")).unwrap_err();
            assert_eq!(error, format!("the address has an unknown parameter{expected}"), "{parameter}");
        }
        assert_eq!(mode("postgres://u@localhost/d?password=p&options[work_mem]=1MB&application_name=a"), Ok("prefer"));
    }

    #[test]
    fn what_the_driver_would_ignore_or_not_support_is_refused_by_name() {
        for (address, expected) in [
            ("postgres://h1,h2/d", OpenError::SeveralServers),
            ("postgres://u:p@h1:5432,h2:5432/d", OpenError::SeveralServers),
            ("postgres://u@localhost/d?host=h1,h2", OpenError::SeveralServers),
            ("postgres://u@localhost/d?port=5432,5433", OpenError::SeveralServers),
            ("postgres://u@localhost/d?target_session_attrs=primary", OpenError::Unsupported("target_session_attrs")),
            ("postgres://u@localhost/d?connect_timeout=3", OpenError::Unsupported("connect_timeout")),
            ("postgres://u:CAN#ARY@localhost/d", OpenError::Fragment),
            ("postgres://u:CAN/ARY@localhost/d", OpenError::Address),
            ("postgres://u@localhost/d?sslmode=CANARY", OpenError::Value("sslmode".to_owned())),
            ("postgres://u@localhost/d?port=CANARY", OpenError::Value("port".to_owned())),
            ("postgres://u@localhost/d?hostaddr=CANARY", OpenError::Value("hostaddr".to_owned())),
            ("postgres://u@localhost/d?pool-size=0", OpenError::Value("pool-size".to_owned())),
            ("postgres://u@localhost/d?pool-size=1001", OpenError::Value("pool-size".to_owned())),
            ("postgres://u@localhost/d?pool-size=CANARY", OpenError::Value("pool-size".to_owned())),
            (
                "postgres://u@localhost/d?sslkey=-----BEGIN%20PRIVATE%20KEY-----%0ACANARY",
                OpenError::Value("sslkey".to_owned()),
            ),
            (
                "postgres://u@localhost/d?ssl-key=-----BEGIN+EC+PRIVATE+KEY-----%0ACANARY",
                OpenError::Value("ssl-key".to_owned()),
            ),
        ] {
            let error = mode(address).unwrap_err();
            assert_eq!(error, expected.to_string(), "{address}");
            assert!(!error.contains("CANARY"), "{address}");
        }
        for (text, name) in [
            ("\n", "a line break"),
            ("\r", "a carriage return"),
            ("\u{feff}", "a byte order mark"),
            ("\u{200e}", "the invisible character U+200E"),
        ] {
            let error = mode(&format!("postgres://u:CANARY@localhost/d{text}")).unwrap_err();
            assert_eq!(error, format!("the address contains {name}: remove it"));
        }
    }

    #[test]
    fn what_the_address_does_not_set_has_a_default_whatever_the_environment_says() {
        let driver = parse("postgres://u@localhost").unwrap().driver;
        assert_eq!((driver.get_port(), driver.get_database()), (5432, Some("u")));
        assert_eq!(driver.get_application_name(), Some("tiktok-shop-connector"));
        assert!(
            format!("{driver:?}").contains("password: Some(\"\")"),
            "an empty password keeps the password file out"
        );
        let address = "postgres://localhost?user=v&port=1&dbname=d&application_name=a&password=p";
        let driver = parse(address).unwrap().driver;
        assert_eq!((driver.get_port(), driver.get_database()), (1, Some("d")));
        assert_eq!(driver.get_application_name(), Some("a"));
        assert!(format!("{driver:?}").contains("password: Some(\"p\")"));
    }

    #[test]
    fn a_variable_that_the_driver_would_use_is_refused_unless_the_address_sets_the_same_part() {
        let refused = |address: &str, variable: &str| {
            let refused = parse(address).unwrap().refuse_variables(|name| name == variable);
            refused.err().map(|error| error.to_string())
        };
        let text = |name: &str, parameter: &str| {
            Some(format!(
                "{name} is set and would change how the database is reached, which only its address decides: unset \
                 this variable, and write its value into the address as {parameter}"
            ))
        };
        for (name, parameter, value) in [
            ("PGHOST", "host", "localhost"),
            ("PGHOSTADDR", "host", "localhost"),
            ("PGSSLCERT", "sslcert", "c"),
            ("PGSSLKEY", "sslkey", "k"),
            ("PGSSLROOTCERT", "sslrootcert", "r"),
            ("PGUSER", "user", "u"),
        ] {
            assert_eq!(refused("postgres:///d?unverified-server=allowed", name), text(name, parameter));
            let named = format!("postgres:///d?unverified-server=allowed&{parameter}={value}");
            assert_eq!(refused(&named, name), None, "{name}");
        }
        let whole = "postgres://u@localhost/d?options[search_path]=s";
        assert_eq!(refused(whole, "PGOPTIONS"), text("PGOPTIONS", "options"));
        for name in ["PGHOST", "PGUSER", "PGPORT", "PGPASSWORD", "PGDATABASE", "PGSSLMODE", "PGAPPNAME", "PGPASSFILE"] {
            assert_eq!(refused(whole, name), None, "{name}");
        }
    }

    #[test]
    fn the_address_may_set_the_size_of_the_pool() {
        assert_eq!(parse("postgres://u@localhost/d").unwrap().pool_size, None);
        assert_eq!(parse("postgres://u@localhost/d?pool-size=3&sslmode=disable").unwrap().pool_size, Some(3));
    }

    #[test]
    fn the_other_parameters_reach_the_driver_unchanged() {
        let text = "postgres://u%40x:p%2F%3F@db.example:5433/d%20b?options=-c%20search_path%3Dx,%20y%26z&user=v+w";
        let driver = parse(text).unwrap().driver;
        assert_eq!((driver.get_host(), driver.get_port()), ("db.example", 5433));
        assert_eq!((driver.get_username(), driver.get_database()), ("v w", Some("d b")));
        assert_eq!(driver.get_options(), Some("-c search_path=x, y&z"));
    }
}
