//! Checks of the list of due connections of all tenants: the list is in order, and it can be read page by page.

use super::broken::{Broken, ensure, ensure_eq};
use super::concurrency::{all, eventually};
use super::samples;
use super::trial::{Tenant, Trial};
use tiktok_shop_host::connection::{ConnectionKey, UnixSeconds};
use tiktok_shop_host::storage::{Due, StorageError, Swapped};

/// The number of token records, enough for several pages of a sweep.
const RECORDS: u64 = 2_000;
/// The number of different due times. There are fewer due times than records, so many records are due at the same
/// second. The list orders these records by tenant and key.
const SECONDS: u64 = 101;
/// Suffixes of tenant ids. Their order in UTF-16, and in most collations, differs from the byte order.
const TENANTS: [&str; 4] = ["", "\u{ffff}", "\u{10000}", "\0A"];
const CUSTOMERS: [&str; 5] = ["a", "B", "a\0", "a ", "\u{e4}"];

/// Reads the list of connections that are due at `now`, in pages of at most `limit` entries. Returns only the
/// connections of this check's tenants, because the pages may also contain connections of other tenants.
pub(super) async fn listed(trial: &Trial, now: UnixSeconds, limit: usize) -> Result<Vec<Due>, Broken> {
    first_listed(trial, now, limit, usize::MAX).await
}

/// Returns the first `max_entries` connections that [`listed`] would return.
async fn first_listed(trial: &Trial, now: UnixSeconds, limit: usize, max_entries: usize) -> Result<Vec<Due>, Broken> {
    let mut last = Due { at: trial.before(), tenant: trial.first_tenant()?, key: samples::key("\0", "\0")? };
    let mut own = Vec::new();
    while own.len() < max_entries {
        let page = trial.storage.due(now, Some(&last), limit).await?;
        ensure!(page.len() <= limit, "`due` returned {} entries, but the limit is {limit}", page.len());
        if page.is_empty() {
            break;
        }
        for due in page {
            ensure!(due > last, "`due` returned {due:?} after {last:?}");
            ensure!(due.at <= now, "`due` returned {due:?}, which is not due at {now:?}");
            last.clone_from(&due);
            own.extend(trial.is_own(&due.tenant).then_some(due));
        }
    }
    own.truncate(max_entries);
    Ok(own)
}

pub(super) async fn thousands_of_due_connections_are_listed_in_order_page_by_page(trial: &Trial) -> Result<(), Broken> {
    let mut tenants = Vec::new();
    for end in TENANTS {
        tenants.push(trial.tenant_with_suffix(end).await?);
    }
    let mut expected = Vec::new();
    let mut writes = Vec::new();
    for ((number, tenant), customer) in (0..RECORDS).zip(tenants.iter().cycle()).zip(CUSTOMERS.iter().cycle()) {
        let at = trial.at(number * 7 % SECONDS);
        // Every fiftieth record has no due time.
        let at = (!number.is_multiple_of(50)).then_some(at);
        let account = format!("{:03}", (number * 37) % 1_000);
        let key = samples::key(customer, &format!("{account}-{number}"))?;
        writes.push((tenant, key.clone(), samples::token("r", tenant.sealed("value"), at)?));
        expected.extend(at.map(|at| Due { at, tenant: tenant.id.clone(), key }));
    }
    expected.sort();
    all(writes.iter().map(|(tenant, key, next)| tenant.swap_token(key, None, Some(next))).collect()).await?;

    let now = trial.at(SECONDS / 2);
    let by_now: Vec<_> = expected.iter().filter(|due| due.at <= now).cloned().collect();
    for limit in [500, 97, usize::MAX] {
        let what = format!("`due`, {limit} at a time");
        eventually(&what, by_now.clone(), || listed(trial, now, limit)).await?;
    }
    let first: Vec<_> = by_now.iter().take(15).cloned().collect();
    eventually("`due`, one at a time", first, || first_listed(trial, now, 1, 15)).await?;
    eventually("`due` at the end", expected, || listed(trial, trial.end(), 500)).await?;
    ensure_eq!(trial.storage.due(now, None, 0).await?, Vec::new(), "`due` with the limit 0");
    // Records of other tenants may be due, too.
    let counted = || async { Ok::<_, StorageError>(trial.storage.count_due(now).await? >= by_now.len() as u64) };
    eventually("whether `count_due` counts at least the connections of this check", true, counted).await?;
    // Only the order and the length of the first page are checked, because its entries may belong to other tenants.
    let from_the_first = || async {
        let page = trial.storage.due(now, None, 10).await?;
        Ok::<_, StorageError>(page.is_sorted().then_some(page.len()))
    };
    eventually("the number of entries of the first page of `due`, if they are in order", Some(10), from_the_first).await
}

pub(super) async fn connections_that_are_no_longer_due_are_not_listed(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let (now, later) = (trial.at(10), trial.at(20));
    // First, the record of every account becomes due at `now`. Then a second write changes the due time of each account
    // to the time in this list. Only the last account, "stays", gets no second write.
    let second_writes = [("replaced", Some(now)), ("never", None), ("later", Some(later)), ("stays", Some(now))];
    let due = |account: &str, at| Ok::<_, Broken>(Due { at, tenant: tenant.id.clone(), key: key(account)? });
    for (account, _) in second_writes {
        put(&tenant, account, None, Some(now)).await?;
    }
    put(&tenant, "deleted", None, Some(now)).await?;
    let accounts = ["deleted", "later", "never", "replaced", "stays"];
    let expected = accounts.map(|account| due(account, now)).into_iter().collect::<Result<Vec<_>, _>>()?;
    eventually("`due`", expected, || listed(trial, now, 2)).await?;

    for (account, at) in second_writes.into_iter().take(3) {
        put(&tenant, account, Some("r1"), at).await?;
    }
    tenant.swap_token(&key("deleted")?, Some("r1"), None).await?;
    let expected = vec![due("replaced", now)?, due("stays", now)?];
    eventually("`due` after swaps", expected.clone(), || listed(trial, now, 1)).await?;
    let expected = [expected, vec![due("later", later)?]].concat();
    eventually("`due` later", expected, || listed(trial, later, 500)).await?;
    // A stale swap changes nothing.
    let next = samples::token("r3", tenant.sealed("value"), None)?;
    let stale = tenant.storage.swap_token(&tenant.id, &key("stays")?, None, Some(&next)).await?;
    ensure!(matches!(stale, Swapped::Stale(Some(_))), "a creation of a record that exists answered {stale:?}");
    // The list must also continue after an entry that no longer exists.
    let gone = due("deleted", now)?;
    let after = trial.storage.due(now, Some(&gone), 1).await?;
    ensure!(after.first().is_some_and(|next| *next > gone), "`due` behind an entry that no longer exists: {after:?}");
    Ok(())
}

fn key(account: &str) -> Result<ConnectionKey, Broken> {
    samples::key("customer", account)
}

/// Writes a token record with this due time. The record gets the revision "r1" if it is new, and "r2" if it replaces
/// another record.
async fn put(tenant: &Tenant, account: &str, expected: Option<&str>, at: Option<UnixSeconds>) -> Result<(), Broken> {
    let revision = if expected.is_some() { "r2" } else { "r1" };
    let next = samples::token(revision, tenant.sealed("value"), at)?;
    tenant.swap_token(&key(account)?, expected, Some(&next)).await
}
