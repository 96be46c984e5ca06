//! The settings of the service: the table `[serve]` and the list `[[api-keys]]` of the configuration file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tiktok_shop_host::TenantId;
use tiktok_shop_host::certificates::CertificateAuthorities;
use tiktok_shop_host::events::Actor;
use tiktok_shop_host::limits::Limits;
use tiktok_shop_private_file::Access;
use tiktok_shop_server::delivery::Endpoint;
use tiktok_shop_server::{ApiKeyDigest, ApiKeyEntry, InstallAddress, PublicAddress, ReturnAddress, Scope, Settings};
use toml::{Table, Value};

use super::configured_text::Rule;
use super::toml_value::{table_of, text_of, unknown};
use super::webhooks::{ConfiguredEndpoint, endpoints};

/// The members of `[serve]`.
const MEMBERS: &str = "listen, public-address, return-addresses, install-addresses, sweep-seconds, \
                       shutdown-seconds, requests-per-second, requests-in-flight, max-connections, \
                       concurrent-calls, tenant-percent, webhook-ca-file, webhooks";
/// The members of each of `[[api-keys]]`.
const KEY_MEMBERS: &str = "name, tenant, scopes, sha256";
/// The largest number of seconds that a member may have: one day.
const MAX_SECONDS: u32 = 86_400;
/// The largest number of requests or connections that a member may have.
const MAX_NUMBER: u32 = 1_000_000;
/// The largest number of calls that may run at the same time. Each of them reserves an address space of some gigabytes.
const MAX_CALLS: u32 = 1_000;

/// An IP address with a port to listen on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListenAddress(pub(crate) SocketAddr);

impl FromStr for ListenAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| "not an address with a port, such as 127.0.0.1:4020")
    }
}

/// The table `[serve]`. A member that is missing keeps its default.
#[derive(Debug, Default)]
pub(crate) struct ServeTable {
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) public_address: Option<PublicAddress>,
    return_addresses: Vec<ReturnAddress>,
    /// The address of the platform for the installs of each app.
    install_addresses: BTreeMap<String, InstallAddress>,
    /// Zero turns the sweeps off.
    sweep_seconds: Option<u32>,
    shutdown_seconds: Option<u32>,
    requests_per_second: Option<NonZeroU32>,
    requests_in_flight: Option<NonZeroU32>,
    max_connections: Option<NonZeroU32>,
    concurrent_calls: Option<u32>,
    tenant_percent: Option<u32>,
    /// The file of certificate authorities for the receivers of webhooks.
    webhook_ca_file: Option<PathBuf>,
    webhooks: Vec<ConfiguredEndpoint>,
}

impl ServeTable {
    /// Parses the table of a configuration file in `folder`.
    pub(super) fn parse(members: &Table, folder: &Path) -> Result<Self, String> {
        let mut table = Self::default();
        for (name, value) in members {
            let place = format!("serve.{name}");
            match name.as_str() {
                "listen" => table.listen = Some(parsed::<ListenAddress>(value, &place)?.0),
                "public-address" => table.public_address = Some(parsed(value, &place)?),
                "return-addresses" => table.return_addresses = list(value, &place)?,
                "install-addresses" => table.install_addresses = install_addresses(value, &place)?,
                "sweep-seconds" => table.sweep_seconds = Some(number(value, &place, 0, MAX_SECONDS)?),
                "shutdown-seconds" => table.shutdown_seconds = Some(number(value, &place, 1, MAX_SECONDS)?),
                "requests-per-second" => table.requests_per_second = Some(positive(value, &place)?),
                "requests-in-flight" => table.requests_in_flight = Some(positive(value, &place)?),
                "max-connections" => table.max_connections = Some(positive(value, &place)?),
                "concurrent-calls" => table.concurrent_calls = Some(number(value, &place, 1, MAX_CALLS)?),
                "tenant-percent" => table.tenant_percent = Some(number(value, &place, 1, 100)?),
                "webhook-ca-file" => {
                    table.webhook_ca_file = Some(folder.join(text_of(value, &place, Rule::OneLine)?));
                }
                "webhooks" => table.webhooks = endpoints(value, &place, folder)?,
                _ => return Err(unknown(&place, MEMBERS)),
            }
        }
        Ok(table)
    }

    /// Returns the endpoints of webhooks. Reads the files of their secrets, which `access` says who may read.
    ///
    /// # Errors
    /// A secret can't be read, or two endpoints of a tenant have the same name. The error names the place in the
    /// configuration.
    pub(crate) fn endpoints(&self, access: Access) -> Result<Vec<Endpoint>, String> {
        self.webhooks.iter().map(|configured| configured.with_secrets(access)).collect()
    }

