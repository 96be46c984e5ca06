//! Revisions: the host's, kept as given.

use super::broken::{Broken, ensure_same};
use super::concurrency::settles;
use super::register::{Stored, of_each_kind};
use super::samples::{self, ageless, revised};
use super::trial::Trial;
use tiktok_shop_host::Revision;
use tiktok_shop_host::storage::{Next, Swapped};

/// So long a revision may be.
const LONGEST: usize = 64;

pub(super) async fn a_revision_is_kept_as_given(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let (storage, id) = (&tenant.storage, &tenant.id);
    let key = samples::key("customer", "account")?;
    let ids = samples::ids().into_iter().filter(|id| id.len() <= LONGEST);
    let revisions: Vec<_> = ids.chain([format!("{:x>LONGEST$}", "1"), format!("{:x>LONGEST$}", "2")]).collect();
    let mut stands: Option<&str> = None;
    for revision in &revisions {
        // The next one looks like it and is another.
        let other: Revision = revision.parse()?;
        let answer = storage.swap_token(id, &key, Some(&other), None).await?;
        let Swapped::Stale(found) = answer else {
            return Err(Broken(format!("a swap won that expected {other:?} where {stands:?} stands")));
        };
        ensure_same!(found.as_ref().map(|entry| entry.revision.as_str()), stands, "the revision in a lost swap");
        let token = samples::token(revision, tenant.sealed("value"), None)?;
        tenant.swap_token(&key, stands, Some(&token)).await?;
        let row = samples::row(&key);
        let next = Next { revision: revision.parse()?, value: row.clone() };
        tenant.swap_row(&key, stands, Some(&next), &[]).await?;
        let expected = Some((revision.clone(), tenant.sealed("value")));
        settles("load_token", expected, || async { storage.load_token(id, &key).await.map(ageless) }).await?;
        let expected = Some((revision.clone(), row));
        settles("load_row", expected.clone(), || async { storage.load_row(id, &key).await.map(revised) }).await?;
        let listed = || async {
            let mut rows = storage.list_rows(id, &key.customer).await?;
            Ok::<_, Broken>(revised(rows.pop()))
        };
        settles("list_rows", expected, listed).await?;
        stands = Some(revision);
    }
    Ok(())
}

pub(super) async fn a_record_made_anew_has_its_new_revision(trial: &Trial) -> Result<(), Broken> {
    of_each_kind(trial, |register| async move {
        for revision in 1..=3 {
            let stored = Stored { revision, value: 6 };
            ensure_same!(register.swap(None, Some(stored)).await?, Swapped::Done, "a creation");
            settles("a load", Some(stored), || register.load()).await?;
            let answer = register.swap(None, Some(Stored::new(100))).await?;
            ensure_same!(answer, Swapped::Stale(Some(stored)), "a second creation");
            ensure_same!(register.swap(Some(revision), None).await?, Swapped::Done, "a deletion");
        }
        Ok(())
    })
    .await
}

pub(super) async fn a_write_that_is_repeated_finds_its_own_revision(trial: &Trial) -> Result<(), Broken> {
    of_each_kind(trial, |register| async move {
        let [first, second] = [1, 2].map(Stored::new);
        for (expected, next, after) in
            [(None, Some(first), Some(first)), (Some(1), Some(second), Some(second)), (Some(2), None, None)]
        {
            ensure_same!(register.swap(expected, next).await?, Swapped::Done, "a swap of {expected:?} for {next:?}");
            for _ in 0..2 {
                let again = register.swap(expected, next).await?;
                ensure_same!(again, Swapped::Stale(after), "the same swap again, of {expected:?} for {next:?}");
            }
        }
        Ok(())
    })
    .await
}
