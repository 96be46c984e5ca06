//! A provider of host keys that is an object of the other language.
//!
//! The object gets and returns JSON. The data key, the wrapped key and the context are hexadecimal digits here, and the
//! packages convert them to bytes of their language. The files `host-harness/node/lib/keys.d.cts` and
//! `host-harness/python/python/tiktok_shop_connector/keys.py` list the functions.
//!
//! No text of an error contains a value that the object gets or returns.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::engine::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tiktok_shop_host::seal::{DataKey, Destruction, KeyError, KeyProvider};
use tiktok_shop_host::storage::WrappedKey;
use tiktok_shop_host::{HostKeyId, TenantId};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::foreign::{Foreign, WaitsFor, one_line};
use crate::key_options::ForeignKeyOption;

/// The longest time that a function of the object may take: 8 s, as for a key service. It is shorter than the 10 s that
/// the storage of a host has for each read and save.
const TIMEOUT: Duration = Duration::from_secs(8);
/// The maximum length of a wrapped key: 16 KiB. Key services return some hundred bytes.
const MAX_WRAPPED_BYTES: usize = 16 * 1024;
/// The id in an error about the host key of a tenant, because the object does not say the id of this host key.
const NAMELESS: &str = "key-of-the-tenant";

/// A provider of host keys that is an object of the other language.
pub(crate) struct ForeignKeys {
    object: Arc<dyn Foreign>,
    functions: ForeignKeyOption,
}

/// A wrapped data key, as the object returns it.
#[derive(Deserialize)]
struct WrappedAnswer {
    host_key: HostKeyId,
    bytes: String,
}

/// The result of `destroy`, as the object returns it.
#[derive(Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
enum DestroyAnswer {
    Destroyed,
    NotAllowed { key: String, next: String },
    NotPossible,
}

impl ForeignKeys {
    pub(crate) fn new(object: Arc<dyn Foreign>, functions: ForeignKeyOption) -> Self {
        Self { object, functions }
    }

    /// Calls a function of the object, and reads its result. `host_key` is the host key that an error names, if it is
    /// known, and `form` says what the function must return.
    async fn ask<T: DeserializeOwned>(
        &self,
        function: &'static str,
        arguments: Value,
        host_key: Option<&HostKeyId>,
        form: &str,
    ) -> Result<T, KeyError> {
        let unavailable = |why| KeyError::Unavailable { key: host_key.cloned(), why };
        let answer = timeout(TIMEOUT, self.object.call(function, arguments, WaitsFor::Result)).await;
        let late = |_| unavailable(format!("{} of the key provider took longer than {TIMEOUT:?}", shown(function)));
        match answer.map_err(late)? {
            // The error of the parser is not shown, because it may contain a data key.
            Ok(answer) => T::deserialize(answer).map_err(|_| unavailable(other_form(function, form))),
            Err(error) => Err(match (error.code.as_deref(), host_key) {
                (Some("host-key-unknown"), Some(id)) => KeyError::Unknown(id.clone()),
                (Some("host-key-mismatch"), Some(id)) => KeyError::Mismatch(id.clone()),
                (Some("host-key-unknown"), None) => unavailable("the key provider has no such host key".to_owned()),
                (Some("host-key-mismatch"), None) => {
                    unavailable(format!("{} of the key provider failed with a mismatch", shown(function)))
                }
                (Some("host-key-unavailable") | None, _) => unavailable(error.text()),
                // The text belongs to an error that this package does not know, so it may contain a data key.
                (Some(_), _) => unavailable(format!("{} of the key provider failed", shown(function))),
            }),
        }
    }

    /// Returns the result of `destroy` for an object that can't destroy a host key. If each tenant has a host key of its
    /// own, its administrator must destroy it.
    async fn kept(&self, tenant: &TenantId) -> Result<Destruction, KeyError> {
        if !self.functions.has_key_per_tenant {
            return Ok(Destruction::NotPossible);
        }
        match self.current_for(tenant).await {
            Ok(id) => {
                let next = "destroy this host key in the key service, if no other database needs it".to_owned();
                Ok(Destruction::NotAllowed { key: id.as_str().to_owned(), next })
            }
            Err(KeyError::Unknown(_)) => Ok(Destruction::Destroyed),
            Err(error) => Err(error),
        }
    }
}

fn other_form(function: &str, form: &str) -> String {
    format!("{} of the key provider must return {form}", shown(function))
}

/// Returns the name of a function for an error text. The name of `current_for` is different in each language.
fn shown(function: &str) -> &str {
    if function == "current_for" { "current (for a tenant)" } else { function }
}

/// Returns the id that an error about the tenant's host key names. `None` if all tenants have the same host keys.
fn of_tenant(functions: ForeignKeyOption) -> Option<HostKeyId> {
    functions.has_key_per_tenant.then(|| NAMELESS.parse().ok()).flatten()
}