    /// Reads the certificate authorities that the service trusts for the receivers of webhooks, in addition to
    /// Mozilla's. Returns `None` if no file is configured.
    ///
    /// # Errors
    /// The file can't be read, or a certificate in it can't be used. The error names the place in the configuration and
    /// the file.
    pub(crate) fn webhook_authorities(&self) -> Result<Option<CertificateAuthorities>, String> {
        let read = |path: &Path| {
            CertificateAuthorities::read(path).map_err(|error| {
                format!("serve.webhook-ca-file: {}: {error}; correct the file or its path", path.display())
            })
        };
        self.webhook_ca_file.as_deref().map(read).transpose()
    }

    /// Allows this return address, too.
    pub(crate) fn allow_return(&mut self, address: ReturnAddress) {
        self.return_addresses.push(address);
    }

    /// Returns the keys of the apps that have an address for their installs.
    pub(super) fn install_apps(&self) -> impl Iterator<Item = &str> {
        self.install_addresses.keys().map(String::as_str)
    }

    /// Leads the installs of this app to this address.
    pub(crate) fn lead_installs(&mut self, app_key: String, address: InstallAddress) {
        self.install_addresses.insert(app_key, address);
    }

    /// Returns the settings of the service at this public address.
    ///
    /// # Errors
    /// See [`webhook_authorities`](Self::webhook_authorities).
    pub(crate) fn settings(&self, public_address: PublicAddress) -> Result<Settings, String> {
        let mut settings = Settings::new(public_address);
        settings.webhook_authorities = self.webhook_authorities()?;
        settings.return_addresses.clone_from(&self.return_addresses);
        settings.install_addresses.clone_from(&self.install_addresses);
        if let Some(seconds) = self.sweep_seconds {
            settings.sweep_every = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
        }
        if let Some(seconds) = self.shutdown_seconds {
            settings.shutdown_deadline = Duration::from_secs(seconds.into());
        }
        settings.requests_per_second = self.requests_per_second.unwrap_or(settings.requests_per_second);
        settings.requests_in_flight = self.requests_in_flight.unwrap_or(settings.requests_in_flight);
        settings.max_connections = self.max_connections.unwrap_or(settings.max_connections);
        Ok(settings)
    }

    /// Returns whether a file of certificate authorities is configured, although no endpoint has an `https` address.
    pub(crate) fn has_unused_authorities(&self) -> bool {
        self.webhook_ca_file.is_some() && !self.webhooks.iter().any(ConfiguredEndpoint::uses_tls)
    }

    /// Returns the limits of the service if this number of tenants has an app. A lone tenant may use all instances,
    /// because nobody else needs them.
    pub(super) fn limits(&self, tenants: usize) -> Limits {
        let usual = Limits::default();
        let share = if tenants == 1 { 100 } else { usual.tenant_percent };
        Limits {
            concurrent_calls: self.concurrent_calls.unwrap_or(usual.concurrent_calls),
            tenant_percent: self.tenant_percent.unwrap_or(share),
            ..usual
        }
    }
}

/// Parses a text of visible ASCII. `place` names it in an error.
pub(super) fn parsed<T: FromStr<Err: ToString>>(value: &Value, place: &str) -> Result<T, String> {
    let text = text_of(value, place, Rule::VisibleAscii)?;
    text.parse().map_err(|error: T::Err| format!("{place}: {}", error.to_string()))
}

fn list<T: FromStr<Err: ToString>>(value: &Value, place: &str) -> Result<Vec<T>, String> {
    let values = value.as_array().ok_or_else(|| format!("{place}: not a list of texts; write [\"…\"]"))?;
    values.iter().enumerate().map(|(number, value)| parsed(value, &format!("{place}[{number}]"))).collect()
}

/// Parses the table of install addresses: an app key and its address.
fn install_addresses(value: &Value, place: &str) -> Result<BTreeMap<String, InstallAddress>, String> {
    let table = table_of(value, place)?;
    let entries = table.iter().map(|(app_key, value)| {
        let address = parsed(value, &format!("{place}.{app_key}"))?;
        Ok((app_key.clone(), address))
    });
    entries.collect()
}

fn number(value: &Value, place: &str, min: u32, max: u32) -> Result<u32, String> {
    let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
    let number = number.filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| format!("{place}: not a number from {min} to {max}"))
}

fn positive(value: &Value, place: &str) -> Result<NonZeroU32, String> {
    let number = number(value, place, 1, MAX_NUMBER)?;
    NonZeroU32::new(number).ok_or_else(|| format!("{place}: zero"))
}

/// Parses the list `[[api-keys]]`.
pub(super) fn api_keys(value: &Value) -> Result<Vec<ApiKeyEntry>, String> {
    let tables = value.as_array().ok_or("api-keys: not a list of tables; write [[api-keys]] above each key")?;
    tables.iter().enumerate().map(|(number, value)| api_key(value, &format!("api-keys[{number}]"))).collect()
}

