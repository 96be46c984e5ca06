//! The endpoints of platforms, to which the service sends webhooks. Only the configuration names them, never a request.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use serde::{Deserialize, Serialize};
use tiktok_shop_host::TenantId;
use tiktok_shop_host::events::EventKind;

use super::secret::SigningSecret;
use crate::address::is_safe_address;

/// The maximum length of the name of an endpoint, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// The group of the lifecycle events that concern a connection.
pub(super) const CONNECTION: &str = "connection";
/// The group of the lifecycle events that concern the whole tenant.
pub(super) const TENANT: &str = "tenant";
/// The group of the events of TikTok Shop.
pub(super) const TIKTOK: &str = "tiktok";

/// Returns the type of the lifecycle events with this name: `connection.shops_linked` for `shops-linked`.
pub(super) fn lifecycle_type(group: &str, name: &str) -> String {
    format!("{group}.{}", name.replace('-', "_"))
}

/// The text is not the name of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a name of 1 to 64 lower-case letters, digits and hyphens")]
pub struct InvalidEndpointName;

/// The name of an endpoint of a tenant. The storage keeps deliveries by this name, so an endpoint can get another
/// address. 1 to 64 lower-case letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EndpointName(String);

impl EndpointName {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for EndpointName {
    type Error = InvalidEndpointName;

    fn try_from(text: String) -> Result<Self, InvalidEndpointName> {
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_name = !text.is_empty() && text.len() <= MAX_NAME_BYTES && text.bytes().all(is_allowed);
        if is_name { Ok(Self(text)) } else { Err(InvalidEndpointName) }
    }
}

impl FromStr for EndpointName {
    type Err = InvalidEndpointName;

    fn from_str(text: &str) -> Result<Self, InvalidEndpointName> {
        Self::try_from(text.to_owned())
    }
}

impl From<EndpointName> for String {
    fn from(name: EndpointName) -> Self {
        name.0
    }
}

impl fmt::Display for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not the address of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an address such as https://app.example/webhooks: it has the scheme https, or http on loopback, no user, no \
     fragment and no dot segment"
)]
pub struct InvalidEndpointAddress;

/// The address of an endpoint: `https`, or `http` on loopback. It may be in a private network, because only an operator
/// can configure it.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointAddress(Uri);

impl EndpointAddress {
    pub(crate) const fn uri(&self) -> &Uri {
        &self.0
    }

    /// Returns the whole address. Its path and its query may be secret.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.0.to_string()
    }

    /// Returns the scheme, the host and the port. They are not secret.
    pub(crate) fn origin(&self) -> String {
        let authority = self.0.authority().map(ToString::to_string).unwrap_or_default();
        format!("{}://{authority}", self.0.scheme_str().unwrap_or_default())
    }
}

impl FromStr for EndpointAddress {
    type Err = InvalidEndpointAddress;

    fn from_str(text: &str) -> Result<Self, InvalidEndpointAddress> {
        let uri = text.parse().ok().filter(|_| is_safe_address(text));
        uri.map(Self).ok_or(InvalidEndpointAddress)
    }
}

impl fmt::Debug for EndpointAddress {
    /// Shows the origin only, because a platform may have put a secret into the path or the query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin())
    }
}

/// The text is neither a type of event nor a group of types. The error lists what is allowed, and does not repeat the
/// text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEventType {
    /// The text begins with no group.
    #[error("not a type such as connection.connected or tiktok.1, nor one of the groups connection, tenant and tiktok")]
    Group,
    /// No event of a connection has this type.
    #[error("not one of the types of the group connection: {}", types_of(CONNECTION, EventKind::CONNECTION_NAMES))]
    Connection,
    /// No event of a tenant has this type.
    #[error("not one of the types of the group tenant: {}", types_of(TENANT, EventKind::TENANT_NAMES))]
    Tenant,
    /// Behind `tiktok.`, there is no number that TikTok Shop could give to a type.
    #[error("not tiktok.N, where N is TikTok Shop's number of a type without leading zeros, such as tiktok.1")]
    TikTok,
}

/// Returns the types of a group of lifecycle events, for an error text.
fn types_of(group: &str, names: &[&str]) -> String {
    names.iter().map(|name| lifecycle_type(group, name)).collect::<Vec<_>>().join(", ")
}

