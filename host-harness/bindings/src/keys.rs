//! The operations on keys: status, checks, rotation, host keys of a file, erasure of a tenant.

use std::future::pending;

use serde::Deserialize;
use serde_json::{Value, json};
use tiktok_shop_host::seal::{Destruction, HostKeyCheck, KeyError, KeyFile, Keyring, RotationStep};
use tiktok_shop_host::{HostKeyId, TenantId};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckHostKeys {
    /// The tenants with which the host works. `None` means all tenants.
    tenants: Option<Vec<TenantId>>,
}

/// Checks which host keys open the stored data keys.
pub(crate) async fn check_host_keys(keyring: &Keyring, a: CheckHostKeys) -> Outcome {
    let check = match a.tenants {
        Some(tenants) => keyring.check_host_keys(&tenants).await?,
        None => keyring.check_host_keys_of_all(&[]).await?,
    };
    Ok(host_key_check(&check).into())
}

fn host_key_check(check: &HostKeyCheck) -> Value {
    let unusable = check.unusable.iter().map(|(host_key, error)| {
        json!({ "host_key": host_key.as_str(), "reason": reason(error), "message": error.to_string() })
    });
    json!({
        "usable": check.usable.iter().map(HostKeyId::as_str).collect::<Vec<_>>(),
        "unusable": unusable.collect::<Vec<_>>(),
        "fits_nothing": check.fits_nothing(),
        "nothing_available": check.nothing_available().is_some(),
        "found_no_data_key": check.found_no_data_key(),
    })
}

const fn reason(error: &KeyError) -> &'static str {
    match error {
        KeyError::Unavailable { .. } => "unavailable",
        KeyError::Unknown(_) => "unknown",
        KeyError::Mismatch(_) => "mismatch",
    }
}