fn api_key(value: &Value, place: &str) -> Result<ApiKeyEntry, String> {
    let (mut name, mut tenant, mut scopes, mut digest) = (None, None, None, None);
    for (member, value) in table_of(value, place)? {
        let place = format!("{place}.{member}");
        match member.as_str() {
            "name" => {
                let text = text_of(value, &place, Rule::OneLine)?;
                name = Some(text.parse::<Actor>().map_err(|error| format!("{place}: {error}"))?);
            }
            "tenant" => {
                let text = text_of(value, &place, Rule::OneLine)?;
                tenant = Some(text.parse::<TenantId>().map_err(|error| format!("{place}: {error}"))?);
            }
            "scopes" => scopes = Some(list::<Scope>(value, &place)?),
            "sha256" => digest = Some(parsed::<ApiKeyDigest>(value, &place)?),
            _ => return Err(unknown(&place, KEY_MEMBERS)),
        }
    }
    let missing = |member: &str| format!("{place}: no {member}; api-keys create prints all members");
    let scopes = scopes.ok_or_else(|| missing("scopes"))?;
    if scopes.is_empty() {
        return Err(format!("{place}.scopes: empty, so the key would allow nothing; name a scope"));
    }
    Ok(ApiKeyEntry {
        name: name.ok_or_else(|| missing("name"))?,
        tenant: tenant.ok_or_else(|| missing("tenant"))?,
        scopes,
        digest: digest.ok_or_else(|| missing("sha256"))?,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn serve(text: &str) -> Result<ServeTable, String> {
        ServeTable::parse(&toml::from_str(text).unwrap(), Path::new("/folder"))
    }

    fn keys(text: &str) -> Result<Vec<ApiKeyEntry>, String> {
        let table: Table = toml::from_str(text).unwrap();
        api_keys(&table["api-keys"])
    }

    #[test]
    fn every_member_of_serve_is_read() {
        let table = serve(
            "listen = \"0.0.0.0:80\"\npublic-address = \"https://connect.example\"\n\
             return-addresses = [\"https://app.example/connected\"]\n\
             install-addresses = { 6a = \"https://app.example/install\" }\nsweep-seconds = 0\nshutdown-seconds = 7\n\
             requests-per-second = 8\nrequests-in-flight = 9\nmax-connections = 10\n\
             concurrent-calls = 11\ntenant-percent = 12\n",
        )
        .unwrap();
        assert_eq!(table.listen.unwrap().to_string(), "0.0.0.0:80");
        let settings = table.settings(table.public_address.clone().unwrap()).unwrap();
        assert!(settings.webhook_authorities.is_none());
        assert_eq!(settings.public_address.to_string(), "https://connect.example");
        assert_eq!(settings.return_addresses.len(), 1);
        assert_eq!(settings.install_addresses["6a"].to_string(), "https://app.example/install");
        assert_eq!((settings.sweep_every, settings.shutdown_deadline), (None, Duration::from_secs(7)));
        let numbers = [settings.requests_per_second, settings.requests_in_flight, settings.max_connections];
        assert_eq!(numbers.map(NonZeroU32::get), [8, 9, 10]);
        let limits = Limits { concurrent_calls: 11, tenant_percent: 12, ..Limits::default() };
        assert_eq!([1, 2].map(|tenants| table.limits(tenants)), [limits, limits]);
    }

    #[test]
    fn the_certificate_authorities_of_receivers_are_read_from_their_file() {
        let public: PublicAddress = "https://connect.example".parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let members: Table = toml::from_str("webhook-ca-file = \"ca.pem\"").unwrap();
        let table = ServeTable::parse(&members, folder.path()).unwrap();
        let pem = |coded: &str| format!("-----BEGIN CERTIFICATE-----\n{coded}\n-----END CERTIFICATE-----\n");
        for (content, why) in [
            (None, "there is no such file"),
            (Some("CANARY".to_owned()), "it contains no certificate in PEM"),
            (Some(pem("CANARY")), "a certificate in it, or another section between BEGIN and END, is malformed"),
        ] {
            if let Some(content) = content {
                fs::write(&path, content).unwrap();
            }
            let error = table.settings(public.clone()).err().unwrap();
            let file = path.display();
            assert_eq!(error, format!("serve.webhook-ca-file: {file}: {why}; correct the file or its path"));
        }
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(&path, pem(&STANDARD.encode(made.cert.der()))).unwrap();
        let settings = table.settings(public).unwrap();
        assert_eq!(settings.webhook_authorities.unwrap().roots().len(), 1);
        // Only an endpoint with TLS uses the authorities.
        assert!(table.has_unused_authorities());
        let endpoint = "[[webhooks]]\ntenant = \"acme\"\nname = \"main\"\nsecret = \"CANARY\"\naddress = ";
        for (address, is_unused) in [("http://127.0.0.1:8080/hooks", true), ("https://app.example/hooks", false)] {
            let text = format!("webhook-ca-file = \"ca.pem\"\n{endpoint}\"{address}\"\n");
            assert_eq!(serve(&text).unwrap().has_unused_authorities(), is_unused, "{address}");
        }
    }

    #[test]
    fn a_lone_tenant_may_use_all_instances_and_one_of_several_a_quarter() {
        for (text, tenants, calls, percent) in [
            ("", 0, 100, 25),
            ("", 1, 100, 100),
            ("", 2, 100, 25),
            ("concurrent-calls = 1000", 1, 1_000, 100),
            ("tenant-percent = 25", 1, 100, 25),
            ("tenant-percent = 100", 7, 100, 100),
        ] {
            let limits = serve(text).unwrap().limits(tenants);
            assert_eq!((limits.concurrent_calls, limits.tenant_percent), (calls, percent), "{text} {tenants}");
        }
    }

    #[test]
    fn a_mistake_in_serve_is_named_with_its_place() {
        let public =
            "not https://HOST without a path, such as https://connect.example; http is allowed only on loopback";
        for (text, error) in [
            ("listen = \"4020\"", "serve.listen: not an address with a port, such as 127.0.0.1:4020".to_owned()),
            ("public-address = \"http://connect.example\"", format!("serve.public-address: {public}")),
            (
                "return-addresses = \"https://a\"",
                "serve.return-addresses: not a list of texts; write [\"…\"]".to_owned(),
            ),
            (
                "install-addresses = { 6a = \"http://app.example\" }",
                "serve.install-addresses.6a: not an address such as https://app.example/tiktok-install: it has the scheme \
                 https, or http on loopback, no user, no query, no fragment and no dot segment"
                    .to_owned(),
            ),
            ("sweep-seconds = -1", "serve.sweep-seconds: not a number from 0 to 86400".to_owned()),
            ("shutdown-seconds = 0", "serve.shutdown-seconds: not a number from 1 to 86400".to_owned()),
            ("requests-per-second = \"8\"", "serve.requests-per-second: not a number from 1 to 1000000".to_owned()),
            ("concurrent-calls = 0", "serve.concurrent-calls: not a number from 1 to 1000".to_owned()),
            ("concurrent-calls = 1001", "serve.concurrent-calls: not a number from 1 to 1000".to_owned()),
            ("tenant-percent = 0", "serve.tenant-percent: not a number from 1 to 100".to_owned()),
            ("tenant-percent = 101", "serve.tenant-percent: not a number from 1 to 100".to_owned()),
            ("webhook-ca-file = 7", "serve.webhook-ca-file: not text; write it in quotes".to_owned()),
            (
                "port = 1",
                format!("serve.port: there is no such member; correct or remove it; the members are {MEMBERS}"),
            ),
        ] {
            assert_eq!(serve(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn an_api_key_has_a_name_a_tenant_scopes_and_a_digest() {
        let digest = "0a".repeat(32);
        let whole = format!(
            "[[api-keys]]\nname = \"billing\"\ntenant = \"acme\"\nscopes = [\"read\", \"call\"]\n\
             sha256 = \"{digest}\"\n"
        );
        let [key] = <[ApiKeyEntry; 1]>::try_from(keys(&whole).unwrap()).ok().unwrap();
        assert_eq!((key.name.as_str(), key.tenant.as_str()), ("billing", "acme"));
        assert_eq!((key.scopes, key.digest.to_string()), (vec![Scope::Read, Scope::Call], digest));
        for (member, error) in [
            ("name", "api-keys[0]: no name; api-keys create prints all members"),
            ("tenant", "api-keys[0]: no tenant; api-keys create prints all members"),
            ("scopes", "api-keys[0]: no scopes; api-keys create prints all members"),
            ("sha256", "api-keys[0]: no sha256; api-keys create prints all members"),
        ] {
            let without: String =
                whole.lines().filter(|line| !line.starts_with(member)).map(|line| format!("{line}\n")).collect();
            assert_eq!(keys(&without).unwrap_err(), error);
        }
        for (from, to, error) in [
            ("\"read\", \"call\"", "", "api-keys[0].scopes: empty, so the key would allow nothing; name a scope"),
            ("\"call\"", "\"CANARY\"", "api-keys[0].scopes[1]: not one of: connect, read, call, token, admin"),
            (
                "sha256 = \"0a",
                "sha256 = \"CANARY",
                "api-keys[0].sha256: not a SHA-256 of 64 hexadecimal digits; api-keys create prints it",
            ),
            (
                "name = ",
                "key = ",
                "api-keys[0].key: there is no such member; correct or remove it; the members are name, tenant, scopes, sha256",
            ),
        ] {
            assert_eq!(keys(&whole.replace(from, to)).unwrap_err(), error);
        }
    }
}
