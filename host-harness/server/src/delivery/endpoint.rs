//! The endpoints of platforms, to which the service sends webhooks. Only the configuration names them, never a request.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use serde::{Deserialize, Serialize};
use tiktok_shop_host::TenantId;

use super::secret::SigningSecret;
use crate::address::is_safe_address;

/// The maximum length of the name of an endpoint, in bytes.
const MAX_NAME_BYTES: usize = 64;

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

/// The text is not a type of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a type such as connection.connected or tiktok.1, nor one of the groups connection, tenant and tiktok")]
pub struct InvalidEventType;

/// The types of events that an endpoint gets: a list of types and of groups of types. An empty list means every type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventTypes(Vec<String>);

impl EventTypes {
    /// The groups. The type of an event begins with its group and a full stop.
    pub(crate) const GROUPS: [&str; 3] = ["connection", "tenant", "tiktok"];

    /// Reads a list of types and groups.
    ///
    /// # Errors
    /// An entry is neither a group nor a type of a group.
    pub fn new(entries: Vec<String>) -> Result<Self, InvalidEventType> {
        let is_known = |entry: &String| {
            let (group, rest) = entry.split_once('.').unwrap_or((entry.as_str(), "any"));
            let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            Self::GROUPS.contains(&group) && !rest.is_empty() && rest.bytes().all(is_allowed)
        };
        if entries.iter().all(is_known) { Ok(Self(entries)) } else { Err(InvalidEventType) }
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
        for wrong in ["", "order", "tiktok.", "tiktok.*", "connection.Connected"] {
            assert_eq!(types(&[wrong]), Err(InvalidEventType), "{wrong}");
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