/// Rotates the keys. If the host is closed before or during the pause of the rotation, the rotation ends at this pause.
/// The next rotation continues there.
///
/// # Errors
/// See [`Keyring::rotate`]. `host-closed` means that the rotation has ended at its pause.
pub(crate) async fn rotate(keyring: &Keyring, closing: impl Future<Output = ()>) -> Outcome {
    let (pause, paused) = oneshot::channel();
    let mut pause = Some(pause);
    let on_step = |step| {
        if let RotationStep::Waiting(grace) = step
            && let Some(pause) = pause.take()
        {
            // The receiver exists until the rotation has ended.
            let _ = pause.send(Instant::now() + grace);
        }
    };
    let closed_during_pause = async {
        let is_closed = match paused.await {
            Ok(end) => timeout_at(end, closing).await.is_ok(),
            Err(_) => false,
        };
        // After its pause, the rotation removes data keys, and a rotation that removes keys is not stopped.
        if !is_closed {
            pending::<()>().await;
        }
    };
    let rotated = tokio::select! {
        rotated = keyring.rotate(Keyring::GRACE, on_step) => rotated?,
        () = closed_during_pause => {
            let text = "this host was closed during the pause of the rotation; the next rotation continues there";
            return Err(BindingError { message: text.to_owned(), ..BindingError::closed() });
        }
    };
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

pub(crate) async fn add_host_key(keyring: &Keyring, file: &KeyFile) -> Outcome {
    let id = keyring.add_host_key(file).await?;
    Ok(json!({ "host_key": id.as_str() }).into())
}

pub(crate) async fn promote_host_key(keyring: &Keyring, file: &KeyFile, a: OfHostKey) -> Outcome {
    keyring.promote(file, &a.host_key).await?;
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

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::Arc;
    use std::time::Duration;

    use tiktok_shop_host::clock::SystemClock;
    use tiktok_shop_host::randomness::SystemRandomness;
    use tiktok_shop_host::seal::{DataKey, HostKeys};
    use tiktok_shop_host::storage::{HostStorage, MemoryStorage};

    use super::*;

    fn tenant(id: &str) -> TenantId {
        id.parse().unwrap()
    }

    /// A keyring with host keys of these ids. The first one is the current one.
    fn keyring(storage: &Arc<dyn HostStorage>, ids: &[&str]) -> Keyring {
        let key = |id: &&str| (id.parse().unwrap(), DataKey::new([u8::try_from(id.len()).unwrap(); 32]));
        let keys = HostKeys::new(ids.iter().map(key)).unwrap();
        Keyring::new(Arc::clone(storage), Arc::new(keys), Arc::new(SystemRandomness))
    }

    /// A storage with a data key of the tenant `one` that the host key `old` wraps.
    async fn storage() -> Arc<dyn HostStorage> {
        let storage: Arc<dyn HostStorage> = Arc::new(MemoryStorage::new(Arc::new(SystemClock::new())));
        keyring(&storage, &["old"]).ensure_key(&tenant("one")).await.unwrap();
        storage
    }

    async fn checked(storage: &Arc<dyn HostStorage>, ids: &[&str], tenants: Option<&[&str]>) -> Value {
        let tenants = tenants.map(|tenants| tenants.iter().map(|id| tenant(id)).collect());
        check_host_keys(&keyring(storage, ids), CheckHostKeys { tenants }).await.unwrap().value
    }

    #[tokio::test]
    async fn the_check_names_the_host_keys_that_open_data_keys_and_those_that_do_not() {
        let storage = storage().await;
        let usable = json!({
            "usable": ["old"],
            "unusable": [],
            "fits_nothing": false,
            "nothing_available": false,
            "found_no_data_key": false,
        });
        let unknown = "key-unavailable(old): no host key of that name is here";
        let unusable = json!({
            "usable": [],
            "unusable": [{ "host_key": "old", "reason": "unknown", "message": unknown }],
            "fits_nothing": true,
            "nothing_available": false,
            "found_no_data_key": false,
        });
        for tenants in [None, Some(["one"].as_slice()), Some(["new"].as_slice())] {
            assert_eq!(checked(&storage, &["newer", "old"], tenants).await, usable, "{tenants:?}");
            assert_eq!(checked(&storage, &["newer"], tenants).await, unusable, "{tenants:?}");
        }
        let empty: Arc<dyn HostStorage> = Arc::new(MemoryStorage::new(Arc::new(SystemClock::new())));
        assert_eq!(checked(&empty, &["newer"], None).await["found_no_data_key"], true);
    }

    #[tokio::test]
    async fn without_tenants_the_broken_key_of_one_tenant_does_not_decide() {
        let storage = storage().await;
        keyring(&storage, &["newer"]).ensure_key(&tenant("two")).await.unwrap();
        assert_eq!(checked(&storage, &["newer"], None).await["fits_nothing"], false);
        assert_eq!(checked(&storage, &["newer"], Some(&["one"])).await["fits_nothing"], true);
    }

    #[test]
    fn each_reason_has_a_word() {
        let host_key: HostKeyId = "old".parse().unwrap();
        for (error, word) in [
            (KeyError::Unavailable { key: None, why: "away".to_owned() }, "unavailable"),
            (KeyError::Unknown(host_key.clone()), "unknown"),
            (KeyError::Mismatch(host_key.clone()), "mismatch"),
        ] {
            assert_eq!(reason(&error), word);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rotation_ends_at_its_pause_if_the_host_is_closed_and_the_next_one_continues() {
        let storage = storage().await;
        let keys = keyring(&storage, &["newer", "old"]);
        let began = Instant::now();
        let error = rotate(&keys, ready(())).await.unwrap_err();
        assert_eq!((error.code.as_str(), began.elapsed()), ("host-closed", Duration::ZERO));
        // The new data key exists, and the earlier one stays until the next rotation.
        assert_eq!(keys.status().await.unwrap().keys.len(), 2);
        let rotated = rotate(&keys, pending()).await.unwrap().value;
        assert_eq!((&rotated["added"], &rotated["removed"]), (&json!(0), &json!(1)));
        assert_eq!(began.elapsed(), Keyring::GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rotation_ends_when_the_host_is_closed_during_its_pause_and_not_after_it() {
        let storage = storage().await;
        let after = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
        let error = rotate(&keyring(&storage, &["newer", "old"]), after(5)).await.unwrap_err();
        assert_eq!(error.code, "host-closed");
        rotate(&keyring(&storage, &["newer", "old"]), after(1_000)).await.unwrap();
    }
}
