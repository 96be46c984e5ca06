//! Checks of the list of endings. It contains the working connections of all tenants, each with the time when its
//! authorization ends.

use super::broken::{Broken, ensure, ensure_eq};
use super::concurrency::{all, eventually};
use super::samples::{self, Sample};
use super::trial::{Tenant, Trial};
use tiktok_shop_host::connection::{ConnectionStatus, ReauthorizationReason, UnixSeconds};
use tiktok_shop_host::storage::{Ending, Next, StorageError};

/// Reads the list of connections whose authorization ends at `by` or earlier, in pages of at most `limit` entries.
/// Returns only the connections of this check's tenants, because the pages may also contain connections of other
/// tenants.
pub(super) async fn listed(trial: &Trial, by: UnixSeconds, limit: usize) -> Result<Vec<Ending>, Broken> {
    let (at, tenant, key) = (trial.before(), trial.first_tenant()?, samples::key("\0", "\0")?);
    let mut last = Ending { at, tenant, key, grant: String::new() };
    let mut own = Vec::new();
    loop {
        let page = trial.storage.endings(by, Some(&last), limit).await?;
        ensure!(page.len() <= limit, "`endings` returned {} entries, but the limit is {limit}", page.len());
        if page.is_empty() {
            return Ok(own);
        }
        for ending in page {
            ensure!(ending > last, "`endings` returned {ending:?} after {last:?}");
            ensure!(ending.at <= by, "`endings` returned {ending:?}, which ends after {by:?}");
            last.clone_from(&ending);
            own.extend(trial.is_own(&ending.tenant).then_some(ending));
        }
    }
}

async fn put(tenant: &Tenant, row: &Sample, expected: Option<&str>, revision: &str) -> Result<(), Broken> {
    let next = Next { revision: revision.parse()?, value: row.stored()? };
    tenant.swap_row(&row.connection.key, expected, Some(&next), &[]).await
}

fn ending(tenant: &Tenant, row: &Sample, at: UnixSeconds) -> Ending {
    Ending { at, tenant: tenant.id.clone(), key: row.connection.key.clone(), grant: row.grant() }
}

pub(super) async fn working_connections_are_listed_by_their_earliest_end(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let revoked = ReauthorizationReason::AuthorizationRevoked;
    let [early, late, too_late] = [10, 20, 30].map(|second| trial.at(second));
    let announced = ConnectionStatus::AuthorizationEnding(too_late);
    let dead = ConnectionStatus::ReauthorizationRequired(revoked);
    // Each tuple holds the account, the status, when the authorization ends, when the refresh token ends, and the time
    // that the list must show. The last value is `None` if the list must not contain the connection.
    let cases = [
        ("authorization", ConnectionStatus::Active, Some(early), None, Some(early)),
        ("refresh token", ConnectionStatus::Active, None, Some(late), Some(late)),
        ("both", ConnectionStatus::Active, Some(late), Some(early), Some(early)),
        ("both, authorization first", ConnectionStatus::Active, Some(early), Some(late), Some(early)),
        ("announced", announced, Some(early), Some(too_late), Some(early)),
        ("announced only", announced, None, None, None),
        ("later", ConnectionStatus::Active, Some(too_late), Some(too_late), None),
        ("unknown", ConnectionStatus::Active, None, None, None),
        ("dead", dead, Some(early), Some(early), None),
    ];
    let mut expected = Vec::new();
    let mut rows = Vec::new();
    for (account, status, authorization, refresh, listed) in cases {
        let mut row = samples::row(&samples::key("customer", account)?);
        row.token_lineage = format!("lineage of {account}");
        row.connection.status = status;
        row.connection.granted_at = UnixSeconds(5);
        row.connection.authorization_ends_at = authorization;
        row.connection.refresh_expires_at = refresh;
        put(&tenant, &row, None, "r1").await?;
        expected.extend(listed.map(|at| ending(&tenant, &row, at)));
        rows.push(row);
    }
    expected.sort();
    eventually("`endings`", expected.clone(), || listed(trial, late, 500)).await?;

    // Every row is written again with another lineage (the text that names its token record). The dead connection works
    // again, so the list must contain it. Every connection whose end is `early` becomes dead, so it must leave the
    // list. Every other connection gets a later consent, and an authorization that ends at `late`.
    let expected = rows.iter_mut().map(|row| {
        let connection = &mut row.connection;
        row.token_lineage.push_str(", renewed");
        if connection.status == dead {
            connection.status = ConnectionStatus::Active;
            Some(ending(&tenant, row, early))
        } else if connection.ends_at() == Some(early) {
            connection.status = dead;
            None
        } else {
            connection.authorization_ends_at = Some(late);
            connection.granted_at = UnixSeconds(6);
            Some(ending(&tenant, row, late))
        }
    });
    let mut expected: Vec<_> = expected.flatten().collect();
    expected.sort();
    for row in &rows {
        put(&tenant, row, Some("r1"), "r2").await?;
    }
    eventually("`endings` after swaps", expected, || listed(trial, late, 2)).await?;
    for row in &rows {
        tenant.swap_row(&row.connection.key, Some("r2"), None, &[]).await?;
    }
    eventually("`endings` after deletions", Vec::new(), || listed(trial, late, 2)).await
}

pub(super) async fn endings_are_listed_in_order_page_by_page(trial: &Trial) -> Result<(), Broken> {
    const ROWS: u64 = 150;
    let mut tenants = Vec::new();
    for end in ["", "\u{ffff}", "\u{10000}", "\0A"] {
        tenants.push(trial.tenant_with_suffix(end).await?);
    }
    let mut expected = Vec::new();
    let mut writes = Vec::new();
    for ((number, tenant), customer) in (0..ROWS).zip(tenants.iter().cycle()).zip(["a", "B", "a\0", "ä"].iter().cycle())
    {
        let mut row = samples::row(&samples::key(customer, &format!("{:02}-{number}", number * 37 % 100))?);
        let at = trial.at(number * 7 % 20);
        row.connection.refresh_expires_at = Some(at);
        expected.push(ending(tenant, &row, at));
        writes.push((tenant, row));
    }
    expected.sort();
    all(writes.iter().map(|(tenant, row)| tenant.put_row("r", row)).collect()).await?;
    for limit in [1, 7, 500, usize::MAX] {
        let what = format!("`endings`, {limit} at a time");
        eventually(&what, expected.clone(), || listed(trial, trial.end(), limit)).await?;
    }
    let by = trial.at(10);
    let by_then: Vec<_> = expected.into_iter().filter(|ending| ending.at <= by).collect();
    eventually("`endings` by the time at which half of them end", by_then, || listed(trial, by, 7)).await?;
    ensure_eq!(trial.storage.endings(by, None, 0).await?, Vec::new(), "`endings` with the limit 0");
    // Only the order and the length of the first page are checked, because its entries may belong to other tenants.
    let from_the_first = || async {
        let page = trial.storage.endings(by, None, 10).await?;
        Ok::<_, StorageError>(page.is_sorted().then_some(page.len()))
    };
    eventually("the number of entries of the first page of `endings`, if they are in order", Some(10), from_the_first)
        .await
}
