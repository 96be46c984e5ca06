//! Checks of the lists of one customer or one shop: what they contain, and that they are in byte order.

use super::broken::Broken;
use super::concurrency::{all, eventually};
use super::samples::{self, row_with_shops};
use super::trial::Trial;
use tiktok_shop_host::connection::{ConnectionKey, UnixSeconds};
use tiktok_shop_host::storage::{Due, Next};
use tiktok_shop_host::{AccountId, ShopId};

pub(super) async fn lists_are_in_byte_order(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let (storage, id) = (&tenant.storage, &tenant.id);
    let ids = samples::ids();
    let mut rows = Vec::new();
    for account in &ids {
        rows.push(row_with_shops(&samples::key("customer", account)?, &["1"])?);
    }
    // The rows are written in an order that differs from the order of the lists.
    let mixed = || rows.iter().rev().step_by(2).chain(rows.iter().rev().skip(1).step_by(2));
    all(mixed().map(|row| tenant.put_both("r", "value", row)).collect()).await?;
    let customer = "customer".parse()?;
    let accounts: Vec<AccountId> = ids.iter().map(|id| id.parse()).collect::<Result<_, _>>()?;
    eventually("`accounts`", accounts, || storage.accounts(id, &customer)).await?;
    eventually("`list_rows`", samples::stored(&rows)?, || async {
        let listed = storage.list_rows(id, &customer).await?;
        Ok::<_, Broken>(listed.into_iter().map(|entry| entry.row).collect())
    })
    .await?;
    // Owners are ordered by customer first, then by account.
    let other = row_with_shops(&samples::key("Customer", "z")?, &["1"])?;
    tenant.put_row("r", &other).await?;
    let owners: Vec<_> = [&other].into_iter().chain(&rows).map(|row| row.connection.key.clone()).collect();
    let shop = "1".parse()?;
    eventually("`owners`", owners, || storage.owners(id, &shop)).await
}

pub(super) async fn owners_are_the_connections_whose_row_contains_the_shop(trial: &Trial) -> Result<(), Broken> {
    let (ours, theirs) = (trial.tenant().await?, trial.tenant().await?);
    let [one, two, three] = [("c1", "a"), ("c2", "a"), ("c2", "b")].map(|(c, a)| samples::key(c, a));
    let (one, two, three) = (one?, two?, three?);
    let shops = ["1", "01", "11", "7495929172636467189", "9999999999999999999"];
    // `expected` has the owners of each shop, in the order of `shops`.
    let check_owners = async |expected: [&[&ConnectionKey]; 5]| {
        for (shop, owners) in shops.iter().zip(expected) {
            let owners: Vec<ConnectionKey> = owners.iter().map(|key| (*key).clone()).collect();
            let id: ShopId = shop.parse()?;
            eventually(&format!("`owners` of shop {shop}"), owners, || ours.storage.owners(&ours.id, &id)).await?;
        }
        Ok::<_, Broken>(())
    };
    check_owners([&[]; 5]).await?;
    ours.put_row("r1", &row_with_shops(&two, &["1", "01", "9999999999999999999"])?).await?;
    let mut linked = row_with_shops(&one, &["1", "7495929172636467189"])?;
    linked.connection.shops.iter_mut().for_each(|shop| shop.linked = true);
    ours.put_row("r1", &linked).await?;
    ours.put_row("r1", &row_with_shops(&three, &[])?).await?;
    theirs.put_row("r1", &row_with_shops(&three, &["1", "11"])?).await?;
    check_owners([&[&one, &two], &[&two], &[], &[&one], &[&two]]).await?;

    let swap = async |key: &ConnectionKey, shops: &[&str]| {
        let next = Next { revision: "r2".parse()?, value: row_with_shops(key, shops)?.stored()? };
        ours.swap_row(key, Some("r1"), Some(&next), &[]).await
    };
    swap(&two, &["11", "01"]).await?;
    swap(&three, &["1"]).await?;
    check_owners([&[&one, &three], &[&two], &[&two], &[&one], &[]]).await?;
    ours.swap_row(&one, Some("r1"), None, &[]).await?;
    check_owners([&[&three], &[&two], &[&two], &[], &[]]).await?;
    let shop = "1".parse()?;
    eventually("`owners` of another tenant", vec![three], || theirs.storage.owners(&theirs.id, &shop)).await
}

pub(super) async fn the_rows_of_many_connections_are_read_in_the_order_of_the_question(
    trial: &Trial,
) -> Result<(), Broken> {
    let (ours, theirs) = (trial.tenant().await?, trial.tenant().await?);
    let (mut asked, mut expected) = (Vec::new(), Vec::new());
    // There are more connections than one statement of a usual database can name. Every third connection has no row, every
    // fourth has no shop, and the same customer and account exist in both tenants.
    for number in (0..200).rev() {
        for (tenant, shops) in [(&ours, ["1", "3"]), (&theirs, ["2", "3"])] {
            let key = samples::key(&format!("c{}", number / 2), &format!("a{number}"))?;
            let shops = if number % 4 == 0 { &[] } else { shops.as_slice() };
            let row = (number % 3 != 0).then(|| row_with_shops(&key, shops)).transpose()?;
            asked.push(Due { at: UnixSeconds(number), tenant: tenant.id.clone(), key });
            expected.push((tenant, row));
        }
    }
    for (tenant, row) in &expected {
        if let Some(row) = row {
            tenant.put_row("r", row).await?;
        }
    }
    // A storage may be asked for the same connection twice, and for nothing.
    asked.extend_from_within(..1);
    let expected = expected.into_iter().map(|(_, row)| row.map(|row| row.stored()).transpose());
    let mut expected: Vec<_> = expected.collect::<Result<_, _>>()?;
    expected.extend_from_within(..1);
    let storage = &ours.storage;
    eventually("`load_rows`", expected, || async {
        let rows = storage.load_rows(&asked).await?;
        Ok::<_, Broken>(rows.into_iter().map(|entry| entry.map(|entry| entry.row)).collect())
    })
    .await?;
    eventually("`load_rows` of no connection", Vec::new(), || storage.load_rows(&[])).await
}
