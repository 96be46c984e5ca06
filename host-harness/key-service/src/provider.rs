//! Wraps and unwraps data keys with the transit engine of the key service.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};
use tiktok_shop_host::seal::{DataKey, Destruction, KeyError, KeyProvider};
use tiktok_shop_host::storage::WrappedKey;
use tiktok_shop_host::{HostKeyId, TenantId};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::address::Address;
use crate::auth::Auth;
use crate::client::{ApiRequest, Client, Repeat};
use crate::error::{ServiceError, SetupError};
use crate::key_name::{KeyName, Prefix};
use crate::options::Options;
use crate::session::Session;

/// The type of the keys that the host creates.
const KEY_TYPE: &str = "aes256-gcm96";
/// The types of keys that bind a wrapped key to its associated data.
const AEAD_TYPES: [&str; 4] = ["aes128-gcm96", KEY_TYPE, "chacha20-poly1305", "xchacha20-poly1305"];

/// Host keys in the transit engine of OpenBao or HashiCorp Vault. Each tenant has a key of its own, which the host
/// creates when it wraps the tenant's first data key.
///
/// The host sends the context of a data key as `associated_data`. So the service unwraps a data key only for the tenant
/// and the id with which it was wrapped. Vault has this parameter since version 1.13.
///
/// The current version of a tenant's key wraps new data keys. After the key was rotated in the service,
/// [`Keyring::rotate`](tiktok_shop_host::seal::Keyring::rotate) moves the tenant to the new version.
#[derive(Clone)]
pub struct KeyService {
    inner: Arc<Inner>,
}

struct Inner {
    client: Arc<Client>,
    session: Arc<Session>,
    mount: String,
    prefix: Prefix,
    timeout: Duration,
}

impl KeyService {
    /// Creates a provider. It connects to the service when it is first used. Use the provider in a tokio runtime,
    /// because a tokio task renews the provider's token.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn new(options: Options) -> Result<Self, SetupError> {
        let Options { address, auth, mount, prefix, namespace, ca_file, attempt_timeout, timeout } = options;
        let address = Address::parse(&address)?;
        let prefix = Prefix::parse(&prefix).ok_or(SetupError::Prefix)?;
        let auth_mount = match &auth {
            Auth::Token(_) | Auth::TokenFile(_) => "token",
            Auth::AppRole { mount, .. } | Auth::Kubernetes { mount, .. } => mount,
        };
        if !is_mount(&mount) || !is_mount(auth_mount) {
            return Err(SetupError::Mount);
        }
        let client = Arc::new(Client::new(address, namespace.as_deref(), ca_file.as_deref(), attempt_timeout)?);
        let session = Session::new(Arc::clone(&client), auth);
        Ok(Self { inner: Arc::new(Inner { client, session, mount, prefix, timeout }) })
    }

    /// Returns true if this id has the form of a host key's id in this service. The key itself may have been deleted.
    #[must_use]
    pub fn owns(&self, host_key: &HostKeyId) -> bool {
        self.inner.prefix.owns(host_key)
    }

    /// Returns the path of the tenant's key in the service, as the commands of the service name it:
    /// `transit/keys/tiktok-shop.acme`.
    #[must_use]
    pub fn key_path(&self, tenant: &TenantId) -> String {
        self.inner.key_path(&self.inner.prefix.key(tenant))
    }
}