/// Checks that an entry is a group or a type of a group. TikTok Shop may add types, so every number is allowed that
/// [`Webhook::event_type`](tiktok_shop_host::webhook::Webhook::event_type) can have.
fn check_type(entry: &str) -> Result<(), InvalidEventType> {
    if EventTypes::GROUPS.contains(&entry) {
        return Ok(());
    }
    let (group, rest) = entry.split_once('.').unwrap_or_default();
    let is_one_of = |names: &[&str]| names.iter().any(|name| lifecycle_type(group, name) == entry);
    let (is_type, error) = match group {
        CONNECTION => (is_one_of(EventKind::CONNECTION_NAMES), InvalidEventType::Connection),
        TENANT => (is_one_of(EventKind::TENANT_NAMES), InvalidEventType::Tenant),
        TIKTOK => (rest.parse::<u32>().is_ok_and(|number| number.to_string() == rest), InvalidEventType::TikTok),
        _ => (false, InvalidEventType::Group),
    };
    if is_type { Ok(()) } else { Err(error) }
}

/// The types of events that an endpoint gets: a list of types and of groups of types. An empty list means every type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventTypes(Vec<String>);

impl EventTypes {
    /// The groups. The type of an event begins with its group and a full stop.
    const GROUPS: [&str; 3] = [CONNECTION, TENANT, TIKTOK];

    /// Reads a list of types and groups.
    ///
    /// # Errors
    /// An entry is neither a group nor a type of a group.
    pub fn new(entries: Vec<String>) -> Result<Self, InvalidEventType> {
        entries.iter().try_for_each(|entry| check_type(entry))?;
        Ok(Self(entries))
    }

    /// Returns the list. Empty: every type.
    pub(crate) fn entries(&self) -> &[String] {
        &self.0
    }

    /// Returns whether an event of this type is wanted.
    pub(crate) fn contain(&self, event_type: &str) -> bool {
        let group = event_type.split('.').next().unwrap_or(event_type);
        self.0.is_empty() || self.0.iter().any(|entry| entry == event_type || entry == group)
    }
}

/// An endpoint of a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The tenant whose events it gets.
    pub tenant: TenantId,
    /// Its name, which is unique within the tenant.
    pub name: EndpointName,
    /// Where it listens.
    pub address: EndpointAddress,
    /// The secret with which every webhook is signed.
    pub secret: SigningSecret,
    /// A second secret with which every webhook is signed as well, while the secret is being replaced.
    pub previous_secret: Option<SigningSecret>,
    /// The types of events that it gets.
    pub types: EventTypes,
}

/// Two configured endpoints of a tenant have the same name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the tenant {0} has two endpoints with the name {1}; rename one of them")]
pub struct DuplicateEndpoint(TenantId, EndpointName);

/// The configured endpoints of all tenants.
#[derive(Debug, Clone, Default)]
pub struct Endpoints(Vec<Endpoint>);

impl Endpoints {
    /// Checks the configured endpoints.
    ///
    /// # Errors
    /// Two endpoints of a tenant have the same name. Their deliveries could not be told apart.
    pub fn new(endpoints: Vec<Endpoint>) -> Result<Self, DuplicateEndpoint> {
        for (number, endpoint) in endpoints.iter().enumerate() {
            let is_same = |other: &&Endpoint| other.tenant == endpoint.tenant && other.name == endpoint.name;
            if endpoints.iter().take(number).any(|other| is_same(&other)) {
                return Err(DuplicateEndpoint(endpoint.tenant.clone(), endpoint.name.clone()));
            }
        }
        Ok(Self(endpoints))
    }

    /// Returns the endpoints.
    pub fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_or_on_loopback_and_debug_shows_no_path() {
        for good in ["https://app.example/hooks?a=b", "http://127.0.0.1:3000/", "https://10.0.0.7:8443/x"] {
            assert!(good.parse::<EndpointAddress>().is_ok(), "{good}");
        }
        for bad in ["http://app.example/", "https://u:p@app.example/", "ftp://app.example", "/x", "https://a/../b", ""]
        {
            assert_eq!(bad.parse::<EndpointAddress>(), Err(InvalidEndpointAddress), "{bad}");
        }
        let shown = format!("{:?}", "https://app.example:8443/CANARY?CANARY".parse::<EndpointAddress>().unwrap());
        assert_eq!(shown, "https://app.example:8443");
    }

