//! Reads the settings of a key service from the table `[key-service]` of the configuration file. The secrets in the
//! environment win over the secrets in the table.

use std::path::{Path, PathBuf};

use tiktok_shop_host::Secret;
use tiktok_shop_key_service::{Auth, KeyService, Options, SetupError};
use toml::Table;

use super::configured_text::Rule;
use super::environment::{KEY_SERVICE_SECRET_ID, KEY_SERVICE_TOKEN, variable};
use super::fake::FakeAddress;
use super::toml_value::{text_of, unknown};
use crate::failure::Failure;

/// The members that the table may have with every way to authenticate.
const SHARED: &str = "address, mount, prefix, namespace, ca-file, auth";

/// The ways to authenticate, for error texts.
const WAYS: &str = "token, token-file, approle or kubernetes";

/// The content of the table `[key-service]`, without the secrets of the environment.
pub(crate) struct KeyServiceTable {
    /// The configuration file, for error texts.
    file: PathBuf,
    address: String,
    mount: Option<String>,
    prefix: Option<String>,
    namespace: Option<String>,
    ca_file: Option<PathBuf>,
    /// The parts of the authentication that are in the table.
    credentials: TableCredentials,
}

/// The parts of the authentication that are in the table.
enum TableCredentials {
    Token(Option<Secret>),
    AppRole {
        mount: String,
        role_id: String,
        secret_id: Option<Secret>,
    },
    /// The table contains the whole authentication. No environment variable belongs to it.
    Complete(Auth),
}

impl KeyServiceTable {
    /// Parses the table of this configuration file. A relative path starts at the folder of the file. An error names
    /// the table by `place` and quotes no value.
    pub(super) fn parse(table: &Table, place: &str, file: &Path) -> Result<Self, String> {
        let folder = file.parent().unwrap_or_else(|| Path::new(""));
        let cleaned = |name: &str, rule| -> Result<Option<String>, String> {
            let value = table.get(name).map(|value| text_of(value, &format!("{place}.{name}"), rule)).transpose()?;
            Ok(value.map(str::to_owned))
        };
        let text = |name: &str| cleaned(name, Rule::VisibleAscii);
        let missing = |name: &str| format!("{place}.{name}: missing; add it");
        let needed = |name: &str| text(name)?.ok_or_else(|| missing(name));
        let secret = |name: &str| Ok::<_, String>(text(name)?.map(Secret::from));
        let path = |name: &str| Ok::<_, String>(cleaned(name, Rule::OneLine)?.map(|path| folder.join(path)));
        let auth = text("auth")?.ok_or_else(|| format!("{place}.auth: missing; set it to {WAYS}"))?;
        let own: &[&str] = match auth.as_str() {
            "token" => &["token"],
            "token-file" => &["token-file"],
            "approle" => &["auth-mount", "role-id", "secret-id"],
            "kubernetes" => &["auth-mount", "role", "jwt-file"],
            _ => return Err(format!("{place}.auth: not {WAYS}")),
        };
        let is_known = |name: &str| SHARED.split(", ").chain(own.iter().copied()).any(|known| known == name);
        if let Some(name) = table.keys().find(|name| !is_known(name)) {
            let known = format!("{SHARED}, and with this auth {}", own.join(", "));
            return Err(unknown(&format!("{place}.{name}"), &known));
        }
        let credentials = match auth.as_str() {
            "token" => TableCredentials::Token(secret("token")?),
            "approle" => TableCredentials::AppRole {
                mount: text("auth-mount")?.unwrap_or_else(|| "approle".to_owned()),
                role_id: needed("role-id")?,
                secret_id: secret("secret-id")?,
            },
            "token-file" => {
                let path = path("token-file")?.ok_or_else(|| missing("token-file"))?;
                TableCredentials::Complete(Auth::TokenFile(path))
            }
            _ => {
                let mut auth = Auth::kubernetes(needed("role")?);
                if let Auth::Kubernetes { mount, jwt_file, .. } = &mut auth {
                    *mount = text("auth-mount")?.unwrap_or_else(|| mount.clone());
                    *jwt_file = path("jwt-file")?.unwrap_or_else(|| jwt_file.clone());
                }
                TableCredentials::Complete(auth)
            }
        };
        Ok(Self {
            file: file.to_owned(),
            address: needed("address")?,
            mount: text("mount")?,
            prefix: text("prefix")?,
            namespace: text("namespace")?,
            ca_file: path("ca-file")?,
            credentials,
        })
    }

    /// Opens the key service of the configuration file. Returns `None` if the file names no key service. With a fake,
    /// the names of the keys begin with another prefix, so that no command for a fake uses or deletes the key of a real
    /// tenant.
    ///
    /// # Errors
    /// A setting is malformed. Or the environment contains a secret of a key service, but no key service is configured:
    /// the secret would have no effect, and other host keys would be used.
    pub(super) fn open_if_configured(
        table: Option<Self>,
        fake: Option<FakeAddress>,
    ) -> Result<Option<KeyService>, Failure> {
        if let Some(table) = table {
            return table.open(fake).map(Some);
        }
        for name in [KEY_SERVICE_TOKEN, KEY_SERVICE_SECRET_ID] {
            if variable(name)?.is_some() {
                return Err(Failure::Malformed(format!(
                    "{name} is set, but no key service is configured; add [key-service] to the configuration file, or \
                     unset the variable"
                )));
            }
        }
        Ok(None)
    }

    /// Reads the secrets of the environment, and checks the settings. Does not connect to the service.
    fn open(self, fake: Option<FakeAddress>) -> Result<KeyService, Failure> {
        let Self { file, address, mount, prefix, namespace, ca_file, credentials } = self;
        let secret = |name: &'static str, in_table: Option<Secret>, member: &str| {
            let missing = || {
                let file = file.display();
                format!("configuration {file}: key-service.{member}: missing; set {name}, or add it")
            };
            let secret = variable(name)?.map(Secret::from).or(in_table);
            secret.ok_or_else(|| Failure::Malformed(missing()))
        };
        let auth = match credentials {
            TableCredentials::Token(token) => Auth::Token(secret(KEY_SERVICE_TOKEN, token, "token")?),
            TableCredentials::AppRole { mount, role_id, secret_id } => {
                let secret_id = secret(KEY_SERVICE_SECRET_ID, secret_id, "secret-id")?;
                Auth::AppRole { mount, role_id, secret_id }
            }
            TableCredentials::Complete(auth) => auth,
        };
        let mut options = Options::new(address, auth);
        options.mount = mount.unwrap_or(options.mount);
        options.prefix = prefix.unwrap_or(options.prefix);
        options.namespace = namespace;
        options.ca_file = ca_file;
        if fake.is_some() {
            options.prefix.push_str("-fake");
        }
        let malformed =
            |error: SetupError| Failure::Malformed(format!("configuration {}: key-service: {error}", file.display()));
        KeyService::new(options).map_err(malformed)
    }
}
