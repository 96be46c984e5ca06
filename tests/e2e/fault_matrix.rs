//! `tests/fault-matrix.json`, row by row: everything that TikTok's hosts, a gateway or the wire can answer, in each
//! operation, ends in its exact case and code, is never sent twice, and loses nothing.
//!
//! A row is not asserted but measured: the operation is run with the fault, then TikTok Shop is in order again and the
//! connection is tried until it is known what stands. What was measured must be what the row says.

mod operations;

use std::collections::BTreeMap;
use std::sync::Arc;

use fake_tiktok_shop::catalogue;
use tiktok_shop_fault_matrix::{Row, fault_matrix};
use tokio::sync::Semaphore;

use self::operations::{CONNECTION_REFUSED, OPERATIONS, Operation};

/// Enough that rows which wait for a deadline keep no processor waiting, and few enough that nothing else meets one.
const ROWS_AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_has_its_exact_error_in_every_operation() {
    let expected = fault_matrix().unwrap();
    let mut listed: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in &expected {
        listed.entry((row.operation.clone(), row.fault.clone())).or_default().push(row);
    }

    let permits = Arc::new(Semaphore::new(ROWS_AT_ONCE));
    let measure = |operation: &'static Operation, fault: String| {
        let permits = Arc::clone(&permits);
        let pair = (operation.name.to_owned(), fault.clone());
        (
            pair,
            tokio::spawn(async move {
                let _permit = permits.acquire().await.unwrap();
                operation.measure(&fault).await
            }),
        )
    };
    let faults = || catalogue().into_iter().map(|(name, _)| name).chain([CONNECTION_REFUSED.to_owned()]);
    let running: Vec<_> =
        OPERATIONS.iter().flat_map(|operation| faults().map(move |fault| measure(operation, fault))).collect();

    let mut differences = Vec::new();
    let mut measured = 0;
    for (pair, row) in running {
        let rows = listed.remove(&pair).unwrap_or_default();
        let expected = match rows.iter().map(|row| text(row)).collect::<Vec<_>>() {
            none if none.is_empty() => "a row".to_owned(),
            rows => rows.join("\n         and "),
        };
        match row.await {
            Ok(row) if rows == [&row] => measured += 1,
            Ok(row) => differences.push(format!("expected {expected}\n     got {}", text(&row))),
            Err(panic) => differences.push(format!("expected {expected}\n     got {pair:?} {panic}")),
        }
    }
    for rows in listed.into_values().flatten() {
        differences.push(format!("not run, as there is no such operation or fault: {}", text(rows)));
    }
    assert!(differences.is_empty(), "{} rows differ:\n{}", differences.len(), differences.join("\n"));
    assert_eq!(measured, expected.len());
}

fn text(row: &Row) -> String {
    serde_json::to_string(row).unwrap()
}
