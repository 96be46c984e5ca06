//! The endpoints to which the service sends webhooks: the list `[[serve.webhooks]]` of the configuration file.

use std::path::{Path, PathBuf};

use tiktok_shop_host::{Secret, TenantId};
use tiktok_shop_private_file::Access;
use tiktok_shop_server::delivery::{Endpoint, EndpointAddress, EndpointName, EventTypes, SigningSecret};
use toml::Value;

use super::configured_text::Rule;
use super::secret_file;
use super::serve::parsed;
use super::toml_value::{table_of, text_of, unknown};

/// The members of each endpoint.
const MEMBERS: &str = "tenant, name, address, secret, secret-file, previous-secret, previous-secret-file, types";
/// The maximum size of the file of a secret: 4 KiB.
const MAX_SECRET_BYTES: u64 = 4096;

/// Where a secret is.
#[derive(Debug, Clone)]
enum SecretPlace {
    /// In the configuration file.
    Value(Secret),
    /// In a file of its own, for example one that an orchestrator mounts.
    File(PathBuf),
}

/// An endpoint before its secrets are read.
#[derive(Debug, Clone)]
pub(super) struct ConfiguredEndpoint {
    /// The place in the configuration, for error texts.
    place: String,
    tenant: TenantId,
    name: EndpointName,
    address: EndpointAddress,
    secret: SecretPlace,
    previous_secret: Option<SecretPlace>,
    types: EventTypes,
}

/// Parses the list of a configuration file in `folder`.
pub(super) fn endpoints(value: &Value, place: &str, folder: &Path) -> Result<Vec<ConfiguredEndpoint>, String> {
    let tables = value
        .as_array()
        .ok_or_else(|| format!("{place}: not a list of tables; write [[{place}]] above each endpoint"))?;
    tables.iter().enumerate().map(|(number, value)| endpoint(value, &format!("{place}[{number}]"), folder)).collect()
}

fn endpoint(value: &Value, place: &str, folder: &Path) -> Result<ConfiguredEndpoint, String> {
    let (mut tenant, mut name, mut address, mut types) = (None, None, None, EventTypes::default());
    let (mut secret, mut previous_secret) = (None, None);
    for (member, value) in table_of(value, place)? {
        let place = format!("{place}.{member}");
        let (slot, is_file) = match member.as_str() {
            "tenant" => {
                let text = text_of(value, &place, Rule::OneLine)?;
                tenant = Some(text.parse::<TenantId>().map_err(|error| format!("{place}: {error}"))?);
                continue;
            }
            "name" => {
                name = Some(parsed::<EndpointName>(value, &place)?);
                continue;
            }
            "address" => {
                address = Some(parsed::<EndpointAddress>(value, &place)?);
                continue;
            }
            "types" => {
                types = event_types(value, &place)?;
                continue;
            }
            "secret" => (&mut secret, false),
            "secret-file" => (&mut secret, true),
            "previous-secret" => (&mut previous_secret, false),
            "previous-secret-file" => (&mut previous_secret, true),
            _ => return Err(unknown(&place, MEMBERS)),
        };
        if slot.is_some() {
            return Err(format!("{place}: the secret is named twice, as a value and as a file; remove one of them"));
        }
        *slot = Some(if is_file {
            SecretPlace::File(folder.join(text_of(value, &place, Rule::OneLine)?))
        } else {
            SecretPlace::Value(text_of(value, &place, Rule::VisibleAscii)?.into())
        });
    }
    let missing = |member: &str| format!("{place}: no {member}; add it");
    let secret = secret.ok_or_else(|| format!("{place}: no secret; webhook-secret prints one"))?;
    Ok(ConfiguredEndpoint {
        place: place.to_owned(),
        tenant: tenant.ok_or_else(|| missing("tenant"))?,
        name: name.ok_or_else(|| missing("name"))?,
        address: address.ok_or_else(|| missing("address"))?,
        secret,
        previous_secret,
        types,
    })
}

fn event_types(value: &Value, place: &str) -> Result<EventTypes, String> {
    let values = value.as_array().ok_or_else(|| format!("{place}: not a list of texts; write [\"…\"]"))?;
    let entry = |(number, value): (usize, &Value)| {
        let place = format!("{place}[{number}]");
        let text = text_of(value, &place, Rule::VisibleAscii)?.to_owned();
        EventTypes::new(vec![text.clone()]).map_err(|error| format!("{place}: {error}"))?;
        Ok(text)
    };
    let entries = values.iter().enumerate().map(entry).collect::<Result<_, String>>()?;
    EventTypes::new(entries).map_err(|error| format!("{place}: {error}"))
}

impl ConfiguredEndpoint {
    pub(super) fn uses_tls(&self) -> bool {
        self.address.to_text().starts_with("https:")
    }

