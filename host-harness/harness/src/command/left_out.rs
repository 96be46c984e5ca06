//! The failure of a list that leaves out connections because of their rows.

use tiktok_shop_host::connection::ConnectionKey;
use tiktok_shop_host::list::{LeftOut, RowFault};

use crate::failure::Failure;

/// The maximum number of connections that the error names.
const MAX_NAMED: usize = 5;

/// Fails if a list has left out connections. Without this failure, the customer of a changed row would seem not to be
/// connected.
pub(super) fn check(left_out: &[LeftOut]) -> Result<(), Failure> {
    // A changed row is the worst of the faults: a refresh does not mend it, and somebody should look for the cause.
    let Some(worst) = left_out.iter().max_by_key(|left_out| severity(left_out.fault)) else { return Ok(()) };
    let mut named: Vec<_> = left_out.iter().take(MAX_NAMED).map(named).collect();
    if let more @ 1.. = left_out.len().saturating_sub(MAX_NAMED) {
        named.push(format!("and {more} more"));
    }
    let detail = format!("the list leaves out connections whose tokens are stored: {}", named.join("; "));
    Err(Failure::LeftOut { code: worst.fault.code(), detail, next: next(worst) })
}

const fn severity(fault: RowFault) -> u8 {
    match fault {
        RowFault::Changed => 2,
        RowFault::Missing => 0,
        RowFault::Unreadable | _ => 1,
    }
}

fn named(LeftOut { key: ConnectionKey { customer, account }, fault }: &LeftOut) -> String {
    let what = match fault {
        RowFault::Changed => "was changed in the database",
        RowFault::Missing => "is missing",
        RowFault::Unreadable | _ => "can't be decoded",
    };
    format!("the row of {customer}, account {account}, {what}")
}

/// Returns what the user can do next. A refresh writes a missing row again. In the other cases, the error of the
/// refresh says more.
fn next(LeftOut { key, fault }: &LeftOut) -> String {
    let refresh = format!("run refresh {}", key.customer);
    match fault {
        RowFault::Missing => {
            format!("{refresh}, which writes the row again; if a connect is running, wait until it has ended")
        }
        RowFault::Changed => format!(
            "find out who changed the database, and restore the row from a backup or delete it from \
             tiktok_shop_connections; then {refresh}; docs/errors.md explains row-changed"
        ),
        RowFault::Unreadable | _ => {
            format!("{refresh}, whose error says whether a newer version wrote the row; docs/errors.md explains it")
        }
    }
}
