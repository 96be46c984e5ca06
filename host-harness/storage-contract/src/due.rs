//! What is due: of all tenants, in order, page by page.

use super::broken::{Broken, ensure, ensure_same};
use super::concurrency::{all, settles};
use super::samples;
use super::trial::{Tenant, Trial};
use tiktok_shop_host::AccountId;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::storage::{Due, StorageError, Swapped};

/// Several pages of a sweep.
const RECORDS: u64 = 2_000;
/// Many are due at the same second, so that the rest of the order counts.
const SECONDS: u64 = 101;
/// In another order as UTF-16, or with a collation.
const TENANTS: [&str; 4] = ["", "\u{ffff}", "\u{10000}", "\0A"];
const CUSTOMERS: [&str; 5] = ["a", "B", "a\0", "a ", "\u{e4}"];

/// What is due by then of this check's tenants, so many at a time. Those of others may be among them.
pub(super) async fn listed(trial: &Trial, now: UnixSeconds, limit: usize, most: usize) -> Result<Vec<Due>, Broken> {
    let mut last = Due { at: trial.before(), tenant: trial.first_tenant()?, key: samples::key("\0", "\0")? };
    let mut own = Vec::new();
    while own.len() < most {
        let page = trial.storage.due(now, Some(&last), limit).await?;
        ensure!(page.len() <= limit, "due listed {}, where {limit} at most were asked for", page.len());
        if page.is_empty() {
            break;
        }
        for due in page {
            ensure!(due > last, "due listed {due:?} after {last:?}");
            ensure!(due.at <= now, "due listed {due:?}, which is not due at {now:?}");
            last.clone_from(&due);
            own.extend(trial.is_own(&due.tenant).then_some(due));
        }
    }
    own.truncate(most);
    Ok(own)
}

pub(super) async fn thousands_that_are_due_are_listed_in_order_page_by_page(trial: &Trial) -> Result<(), Broken> {
    let mut tenants = Vec::new();
    for end in TENANTS {
        tenants.push(trial.tenant_named(end).await?);
    }
    let mut expected = Vec::new();
    let mut writes = Vec::new();
    for ((number, tenant), customer) in (0..RECORDS).zip(tenants.iter().cycle()).zip(CUSTOMERS.iter().cycle()) {
        let at = trial.at(number * 7 % SECONDS);
        // Some are not due at all.
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
        let what = format!("due, {limit} at a time");
        settles(&what, by_now.clone(), || listed(trial, now, limit, usize::MAX)).await?;
    }
    let first: Vec<_> = by_now.iter().take(15).cloned().collect();
    settles("due, one at a time", first, || listed(trial, now, 1, 15)).await?;
    settles("due, all", expected, || listed(trial, trial.end(), 500, usize::MAX)).await?;
    ensure_same!(trial.storage.due(now, None, 0).await?, Vec::new(), "due, of which none were asked for");
    // Others may have some that are due before.
    let from_the_first = || async {
        let page = trial.storage.due(now, None, 10).await?;
        Ok::<_, StorageError>(page.is_sorted().then_some(page.len()))
    };
    settles("how many are due from the first on, if they are in order", Some(10), from_the_first).await
}

pub(super) async fn what_is_no_longer_due_is_not_listed(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let (now, later) = (trial.at(10), trial.at(20));
    // What each is due at after its first write: replaced, no longer due, due later, and deleted.
    let afterwards = [("replaced", Some(now)), ("never", None), ("later", Some(later)), ("stays", Some(now))];
    let due = |account: &str, at| Ok::<_, Broken>(Due { at, tenant: tenant.id.clone(), key: key(account)? });
    for (account, _) in afterwards {
        put(&tenant, account, None, Some(now)).await?;
    }
    put(&tenant, "deleted", None, Some(now)).await?;
    let accounts = ["deleted", "later", "never", "replaced", "stays"];
    let expected = accounts.map(|account| due(account, now)).into_iter().collect::<Result<Vec<_>, _>>()?;
    settles("due", expected, || listed(trial, now, 2, usize::MAX)).await?;

    for (account, at) in afterwards.into_iter().take(3) {
        put(&tenant, account, Some("r1"), at).await?;
    }
    tenant.swap_token(&key("deleted")?, Some("r1"), None).await?;
    let expected = vec![due("replaced", now)?, due("stays", now)?];
    settles("due after swaps", expected.clone(), || listed(trial, now, 1, usize::MAX)).await?;
    let expected = [expected, vec![due("later", later)?]].concat();
    settles("due later", expected, || listed(trial, later, 500, usize::MAX)).await?;
    // One that lost changes nothing.
    let next = samples::token("r3", tenant.sealed("value"), None)?;
    let lost = tenant.storage.swap_token(&tenant.id, &key("stays")?, None, Some(&next)).await?;
    ensure!(matches!(lost, Swapped::Stale(Some(_))), "a creation where a record stands: {lost:?}");
    // Nor does it matter that the last one listed has gone.
    let gone = due("deleted", now)?;
    let after = trial.storage.due(now, Some(&gone), 1).await?;
    ensure!(after.first().is_some_and(|next| *next > gone), "due after one that is gone: {after:?}");
    Ok(())
}

fn key(account: &str) -> Result<tiktok_shop_host::connection::ConnectionKey, Broken> {
    samples::key("customer", AccountId::try_from(account.to_owned())?.as_str())
}

/// The first write is "r1", the second "r2".
async fn put(tenant: &Tenant, account: &str, expected: Option<&str>, at: Option<UnixSeconds>) -> Result<(), Broken> {
    let revision = if expected.is_some() { "r2" } else { "r1" };
    let next = samples::token(revision, tenant.sealed("value"), at)?;
    tenant.swap_token(&key(account)?, expected, Some(&next)).await
}
