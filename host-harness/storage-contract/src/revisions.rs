//! Checks of revisions: the storage keeps each revision as the host gave it.

use super::broken::{Broken, ensure_eq};
use super::concurrency::eventually;
use super::register::{Stored, for_each_kind};
use super::samples::{self, revision_and_row, revision_and_value};
use super::trial::Trial;
use tiktok_shop_host::Revision;
use tiktok_shop_host::storage::{Next, Swapped};

/// The maximum length of a revision.
const MAX_REVISION_BYTES: usize = 64;

pub(super) async fn a_revision_is_returned_unchanged(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let (storage, id) = (&tenant.storage, &tenant.id);
    let key = samples::key("customer", "account")?;
    let ids = samples::ids().into_iter().filter(|id| id.len() <= MAX_REVISION_BYTES);
    let revisions: Vec<_> =
        ids.chain([format!("{:x>MAX_REVISION_BYTES$}", "1"), format!("{:x>MAX_REVISION_BYTES$}", "2")]).collect();
    let mut current: Option<&str> = None;
    for revision in &revisions {
        // This revision differs from the stored revision, but is similar. A storage that confuses the two revisions
        // would delete the record.
        let other: Revision = revision.parse()?;
        let answer = storage.swap_token(id, &key, Some(&other), None).await?;
        let Swapped::Stale(found) = answer else {
            return Err(Broken(format!("a swap that expected {other:?} won although the revision was {current:?}")));
        };
        ensure_eq!(
            found.as_ref().map(|entry| entry.revision.as_str()),
            current,
            "the revision in the answer of a stale swap"
        );
        let token = samples::token(revision, tenant.sealed("value"), None)?;
        tenant.swap_token(&key, current, Some(&token)).await?;
        let row = samples::row(&key);
        let next = Next { revision: revision.parse()?, value: row.stored()? };
        tenant.swap_row(&key, current, Some(&next), &[]).await?;
        let expected = Some((revision.clone(), tenant.sealed("value")));
        eventually("load_token", expected, || async { storage.load_token(id, &key).await.map(revision_and_value) })
            .await?;
        let expected = Some((revision.clone(), row.stored()?));
        eventually("load_row", expected.clone(), || async { storage.load_row(id, &key).await.map(revision_and_row) })
            .await?;
        let listed = || async {
            let mut rows = storage.list_rows(id, &key.customer).await?;
            Ok::<_, Broken>(revision_and_row(rows.pop()))
        };
        eventually("list_rows", expected, listed).await?;
        current = Some(revision);
    }
    Ok(())
}

pub(super) async fn a_record_created_again_has_its_new_revision(trial: &Trial) -> Result<(), Broken> {
    for_each_kind(trial, |register| async move {
        for revision in 1..=3 {
            let stored = Stored { revision, value: 6 };
            ensure_eq!(register.swap(None, Some(stored)).await?, Swapped::Done, "a creation");
            eventually("a load", Some(stored), || register.load()).await?;
            let answer = register.swap(None, Some(Stored::new(100))).await?;
            ensure_eq!(answer, Swapped::Stale(Some(stored)), "a second creation");
            ensure_eq!(register.swap(Some(revision), None).await?, Swapped::Done, "a deletion");
        }
        Ok(())
    })
    .await
}

pub(super) async fn a_repeated_write_is_stale_and_returns_its_own_revision(trial: &Trial) -> Result<(), Broken> {
    for_each_kind(trial, |register| async move {
        let [first, second] = [1, 2].map(Stored::new);
        for (expected, next, after) in
            [(None, Some(first), Some(first)), (Some(1), Some(second), Some(second)), (Some(2), None, None)]
        {
            ensure_eq!(register.swap(expected, next).await?, Swapped::Done, "a swap of {expected:?} to {next:?}");
            for _ in 0..2 {
                let again = register.swap(expected, next).await?;
                ensure_eq!(again, Swapped::Stale(after), "the same swap again, of {expected:?} to {next:?}");
            }
        }
        Ok(())
    })
    .await
}