impl fmt::Debug for KeyService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { client, mount, prefix, .. } = &*self.inner;
        f.debug_struct("KeyService")
            .field("address", &client.authority())
            .field("mount", mount)
            .field("prefix", prefix)
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn key_path(&self, key: &KeyName) -> String {
        format!("{}/keys/{}", self.mount, key.as_str())
    }

    /// Sends a request with the host's token. If the service refuses the token, sends the request again with a new
    /// token.
    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ServiceError> {
        let token = self.session.token().await?;
        let asker = self.session.auth().method();
        let (repeat, token) = (Repeat::Always, Some(&token));
        let request = ApiRequest { method: method.clone(), path, token, body, repeat, asker };
        match (self.client.send(&request).await, token) {
            (Err(denied @ ServiceError::Denied { .. }), Some(token)) => {
                let Some(token) = self.session.after_refusal(token).await? else { return Err(denied) };
                let again = ApiRequest { method, path, token: Some(&token), body, repeat, asker };
                self.client.send(&again).await.inspect_err(|error| {
                    if matches!(error, ServiceError::Denied { .. }) {
                        self.session.was_refused_again();
                    }
                })
            }
            (answer, _) => answer,
        }
    }

    /// Returns the newest version of a key. `None` if the service has no such key.
    async fn newest_version(&self, key: &KeyName) -> Result<Option<u64>, ServiceError> {
        let answer = match self.ask(Method::GET, &self.key_path(key), None).await {
            Ok(answer) => answer,
            Err(ServiceError::NoKey) => return Ok(None),
            Err(error) => return Err(error),
        };
        let data = answer.get("data");
        let member = |name| data.and_then(|data| data.get(name));
        let key_type = member("type").and_then(Value::as_str).unwrap_or_default();
        if !AEAD_TYPES.contains(&key_type) || member("derived").and_then(Value::as_bool) == Some(true) {
            return Err(ServiceError::KeyType(key_type.chars().filter(char::is_ascii_graphic).take(40).collect()));
        }
        if member("soft_deleted").and_then(Value::as_bool) == Some(true) {
            return Err(ServiceError::SoftDeleted);
        }
        let version = member("latest_version").and_then(Value::as_u64);
        version.map(Some).ok_or(ServiceError::Malformed("a key has no latest_version"))
    }

    async fn create(&self, key: &KeyName) -> Result<(), ServiceError> {
        let body = json!({ "type": KEY_TYPE, "exportable": false, "allow_plaintext_backup": false });
        self.ask(Method::POST, &self.key_path(key), Some(&body)).await.map(drop)
    }

    async fn encrypt(&self, key: &KeyName, data_key: &DataKey, context: &[u8]) -> Result<WrappedKey, ServiceError> {
        // The host first checks that the key exists, and creates a missing key itself. Otherwise the service would
        // create the missing key, with another type.
        if self.newest_version(key).await?.is_none() {
            self.create(key).await?;
            self.newest_version(key).await?;
        }
        let path = format!("{}/encrypt/{}", self.mount, key.as_str());
        let plaintext = Zeroizing::new(STANDARD.encode(data_key.expose()));
        let mut body = json!({ "plaintext": *plaintext, "associated_data": STANDARD.encode(context) });
        let answer = self.ask(Method::POST, &path, Some(&body)).await;
        forget(&mut body, "plaintext");
        let answer = answer?;
        let ciphertext = answer.get("data").and_then(|data| data.get("ciphertext")).and_then(Value::as_str);
        let ciphertext = ciphertext.ok_or(ServiceError::Malformed("it contains no ciphertext"))?;
        let host_key = version_of(ciphertext).and_then(|version| key.version(version));
        let host_key = host_key.ok_or(ServiceError::Malformed("the ciphertext names no version"))?;
        Ok(WrappedKey { host_key, bytes: ciphertext.as_bytes().to_vec() })
    }

    async fn decrypt(&self, key: &KeyName, ciphertext: &str, context: &[u8]) -> Result<DataKey, ServiceError> {
        let path = format!("{}/decrypt/{}", self.mount, key.as_str());
        let body = json!({ "ciphertext": ciphertext, "associated_data": STANDARD.encode(context) });
        let mut answer = self.ask(Method::POST, &path, Some(&body)).await?;
        let malformed = ServiceError::Malformed("it contains no plaintext of 32 bytes");
        let data = answer.get_mut("data").ok_or_else(|| malformed.clone())?;
        let plaintext = data.get("plaintext").and_then(Value::as_str).map(|text| STANDARD.decode(text));
        forget(data, "plaintext");
        let plaintext = plaintext.and_then(Result::ok).map(Zeroizing::new).ok_or_else(|| malformed.clone())?;
        let bytes: [u8; 32] = plaintext.as_slice().try_into().map_err(|_| malformed)?;
        Ok(DataKey::new(bytes))
    }

    /// Deletes a key. First sends the deletion without setting `deletion_allowed`, so that nothing changes if the host
    /// may not delete keys.
    async fn delete(&self, key: &KeyName) -> Result<(), ServiceError> {
        let path = self.key_path(key);
        if self.newest_version(key).await?.is_none() {
            return Ok(());
        }
        match self.ask(Method::DELETE, &path, None).await {
            Err(ServiceError::Failed { status: 400, .. }) => {}
            deleted => return deleted.map(drop),
        }
        let allow = json!({ "deletion_allowed": true });
        self.ask(Method::POST, &format!("{path}/config"), Some(&allow)).await?;
        self.ask(Method::DELETE, &path, None).await.map(drop)
    }

    /// Runs a task with the time limit [`Options::timeout`]. Converts the task's error into a [`KeyError`].
    async fn within_deadline<T>(
        &self,
        host_key: Option<&HostKeyId>,
        task: impl Future<Output = Result<T, ServiceError>> + Send,
    ) -> Result<T, KeyError> {
        let done = timeout(self.timeout, task).await.unwrap_or(Err(ServiceError::Late));
        done.map_err(|error| match (error, host_key) {
            (ServiceError::NoKey, Some(id)) => KeyError::Unknown(id.clone()),
            (ServiceError::WrongKey, Some(id)) => KeyError::Mismatch(id.clone()),
            (error, id) => {
                let why = format!("the key service at {} {error}", self.client.authority());
                KeyError::Unavailable { key: id.cloned(), why }
            }
        })
    }
}