    #[test]
    fn an_endpoint_gets_the_types_and_groups_of_its_list() {
        let types = |entries: &[&str]| EventTypes::new(entries.iter().map(|&entry| entry.to_owned()).collect());
        let some = types(&["connection", "tiktok.1"]).unwrap();
        let wanted =
            ["connection.connected", "tiktok.1", "tiktok.11", "tenant.keys_rotated"].map(|it| some.contain(it));
        assert_eq!(wanted, [true, true, false, false]);
        assert!(types(&[]).unwrap().contain("tiktok.11"));
    }

    #[test]
    fn every_entry_is_a_group_or_a_type_that_an_event_can_have() {
        use InvalidEventType::{Connection, Group, Tenant, TikTok};
        let types = |entry: &str| EventTypes::new(vec![entry.to_owned()]);
        let of_connection = EventKind::CONNECTION_NAMES.iter().map(|name| lifecycle_type("connection", name));
        let of_tenant = EventKind::TENANT_NAMES.iter().map(|name| lifecycle_type("tenant", name));
        let others = ["connection", "tenant", "tiktok", "connection.shops_linked", "tenant.tenant_erased", "tiktok.0"];
        let others = others.into_iter().chain(["tiktok.1", "tiktok.4294967295"]).map(str::to_owned);
        for good in of_connection.chain(of_tenant).chain(others) {
            assert!(types(&good).is_ok_and(|types| types.contain(&good)), "{good}");
        }
        for (wrong, error) in [
            ("", Group),
            (".", Group),
            ("order", Group),
            ("Connection", Group),
            (" connection", Group),
            ("connections.connected", Group),
            ("webhook.test", Group),
            ("connection.", Connection),
            ("connection.conected", Connection),
            ("connection.Connected", Connection),
            ("connection.connected.", Connection),
            ("connection.revoked", Connection),
            ("connection.shops-linked", Connection),
            ("connection.keys_rotated", Connection),
            ("connection.*", Connection),
            ("tenant.erased", Tenant),
            ("tenant.connected", Tenant),
            ("tiktok.", TikTok),
            ("tiktok.*", TikTok),
            ("tiktok.order", TikTok),
            ("tiktok.01", TikTok),
            ("tiktok.+1", TikTok),
            ("tiktok.-1", TikTok),
            ("tiktok.1.5", TikTok),
            ("tiktok.4294967296", TikTok),
        ] {
            assert_eq!(types(wrong), Err(error), "{wrong}");
        }
        let (good, wrong) = ("tiktok.1".to_owned(), "tiktok.order".to_owned());
        assert_eq!(EventTypes::new(vec![good, wrong]), Err(TikTok), "every entry is checked");
    }

    #[test]
    fn the_error_lists_the_types_of_the_group() {
        for (error, text) in [
            (
                InvalidEventType::Group,
                "not a type such as connection.connected or tiktok.1, nor one of the groups connection, tenant and \
                 tiktok",
            ),
            (
                InvalidEventType::Connection,
                "not one of the types of the group connection: connection.install_begun, connection.install_cancelled, \
                 connection.connected, connection.consent_renewed, connection.shops_linked, connection.shops_unlinked, \
                 connection.shops_lost, connection.shops_regained, connection.refresh_forced, connection.token_shown, \
                 connection.grant_exported, \
                 connection.authorization_ending, connection.reauthorization_required, connection.recovered, \
                 connection.disconnected, connection.notice",
            ),
            (
                InvalidEventType::Tenant,
                "not one of the types of the group tenant: tenant.host_key_added, tenant.host_key_promoted, \
                 tenant.keys_rotated, tenant.host_key_retired, tenant.tenant_erased",
            ),
            (
                InvalidEventType::TikTok,
                "not tiktok.N, where N is TikTok Shop's number of a type without leading zeros, such as tiktok.1",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn a_name_occurs_once_in_a_tenant() {
        let endpoint = |tenant: &str, name: &str| Endpoint {
            tenant: tenant.parse().unwrap(),
            name: name.parse().unwrap(),
            address: "https://app.example".parse().unwrap(),
            secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap(),
            previous_secret: None,
            types: EventTypes::default(),
        };
        assert!(Endpoints::new(vec![endpoint("a", "main"), endpoint("b", "main"), endpoint("a", "second")]).is_ok());
        let error = Endpoints::new(vec![endpoint("a", "main"), endpoint("a", "main")]).unwrap_err().to_string();
        assert_eq!(error, "the tenant a has two endpoints with the name main; rename one of them");
        for wrong in ["", "Main", "a b", &"a".repeat(65)] {
            assert_eq!(wrong.parse::<EndpointName>(), Err(InvalidEndpointName), "{wrong}");
        }
    }
}
