//! The operations on keys: status, check, rotation, host keys of a file, erasure of a tenant.

use serde::Deserialize;
use serde_json::{Value, json};
use tiktok_shop_host::seal::{Destruction, KeyFile, Keyring};
use tiktok_shop_host::{HostKeyId, TenantId};

use crate::error::BindingError;
use crate::request::Reply;

type Outcome = Result<Reply, BindingError>;

pub(crate) async fn status(keyring: &Keyring) -> Outcome {
    let status = keyring.status().await?;
    let keys = status.keys.iter().map(|key| {
        json!({
            "tenant": key.tenant.as_str(),
            "key": key.key.as_str(),
            "host_key": key.host_key.as_ref().map(HostKeyId::as_str),
            "current": key.current.as_ref().map(HostKeyId::as_str),
            "records": key.records,
        })
    });
    let keys = Value::from_iter(keys);
    Ok(json!({ "current": status.current.as_str(), "is_rotated": status.is_rotated(), "keys": keys }).into())
}

pub(crate) async fn check(keyring: &Keyring) -> Outcome {
    keyring.check_data_keys().await?;
    Ok(Reply::default())
}

pub(crate) async fn rotate(keyring: &Keyring) -> Outcome {
    let rotated = keyring.rotate(Keyring::GRACE, |_| {}).await?;
    let value = json!({
        "tenants": rotated.tenants,
        "added": rotated.added,
        "rewrapped": rotated.rewrapped,
        "resealed": rotated.resealed,
        "removed": rotated.removed,
        "unopened": rotated.unopened,
    });
    Ok(value.into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfHostKey {
    host_key: HostKeyId,
}

fn file_error(error: tiktok_shop_host::seal::KeyFileError) -> BindingError {
    BindingError::settings("host-keys", error.to_string())
}

pub(crate) fn add_host_key(file: &KeyFile) -> Outcome {
    let id = file.add().map_err(file_error)?;
    Ok(json!({ "host_key": id.as_str() }).into())
}

pub(crate) fn promote_host_key(file: &KeyFile, a: OfHostKey) -> Outcome {
    file.promote(&a.host_key).map_err(file_error)?;
    Ok(Reply::default())
}

pub(crate) async fn retire(keyring: &Keyring, file: &KeyFile, a: OfHostKey) -> Outcome {
    keyring.retire(file, &a.host_key).await?;
    Ok(Reply::default())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfTenant {
    tenant: TenantId,
}

pub(crate) async fn erase(keyring: &Keyring, a: OfTenant) -> Outcome {
    // The host key comes first: the data keys show whether it belongs to this database, and the erasure deletes them.
    let destruction = keyring.destroy_host_key(&a.tenant).await?;
    let (host_key, next) = match destruction {
        Destruction::Destroyed => ("destroyed", None),
        Destruction::NotAllowed { next, .. } => ("not-allowed", Some(next)),
        Destruction::NotPossible => ("shared", None),
    };
    let erased = keyring.erase_existing(&a.tenant).await?.map(|erased| {
        json!({
            "keys": erased.keys,
            "connections": erased.connections,
            "others": erased.others,
            "host_key": host_key,
            "next": next,
        })
    });
    Ok(Value::from(erased).into())
}
