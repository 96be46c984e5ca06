//! Checks of the list of a tenant's rows: its filter, its order, and its pages.

use super::broken::{Broken, ensure_eq};
use super::concurrency::{all, eventually};
use super::samples::{self, Sample, TEXTS, row_with_shops};
use super::trial::{Tenant, Trial};
use tiktok_shop_host::connection::{
    ConnectionKey, ConnectionStatus, ReauthorizationReason, ShopStanding, StatusKind, UnixSeconds,
};
use tiktok_shop_host::storage::{Row, RowFilter};

/// The maximum number of rows that a check reads in one call.
const ALL: usize = 1_000;

/// Returns the keys of the tenant's rows that match the filter.
async fn keys(tenant: &Tenant, filter: &RowFilter) -> Result<Vec<ConnectionKey>, Broken> {
    let rows = tenant.storage.tenant_rows(&tenant.id, filter, None, ALL).await?;
    Ok(rows.into_iter().map(|entry| entry.row.key).collect())
}

pub(super) async fn the_rows_of_a_tenant_are_listed_in_order_page_by_page(trial: &Trial) -> Result<(), Broken> {
    let (tenant, other) = (trial.tenant().await?, trial.tenant().await?);
    let mut rows = Vec::new();
    for id in samples::ids() {
        rows.push(row_with_shops(&samples::key(&id, "account")?, &["1", "3", "2"])?);
        rows.push(row_with_shops(&samples::key("customer", &id)?, &[])?);
    }
    rows.sort_by(|a, b| a.connection.key.cmp(&b.connection.key));
    // The rows are written in an order that differs from the order of the list.
    let mixed = || rows.iter().rev().step_by(2).chain(rows.iter().rev().skip(1).step_by(2));
    all(mixed().map(|row| tenant.put_both("r", "value", row)).collect()).await?;
    other.put_both("r", "value", &row_with_shops(&samples::key("customer", "b")?, &["1"])?).await?;
    let everything = RowFilter::default();
    for limit in [ALL, rows.len(), 7, 1] {
        let (tenant, everything) = (&tenant, &everything);
        eventually(&format!("`tenant_rows` in pages of {limit}"), samples::stored(&rows)?, || async move {
            let (mut listed, mut after): (Vec<Row>, Option<ConnectionKey>) = (Vec::new(), None);
            loop {
                let page = tenant.storage.tenant_rows(&tenant.id, everything, after.as_ref(), limit).await?;
                ensure_eq!(page.len() <= limit, true, "`tenant_rows` keeps its limit of {limit}");
                let Some(last) = page.last() else { return Ok::<_, Broken>(listed) };
                after = Some(last.row.key.clone());
                listed.extend(page.into_iter().map(|entry| entry.row));
            }
        })
        .await?;
    }
    // A caller may ask for the rows after a connection that does not exist.
    let after = samples::key("customer", "\u{0}\u{0}")?;
    let expected: Vec<_> =
        rows.iter().map(|row| row.connection.key.clone()).filter(|key| *key > after).take(3).collect();
    eventually("`tenant_rows` after a missing connection", expected, || async {
        let page = tenant.storage.tenant_rows(&tenant.id, &everything, Some(&after), 3).await?;
        Ok::<_, Broken>(page.into_iter().map(|entry| entry.row.key).collect())
    })
    .await?;
    eventually("`tenant_rows` with the limit 0", Vec::new(), || {
        tenant.storage.tenant_rows(&tenant.id, &everything, None, 0)
    })
    .await
}

