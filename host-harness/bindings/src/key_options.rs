//! The options that say where the host keys come from.

use std::path::PathBuf;

use serde::Deserialize;
use tiktok_shop_host::Secret;
use tiktok_shop_key_service::{Auth, DEFAULT_PREFIX, KeyService, Options};

use crate::error::BindingError;
use crate::options::SecretText;

/// Where the host keys come from.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum KeyOption {
    /// Keys in the form of the key file.
    Text(SecretText),
    /// A key file, which must exist.
    File(PathBuf),
    /// A key file, which is created if it does not exist. Only for tests and for a first try.
    FileOrNew(PathBuf),
    /// A key service.
    KeyService(Box<KeyServiceOption>),
    /// A key provider in the other language.
    Foreign(ForeignKeyOption),
    /// A new key, which is lost when the process ends. Only for a storage in memory.
    Drawn,
}

/// Where the earlier host keys come from. They wrapped data keys before a key service or a key provider did.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum EarlierKeyOption {
    /// Keys in the form of the key file.
    Text(SecretText),
    /// A key file, which must exist.
    File(PathBuf),
    /// A key service.
    KeyService(Box<KeyServiceOption>),
}

/// The optional functions that a key provider in the other language has.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForeignKeyOption {
    /// Whether it has the function `current_for`. It has this function if each tenant has a host key of its own.
    pub(crate) has_key_per_tenant: bool,
    /// Whether it has the function `destroy`.
    pub(crate) can_destroy: bool,
}

/// How the host authenticates to a key service.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Method {
    Token,
    TokenFile,
    Approle,
    Kubernetes,
}

/// The settings of a key service. They have the names of the table `[key-service]` of the program's configuration file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyServiceOption {
    address: String,
    auth: Method,
    #[serde(default)]
    token: Option<SecretText>,
    #[serde(default)]
    token_file: Option<PathBuf>,
    #[serde(default)]
    auth_mount: Option<String>,
    #[serde(default)]
    role_id: Option<String>,
    #[serde(default)]
    secret_id: Option<SecretText>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    jwt_file: Option<PathBuf>,
    #[serde(default)]
    mount: Option<String>,
    #[serde(default)]
    prefix: Option<String>,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    ca_file: Option<PathBuf>,
}

impl KeyServiceOption {
    /// Returns whether the ids of both services' host keys begin with the same prefix.
    pub(crate) fn has_prefix_of(&self, other: &Self) -> bool {
        let [one, two] = [self, other].map(|option| option.prefix.as_deref().unwrap_or(DEFAULT_PREFIX));
        one == two
    }

    /// Checks the settings, and does not connect to the service. With a fake, `-fake` is appended to the prefix of the
    /// keys, so that no host with a fake uses or deletes the key of a real tenant.
    ///
    /// # Errors
    /// A setting is missing or malformed, or the chosen way to authenticate does not use it. The error contains no
    /// secret.
    pub(crate) fn open(self, has_fake: bool) -> Result<KeyService, BindingError> {
        self.check_unused()?;
        let auth = match self.auth {
            Method::Token => Auth::Token(needed("token", self.token)?.into()),
            Method::TokenFile => Auth::TokenFile(needed("token_file", self.token_file)?),
            Method::Approle => Auth::AppRole {
                mount: self.auth_mount.unwrap_or_else(|| "approle".to_owned()),
                role_id: needed("role_id", self.role_id)?,
                secret_id: Secret::from(needed("secret_id", self.secret_id)?),
            },
            Method::Kubernetes => {
                let mut auth = Auth::kubernetes(needed("role", self.role)?);
                if let Auth::Kubernetes { mount, jwt_file, .. } = &mut auth {
                    *mount = self.auth_mount.unwrap_or_else(|| mount.clone());
                    *jwt_file = self.jwt_file.unwrap_or_else(|| jwt_file.clone());
                }
                auth
            }
        };
        let mut options = Options::new(self.address, auth);
        options.mount = self.mount.unwrap_or(options.mount);
        options.prefix = self.prefix.unwrap_or(options.prefix);
        options.namespace = self.namespace;
        options.ca_file = self.ca_file;
        if has_fake {
            options.prefix.push_str("-fake");
        }
        KeyService::new(options).map_err(|error| BindingError::settings("host-keys", format!("key service: {error}")))
    }

