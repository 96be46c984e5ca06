//! The address of a PostgreSQL database: which parameters it may have, and when it needs TLS.
//!
//! Unless the address asks for verification, the driver does not verify the server, and continues without TLS if the
//! server says that it has no TLS. So anybody in the network could get the password. Therefore this module asks for
//! verified TLS even if the address does not.

use std::borrow::Cow;
use std::net::IpAddr;
use std::str::FromStr as _;

use sqlx::any::AnyConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::error::OpenError;
use super::postgres::PostgresOptions;

/// The schemes of an address.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];
/// The parameter and the value with which an operator switches off the verification of the server.
const UNVERIFIED: (&str, &str) = ("unverified-server", "allowed");
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
/// The parameter of the driver that is a secret.
const PASSWORD: &str = "password";

impl PostgresOptions {
    /// Returns true if an address may have a parameter with this name, and if the value of this parameter is not a
    /// secret. The name must already be percent-decoded. For `password`, returns `false`, because its value is a
    /// secret.
    #[must_use]
    pub fn is_public_parameter(name: &str) -> bool {
        let is_setting = name.strip_prefix("options[").is_some_and(|rest| rest.ends_with(']'));
        is_setting || name == UNVERIFIED.0 || PARAMETERS.contains(&name)
    }
}

/// Parses an address. If the server is on another machine, the result asks for verified TLS, unless the address
/// contains `unverified-server=allowed`.
pub(super) fn parse(address: &str) -> Result<AnyConnectOptions, OpenError> {
    if !SCHEMES.iter().any(|scheme| address.starts_with(scheme)) {
        return Err(OpenError::Address);
    }
    let mut options = AnyConnectOptions::from_str(address).map_err(|_| OpenError::Address)?;
    let owned = |(name, value): (Cow<'_, str>, Cow<'_, str>)| (name.into_owned(), value.into_owned());
    let (unverified, mut parameters): (Vec<_>, Vec<_>) =
        options.database_url.query_pairs().map(owned).partition(|(name, _)| name == UNVERIFIED.0);
    if unverified.iter().any(|(_, value)| value != UNVERIFIED.1)
        || parameters.iter().any(|(name, _)| name != PASSWORD && !PostgresOptions::is_public_parameter(name))
    {
        return Err(OpenError::Parameter);
    }
    // The driver also reads environment variables, such as PGHOST and PGSSLMODE. If the address also sets a value, the
    // value of the address applies.
    let driver = PgConnectOptions::from_str(options.database_url.as_str()).map_err(|_| OpenError::Address)?;
    let names_mode = parameters.iter().any(|(name, _)| matches!(name.as_str(), "sslmode" | "ssl-mode"));
    if !is_on_this_machine(&driver) && unverified.is_empty() {
        match driver.get_ssl_mode() {
            PgSslMode::VerifyFull => {}
            PgSslMode::Allow | PgSslMode::Disable | PgSslMode::Prefer | PgSslMode::Require | PgSslMode::VerifyCa => {
                if names_mode {
                    return Err(OpenError::Unverified);
                }
                parameters.push(("sslmode".to_owned(), "verify-full".to_owned()));
            }
        }
    }
    options.database_url.set_query(None);
    if !parameters.is_empty() {
        options.database_url.query_pairs_mut().extend_pairs(parameters);
    }
    Ok(options)
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
        let options = parse(address).map_err(|error| error.to_string())?;
        let driver = PgConnectOptions::from_str(options.database_url.as_str()).unwrap();
        Ok(match driver.get_ssl_mode() {
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
            assert_eq!(mode(&address), Err(OpenError::Parameter.to_string()), "{value}");
        }
    }

    #[test]
    fn an_unknown_parameter_is_refused_because_the_driver_would_ignore_it() {
        for parameter in
            ["ssl_mode=verify-full", "sslMode=verify-full", "passwd=CANARY", "CANARY", "%20sslmode=disable"]
        {
            let error = mode(&format!("postgres://u@localhost/d?{parameter}")).unwrap_err();
            assert_eq!(error, OpenError::Parameter.to_string(), "{parameter}");
        }
        assert_eq!(mode("postgres://u@localhost/d?password=p&options[work_mem]=1MB&application_name=a"), Ok("prefer"));
    }

    #[test]
    fn the_other_parameters_reach_the_driver_unchanged() {
        let text = "postgres://u%40x:p%2F%3F@db.example:5433/d%20b?options=-c%20search_path%3Dx,%20y%26z&user=v+w";
        let options = parse(text).unwrap();
        let driver = PgConnectOptions::from_str(options.database_url.as_str()).unwrap();
        assert_eq!((driver.get_host(), driver.get_port()), ("db.example", 5433));
        assert_eq!((driver.get_username(), driver.get_database()), ("v w", Some("d b")));
        assert_eq!(driver.get_options(), Some("-c search_path=x, y&z"));
    }
}
