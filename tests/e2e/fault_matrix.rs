//! Runs every operation with every fault of TikTok's network hosts, of a gateway or of the network, and compares the
//! results with `tests/fault-matrix.json`.
//!
//! For each operation and fault, the test runs the operation while the fault lasts. Then the fault ends, and the test
//! uses the connection until the test knows the state in which the fault has left the connection. The measured row must
//! equal the row in the file. A row contains the action and the code of the error, the requests that were sent, and the
//! state of the connection.

mod operations;

use std::collections::BTreeMap;
use std::sync::Arc;

use fake_tiktok_shop::catalogue;
use tiktok_shop_fault_matrix::{Row, fault_matrix};
use tokio::sync::Semaphore;

use self::operations::{CONNECTION_REFUSED, OPERATIONS, Operation};

/// The maximum number of rows that are measured at the same time. With fewer rows, the processors would be idle while
/// rows wait for a deadline. With more rows, a busy machine could be so slow that rows without a wait also reach a
/// deadline.
const MAX_CONCURRENT_ROWS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_has_its_exact_error_in_every_operation() {
    let expected = fault_matrix().unwrap();
    let mut listed: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in &expected {
        listed.entry((row.operation.clone(), row.fault.clone())).or_default().push(row);
    }

    let permits = Arc::new(Semaphore::new(MAX_CONCURRENT_ROWS));
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
        differences.push(format!("not run, because there is no such operation or fault: {}", text(rows)));
    }
    assert!(differences.is_empty(), "{} rows differ:\n{}", differences.len(), differences.join("\n"));
    assert_eq!(measured, expected.len());
}

fn text(row: &Row) -> String {
    serde_json::to_string(row).unwrap()
}