#[async_trait]
impl KeyProvider for KeyService {
    /// Returns the id that names the keys of all tenants together: `tiktok-shop.*`. Logs in if the host has no token.
    async fn current(&self) -> Result<HostKeyId, KeyError> {
        let inner = &*self.inner;
        inner.within_deadline(None, inner.session.token()).await?;
        let no_id = || KeyError::Unavailable { key: None, why: "the prefix of the keys is malformed".to_owned() };
        inner.prefix.all().ok_or_else(no_id)
    }

    async fn current_for(&self, tenant: &TenantId) -> Result<HostKeyId, KeyError> {
        let (inner, key) = (&*self.inner, self.inner.prefix.key(tenant));
        let id = async {
            let version = inner.newest_version(&key).await?.ok_or(ServiceError::NoKey)?;
            key.version(version).ok_or(ServiceError::Malformed("the version of a key is too long"))
        };
        inner.within_deadline(key.as_str().parse().ok().as_ref(), id).await
    }

    async fn wrap(&self, tenant: &TenantId, key: &DataKey, context: &[u8]) -> Result<WrappedKey, KeyError> {
        let (inner, name) = (&*self.inner, self.inner.prefix.key(tenant));
        inner.within_deadline(name.as_str().parse().ok().as_ref(), inner.encrypt(&name, key, context)).await
    }

    async fn unwrap(&self, tenant: &TenantId, wrapped: &WrappedKey, context: &[u8]) -> Result<DataKey, KeyError> {
        let WrappedKey { host_key, bytes } = wrapped;
        let (inner, name) = (&*self.inner, self.inner.prefix.key(tenant));
        if !inner.prefix.owns(host_key) {
            return Err(KeyError::Unknown(host_key.clone()));
        }
        let ciphertext = str::from_utf8(bytes).ok().filter(|text| {
            let version = version_of(text);
            version.is_some() && version == name.version_of(host_key)
        });
        let ciphertext = ciphertext.ok_or_else(|| KeyError::Mismatch(host_key.clone()))?;
        inner.within_deadline(Some(host_key), inner.decrypt(&name, ciphertext, context)).await
    }

    async fn destroy(&self, tenant: &TenantId, wrapped_by: &[HostKeyId]) -> Result<Destruction, KeyError> {
        let (inner, name) = (&*self.inner, self.inner.prefix.key(tenant));
        let path = self.key_path(tenant);
        if !wrapped_by.iter().any(|id| name.version_of(id).is_some()) {
            // For example, the tenant began after a move to another provider, so this service never had a key of it. If
            // the service can't say that, the erasure goes on all the same, and somebody else must look.
            if let Ok(None) = inner.within_deadline(None, inner.newest_version(&name)).await {
                return Ok(Destruction::Destroyed);
            }
            let next = format!(
                "this database has no data key under {path}; if no other database needs it, an administrator of the key \
                 service can run: bao write {path}/config deletion_allowed=true, then bao delete {path}"
            );
            return Ok(Destruction::NotAllowed { key: path, next });
        }
        let deletion = async {
            match inner.delete(&name).await {
                Err(ServiceError::Denied { .. }) => {
                    let next = format!(
                        "an administrator of the key service must run: bao write {path}/config deletion_allowed=true, \
                         then bao delete {path}"
                    );
                    Ok(Destruction::NotAllowed { key: path, next })
                }
                Ok(()) | Err(ServiceError::NoKey) => Ok(Destruction::Destroyed),
                Err(error) => Err(error),
            }
        };
        inner.within_deadline(name.as_str().parse().ok().as_ref(), deletion).await
    }

    fn has_key_per_tenant(&self) -> bool {
        true
    }
}

/// Returns the version that a ciphertext of the service names: `vault:v3:…`.
fn version_of(ciphertext: &str) -> Option<u64> {
    ciphertext.strip_prefix("vault:v")?.split_once(':')?.0.parse().ok()
}

/// Zeroes a secret text in JSON.
fn forget(json: &mut Value, member: &str) {
    if let Some(Value::String(text)) = json.get_mut(member) {
        zeroize::Zeroize::zeroize(text);
    }
}

/// Returns whether a text is the path of a mount.
fn is_mount(text: &str) -> bool {
    let is_part = |part: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(is_allowed)
    };
    text.split('/').all(is_part)
}