    /// Reads the secrets.
    pub(super) fn with_secrets(&self, access: Access) -> Result<Endpoint, String> {
        let read = |place: &SecretPlace, member: &str| self.read(place, member, access);
        Ok(Endpoint {
            tenant: self.tenant.clone(),
            name: self.name.clone(),
            address: self.address.clone(),
            secret: read(&self.secret, "secret")?,
            previous_secret: self.previous_secret.as_ref().map(|place| read(place, "previous-secret")).transpose()?,
            types: self.types.clone(),
        })
    }

    fn read(&self, place: &SecretPlace, member: &str, access: Access) -> Result<SigningSecret, String> {
        let (text, place) = match place {
            SecretPlace::Value(secret) => (secret.clone(), format!("{}.{member}", self.place)),
            SecretPlace::File(path) => {
                let place = format!("{}.{member}-file", self.place);
                let text = secret_file::read(path, MAX_SECRET_BYTES, access);
                (text.map_err(|error| format!("{place}: {error}"))?.into(), place)
            }
        };
        text.expose().trim().parse().map_err(|error| format!("{place}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use tiktok_shop_private_file as private_file;
    use toml::Table;

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn read(text: &str, folder: &Path) -> Result<Vec<Endpoint>, String> {
        let table: Table = toml::from_str(text).unwrap();
        let configured = endpoints(&table["webhooks"], "serve.webhooks", folder)?;
        configured.iter().map(|configured| configured.with_secrets(Access::Owner)).collect()
    }

    fn whole() -> String {
        format!(
            "[[webhooks]]\ntenant = \"acme\"\nname = \"main\"\naddress = \"https://app.example/hooks\"\n\
             secret = \"{SECRET}\"\ntypes = [\"connection\", \"tiktok.1\"]\n"
        )
    }

    #[test]
    fn an_endpoint_has_a_tenant_a_name_an_address_and_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        private_file::touch(&path).unwrap();
        std::fs::write(&path, format!("{SECRET}\n")).unwrap();
        let text = format!("{}previous-secret-file = \"secret\"\n", whole());
        let [endpoint] = <[Endpoint; 1]>::try_from(read(&text, folder.path()).unwrap()).unwrap();
        assert_eq!((endpoint.tenant.as_str(), endpoint.name.as_str()), ("acme", "main"));
        assert_eq!(endpoint.previous_secret, Some(endpoint.secret));
        for member in ["tenant", "name", "address"] {
            let lines = whole();
            let without: Vec<_> = lines.lines().filter(|line| !line.starts_with(member)).collect();
            let error = read(&without.join("\n"), folder.path()).unwrap_err();
            assert_eq!(error, format!("serve.webhooks[0]: no {member}; add it"));
        }
    }

    #[test]
    fn a_mistake_is_named_with_its_place_and_quotes_no_value() {
        let folder = tempfile::tempdir().unwrap();
        let address = "not an address such as https://app.example/webhooks: it has the scheme https, or http on loopback, \
                       no user, no fragment and no dot segment";
        let secret = "not whsec_ and the base64 of 24 to 64 bytes; webhook-secret prints one";
        for (from, to, error) in [
            ("https://app", "http://CANARY", format!("serve.webhooks[0].address: {address}")),
            ("\"main\"", "\"CANARY 1\"", "serve.webhooks[0].name: contains a space".to_owned()),
            ("\"main\"", "\"CANARY\"", "serve.webhooks[0].name: not a name of 1 to 64".to_owned()),
            (SECRET, "CANARY", format!("serve.webhooks[0].secret: {secret}")),
            ("secret =", "secret-file =", "serve.webhooks[0].secret-file: there is no file ".to_owned()),
            ("secret =", "secret-file = \"x\"\nsecret =", "serve.webhooks[0].secret".to_owned()),
            ("tiktok.1", "order", "serve.webhooks[0].types[1]: not a type such as connection.connected".to_owned()),
            (
                "\"connection\"",
                "\"connection.CANARY\"",
                "serve.webhooks[0].types[0]: not one of the types of the group connection: connection.install_begun, "
                    .to_owned(),
            ),
            ("tiktok.1", "tiktok.CANARY", "serve.webhooks[0].types[1]: not tiktok.N, where N is".to_owned()),
            ("types =", "events =", "serve.webhooks[0].events: there is no such member".to_owned()),
            ("[[webhooks]]", "[webhooks]", "serve.webhooks: not a list of tables; write [[serve.webhooks]]".to_owned()),
        ] {
            let found = read(&whole().replace(from, to), folder.path()).unwrap_err();
            assert!(found.starts_with(&error) && !found.contains("CANARY"), "{found}");
        }
    }
}