    /// Checks that the chosen way to authenticate uses every given setting. Otherwise an operator could believe that
    /// the host authenticates in another way.
    fn check_unused(&self) -> Result<(), BindingError> {
        let used: &[&str] = match self.auth {
            Method::Token => &["token"],
            Method::TokenFile => &["token_file"],
            Method::Approle => &["auth_mount", "role_id", "secret_id"],
            Method::Kubernetes => &["auth_mount", "role", "jwt_file"],
        };
        let given = [
            ("token", self.token.is_some()),
            ("token_file", self.token_file.is_some()),
            ("auth_mount", self.auth_mount.is_some()),
            ("role_id", self.role_id.is_some()),
            ("secret_id", self.secret_id.is_some()),
            ("role", self.role.is_some()),
            ("jwt_file", self.jwt_file.is_some()),
        ];
        match given.into_iter().find(|(name, is_given)| *is_given && !used.contains(name)) {
            Some((name, _)) => Err(BindingError::arguments(format!(
                "the key service: `{name}` is not used with this `auth`; remove it"
            ))),
            None => Ok(()),
        }
    }
}

fn needed<T>(name: &str, value: Option<T>) -> Result<T, BindingError> {
    value.ok_or_else(|| BindingError::arguments(format!("the key service: this `auth` needs `{name}`")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::options::read;

    fn opened(option: Value) -> Result<KeyService, BindingError> {
        read::<KeyServiceOption>("the options", option)?.open(false)
    }

    #[test]
    fn each_way_to_authenticate_has_its_settings() {
        let address = "https://bao.internal:8200";
        for option in [
            json!({"address": address, "auth": "token", "token": "hvs.token"}),
            json!({"address": address, "auth": "token-file", "token_file": "/run/token"}),
            json!({"address": address, "auth": "approle", "role_id": "connector", "secret_id": "a-secret"}),
            json!({"address": address, "auth": "approle", "role_id": "c", "secret_id": "s", "auth_mount": "platform"}),
            json!({"address": address, "auth": "kubernetes", "role": "connector"}),
            json!({"address": address, "auth": "kubernetes", "role": "connector", "jwt_file": "/run/jwt"}),
            json!({
                "address": address,
                "auth": "token",
                "token": "t",
                "mount": "a/b",
                "prefix": "shop",
                "namespace": "n",
            }),
        ] {
            assert!(opened(option.clone()).is_ok(), "{option}");
        }
    }

    #[test]
    fn a_wrong_setting_is_named_and_a_secret_is_not_shown() {
        let address = "https://bao.internal:8200";
        for (option, code, message) in [
            (
                json!({"address": address, "auth": "approle", "role_id": "c"}),
                "invalid-argument",
                "the key service: this `auth` needs `secret_id`",
            ),
            (
                json!({"address": address, "auth": "token-file", "token_file": "f", "token": "CANARY"}),
                "invalid-argument",
                "the key service: `token` is not used with this `auth`; remove it",
            ),
            (
                json!({"address": address, "auth": "CANARY"}),
                "invalid-argument",
                "the options: `auth` has the wrong type or form: expected one of `token`, `token-file`, `approle`, \
                 `kubernetes`",
            ),
            (
                json!({"address": address, "auth": "token", "token": ["CANARY"]}),
                "invalid-argument",
                "the options: `token` has the wrong type or form",
            ),
            (json!({"auth": "token", "token": "CANARY"}), "invalid-argument", "the options: missing field `address`"),
            (
                json!({"address": "http://10.0.0.1:8200/CANARY", "auth": "token", "token": "CANARY"}),
                "host-keys",
                "key service: address: ",
            ),
            (
                json!({"address": address, "auth": "token", "token": "CANARY", "prefix": "a/b"}),
                "host-keys",
                "key service: prefix: not 1 to 64 letters, digits, - and _ that begin with a letter or a digit",
            ),
            (
                json!({"address": address, "auth": "token", "token": "CANARY", "ca_file": "/nowhere/ca.pem"}),
                "host-keys",
                "key service: ca-file /nowhere/ca.pem: ",
            ),
        ] {
            let error = opened(option).err().unwrap();
            assert_eq!(error.code, code, "{error}");
            assert!(error.message.starts_with(message) && !error.message.contains("CANARY"), "{error}");
        }
    }

    #[test]
    fn with_a_fake_the_keys_have_another_prefix() {
        let option = json!({"address": "https://bao.internal", "auth": "token", "token": "t", "prefix": "shop"});
        let open = |has_fake| read::<KeyServiceOption>("the options", option.clone()).unwrap().open(has_fake).unwrap();
        let tenant = "acme".parse().unwrap();
        assert_eq!(open(false).key_path(&tenant), "transit/keys/shop.acme");
        assert_eq!(open(true).key_path(&tenant), "transit/keys/shop-fake.acme");
    }
}