/// Returns whether a wrapped key contains the data key: as bytes, as hexadecimal digits or in Base64.
fn shows(wrapped: &WrappedKey, key: &DataKey) -> bool {
    let digits = Zeroizing::new(hex::encode(key.expose()));
    let base64 = Zeroizing::new(BASE64.encode(key.expose()));
    let safe = Zeroizing::new(base64.replace('+', "-").replace('/', "_"));
    let contains = |text: &[u8], part: &[u8]| text.windows(part.len()).any(|at| at == part);
    [wrapped.bytes.as_slice(), wrapped.host_key.as_str().as_bytes()].into_iter().any(|text| {
        let lower = Zeroizing::new(text.to_ascii_lowercase());
        contains(text, key.expose())
            || contains(&lower, digits.as_bytes())
            || contains(text, base64.as_bytes())
            || contains(text, safe.as_bytes())
    })
}

#[async_trait]
impl KeyProvider for ForeignKeys {
    async fn current(&self) -> Result<HostKeyId, KeyError> {
        self.ask("current", json!({}), None, HOST_KEY).await
    }

    async fn current_for(&self, tenant: &TenantId) -> Result<HostKeyId, KeyError> {
        if !self.functions.has_key_per_tenant {
            return self.current().await;
        }
        let arguments = json!({ "tenant": tenant.as_str() });
        self.ask("current_for", arguments, of_tenant(self.functions).as_ref(), HOST_KEY).await
    }

    async fn wrap(&self, tenant: &TenantId, key: &DataKey, context: &[u8]) -> Result<WrappedKey, KeyError> {
        const FORM: &str = "the id of a host key, and 1 to 16384 bytes";
        let arguments = json!({
            "tenant": tenant.as_str(),
            "data_key": hex::encode(key.expose()),
            "context": hex::encode(context),
        });
        let answer = self.ask("wrap", arguments, of_tenant(self.functions).as_ref(), FORM).await?;
        let WrappedAnswer { host_key, bytes } = answer;
        let unavailable = |why| KeyError::Unavailable { key: of_tenant(self.functions), why };
        let is_valid = |bytes: &Vec<u8>| (1..=MAX_WRAPPED_BYTES).contains(&bytes.len());
        let bytes = hex::decode(bytes).ok().filter(is_valid);
        let wrapped = WrappedKey { host_key, bytes: bytes.ok_or_else(|| unavailable(other_form("wrap", FORM)))? };
        if shows(&wrapped, key) {
            // Otherwise the storage would contain the data key beside the values that are sealed with it.
            return Err(unavailable("wrap of the key provider returned the data key unencrypted".to_owned()));
        }
        Ok(wrapped)
    }

    async fn unwrap(&self, tenant: &TenantId, wrapped: &WrappedKey, context: &[u8]) -> Result<DataKey, KeyError> {
        const FORM: &str = "32 bytes";
        let WrappedKey { host_key, bytes } = wrapped;
        let arguments = json!({
            "tenant": tenant.as_str(),
            "wrapped": { "host_key": host_key.as_str(), "bytes": hex::encode(bytes) },
            "context": hex::encode(context),
        });
        let digits: Zeroizing<String> = self.ask::<String>("unwrap", arguments, Some(host_key), FORM).await?.into();
        let mut key = Zeroizing::new([0; 32]);
        let other = |_| KeyError::Unavailable { key: Some(host_key.clone()), why: other_form("unwrap", FORM) };
        hex::decode_to_slice(digits.as_bytes(), key.as_mut_slice()).map_err(other)?;
        Ok(DataKey::new(*key))
    }

    async fn destroy(&self, tenant: &TenantId, wrapped_by: &[HostKeyId]) -> Result<Destruction, KeyError> {
        if !self.functions.can_destroy {
            return self.kept(tenant).await;
        }
        let wrapped_by: Vec<_> = wrapped_by.iter().map(HostKeyId::as_str).collect();
        let arguments = json!({ "tenant": tenant.as_str(), "wrapped_by": wrapped_by });
        let form = "`destroyed`, `not-allowed` with `key` and `next`, or `not-possible` as its `outcome`";
        match self.ask("destroy", arguments, of_tenant(self.functions).as_ref(), form).await {
            Ok(DestroyAnswer::Destroyed) => Ok(Destruction::Destroyed),
            Ok(DestroyAnswer::NotAllowed { key, next }) => {
                Ok(Destruction::NotAllowed { key: one_line(&key), next: one_line(&next) })
            }
            Ok(DestroyAnswer::NotPossible) => Ok(Destruction::NotPossible),
            // An earlier call has destroyed the host key, and its answer was lost.
            Err(KeyError::Unknown(_)) => Ok(Destruction::Destroyed),
            Err(error) => Err(error),
        }
    }

    fn has_key_per_tenant(&self) -> bool {
        self.functions.has_key_per_tenant
    }
}

/// What `current` and `current_for` must return.
const HOST_KEY: &str = "the id of a host key: 1 to 256 visible ASCII characters";

#[cfg(test)]
mod tests;
