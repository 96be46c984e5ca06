//! Checks of the functions that read two values at once. A storage may leave the second value out.

use super::broken::Broken;
use super::concurrency::{all, eventually};
use super::samples::{self, revision_and_row, revision_and_value, row_with_shops};
use super::trial::Trial;
use tiktok_shop_host::AccountId;
use tiktok_shop_host::connection::ConnectionKey;
use tiktok_shop_host::storage::StorageError;

/// A customer, the accounts that have a token record, and the accounts that have a row.
type Customer = (&'static str, &'static [&'static str], &'static [&'static str]);

const CUSTOMERS: [Customer; 6] = [
    ("both", &["a\0\u{1}\"é"], &["a\0\u{1}\"é"]),
    ("several", &["a", "a ", "b"], &["a", "b"]),
    ("record", &["a"], &[]),
    ("row", &[], &["a"]),
    ("another", &["a"], &["b"]),
    ("nothing", &[], &[]),
];

pub(super) async fn a_read_of_two_values_returns_both_as_they_are_stored(trial: &Trial) -> Result<(), Broken> {
    let (tenant, other) = (trial.tenant().await?, trial.tenant().await?);
    let value = |key: &ConnectionKey| format!("{}/{}", key.customer, key.account);
    let keys = |customer: &str, accounts: &[&str]| {
        accounts.iter().map(|account| samples::key(customer, account)).collect::<Result<Vec<_>, _>>()
    };
    let (mut records, mut rows) = (Vec::new(), Vec::new());
    for (customer, accounts, with_row) in CUSTOMERS {
        records.extend(keys(customer, accounts)?);
        for key in keys(customer, with_row)? {
            rows.push(row_with_shops(&key, &["2", "1"])?);
        }
    }
    all(records.iter().map(|key| tenant.put_token(key, "of the record", value(key))).collect()).await?;
    all(rows.iter().map(|row| tenant.put_row("of the row", row)).collect()).await?;
    // Records of another tenant with the same names.
    other.put_both("of another", "another", &row_with_shops(&samples::key("both", "b")?, &["3"])?).await?;

    let (storage, id) = (&*tenant.storage, &tenant.id);
    for (customer, accounts, with_row) in CUSTOMERS {
        let (with_record, with_row) = (keys(customer, accounts)?, keys(customer, with_row)?);
        let record = |key: &ConnectionKey| {
            with_record.contains(key).then(|| ("of the record".to_owned(), tenant.sealed(value(key))))
        };
        let stored = rows.iter().filter(|row| with_row.contains(&row.connection.key));
        let stored: Vec<_> = stored.map(samples::Sample::stored).collect::<Result<_, _>>()?;
        let accounts: Vec<AccountId> = with_record.iter().map(|key| key.account.clone()).collect();
        let only = if let [only] = &*with_record { record(only) } else { None };
        let customer = customer.parse()?;
        eventually("`accounts_with_token`", (accounts.clone(), only.clone()), || async {
            let (found, token) = storage.accounts_with_token(id, &customer).await?;
            Ok::<_, StorageError>((found, token.map_or_else(|| only.clone(), |token| revision_and_value(Some(token)))))
        })
        .await?;
        eventually("`list_rows_with_accounts`", (stored.clone(), accounts.clone()), || async {
            let (found, read) = storage.list_rows_with_accounts(id, &customer).await?;
            Ok::<_, StorageError>((
                found.into_iter().map(|entry| entry.row).collect(),
                read.unwrap_or_else(|| accounts.clone()),
            ))
        })
        .await?;
        for key in with_record.iter().chain(&with_row) {
            let row = stored.iter().find(|row| row.key == *key).map(|row| ("of the row".to_owned(), row.clone()));
            eventually("`load_row_with_token`", (row, record(key)), || async {
                let (found, token) = storage.load_row_with_token(id, key).await?;
                let token = token.map_or_else(|| record(key), |token| revision_and_value(Some(token)));
                Ok::<_, StorageError>((revision_and_row(found), token))
            })
            .await?;
        }
    }
    Ok(())
}