pub(super) async fn every_condition_of_a_filter_chooses_its_rows(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let [one, two, three, four] = [("c1", "a"), ("c1", "b"), ("c2", "a"), ("c3", "A")].map(|(c, a)| samples::key(c, a));
    let (one, two, three, four) = (one?, two?, three?, four?);
    let long = "Teapot ".repeat(600);
    let row = |key: &ConnectionKey, shops: &[&str], name: &str, status| -> Result<Sample, Broken> {
        let mut row = row_with_shops(key, shops)?;
        row.connection.seller_name = name.to_owned();
        row.connection.status = status;
        Ok(row)
    };
    let dead = ConnectionStatus::ReauthorizationRequired(ReauthorizationReason::AuthorizationRevoked);
    let ending = ConnectionStatus::AuthorizationEnding(UnixSeconds(7));
    let mut first = row(&one, &["1", "2"], "Teapot Corner", ConnectionStatus::Active)?;
    first.connection.shops.iter_mut().for_each(|shop| shop.standing = ShopStanding::NoLongerGranted);
    let rows = [
        first,
        row(&two, &["2", "02"], &format!("{long}1"), dead)?,
        row(&three, &["3"], &format!("{long}2"), ending)?,
        row(&four, &[], "teapot corner", dead)?,
    ];
    all(rows.iter().map(|row| tenant.put_both("r", "value", row)).collect()).await?;

    let none = RowFilter::default;
    let status = |kind| RowFilter { status: Some(kind), ..none() };
    let shop = |id: &str| Ok::<_, Broken>(RowFilter { shop: Some(id.parse()?), ..none() });
    let account = |id: &str| Ok::<_, Broken>(RowFilter { account: Some(id.parse()?), ..none() });
    let seller = |name: &str| RowFilter { seller_name: Some(name.to_owned()), ..none() };
    let table: [(RowFilter, &[&ConnectionKey]); 14] = [
        (none(), &[&one, &two, &three, &four]),
        (status(StatusKind::Active), &[&one]),
        (status(StatusKind::AuthorizationEnding), &[&three]),
        (status(StatusKind::ReauthorizationRequired), &[&two, &four]),
        (shop("2")?, &[&one, &two]),
        (shop("02")?, &[&two]),
        (shop("4")?, &[]),
        (account("a")?, &[&one, &three]),
        (account("A")?, &[&four]),
        (seller("Teapot Corner"), &[&one]),
        (seller(&format!("{long}1")), &[&two]),
        (seller("Teapot"), &[]),
        (
            RowFilter { account: Some("b".parse()?), status: Some(StatusKind::ReauthorizationRequired), ..shop("2")? },
            &[&two],
        ),
        (RowFilter { status: Some(StatusKind::Active), ..seller("teapot corner") }, &[]),
    ];
    for (filter, expected) in &table {
        let expected: Vec<ConnectionKey> = expected.iter().map(|key| (*key).clone()).collect();
        eventually(&format!("`tenant_rows` with {filter:?}"), expected, || keys(&tenant, filter)).await?;
    }
    // With a filter, too, the second page begins after the last connection of the first page.
    let filter = status(StatusKind::ReauthorizationRequired);
    eventually("`tenant_rows` with a filter, second page", vec![four.clone()], || async {
        let page = tenant.storage.tenant_rows(&tenant.id, &filter, Some(&two), 1).await?;
        Ok::<_, Broken>(page.into_iter().map(|entry| entry.row.key).collect())
    })
    .await?;
    for (number, text) in TEXTS.iter().enumerate() {
        let key = samples::key("named", &number.to_string())?;
        tenant.put_both("r", "value", &row(&key, &[], text, ConnectionStatus::Active)?).await?;
        let filter = seller(text);
        eventually("`tenant_rows` with a seller's name", vec![key], || keys(&tenant, &filter)).await?;
    }
    Ok(())
}

pub(super) async fn a_row_without_a_token_record_is_left_out(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let (connected, lost) = (samples::key("c", "a")?, samples::key("c", "b")?);
    tenant.put_both("r", "value", &row_with_shops(&connected, &["1"])?).await?;
    tenant.put_row("r", &row_with_shops(&lost, &["1"])?).await?;
    for filter in [RowFilter::default(), RowFilter { shop: Some("1".parse()?), ..RowFilter::default() }] {
        eventually("`tenant_rows`", vec![connected.clone()], || keys(&tenant, &filter)).await?;
    }
    Ok(())
}

pub(super) async fn rows_that_are_left_out_do_not_count_towards_the_limit(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let mut wanted = Vec::new();
    // Three rows stand before each row that the list contains. The first of them has no token record, the second does
    // not match the filter, and for the third both is true.
    for number in 0..20 {
        let is_wanted = number % 4 == 3;
        let (matches, is_connected) = (is_wanted || number % 4 == 0, is_wanted || number % 4 == 1);
        let (account, shop) = if matches { ("account", "1") } else { ("other", "2") };
        let key = samples::key(&format!("c{number:02}"), account)?;
        let mut row = row_with_shops(&key, &[shop])?;
        if matches {
            row.connection.seller_name = "Teapot Corner".to_owned();
            row.connection.status = ConnectionStatus::AuthorizationEnding(UnixSeconds(7));
        }
        if is_connected {
            tenant.put_both("r", "value", &row).await?;
        } else {
            tenant.put_row("r", &row).await?;
        }
        if is_wanted {
            wanted.push(key);
        }
    }
    let none = RowFilter::default;
    let every = RowFilter {
        status: Some(StatusKind::AuthorizationEnding),
        shop: Some("1".parse()?),
        account: Some("account".parse()?),
        seller_name: Some("Teapot Corner".to_owned()),
    };
    let filters = [
        RowFilter { status: every.status, ..none() },
        RowFilter { shop: every.shop.clone(), ..none() },
        RowFilter { account: every.account.clone(), ..none() },
        RowFilter { seller_name: every.seller_name.clone(), ..none() },
        every,
    ];
    for (filter, limit) in filters.iter().flat_map(|filter| [1, 2, 5].map(|limit| (filter, limit))) {
        let pages: Vec<_> = wanted.chunks(limit).map(<[ConnectionKey]>::to_vec).collect();
        let tenant = &tenant;
        eventually(&format!("`tenant_rows` in pages of {limit} with {filter:?}"), pages, || async move {
            let mut pages: Vec<Vec<ConnectionKey>> = Vec::new();
            loop {
                let after = pages.last().and_then(|page| page.last());
                let page = tenant.storage.tenant_rows(&tenant.id, filter, after, limit).await?;
                if page.is_empty() {
                    return Ok::<_, Broken>(pages);
                }
                pages.push(page.into_iter().map(|entry| entry.row.key).collect());
            }
        })
        .await?;
    }
    Ok(())
}
