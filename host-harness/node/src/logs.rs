//! The log records that wait for JavaScript.
//!
//! A function of JavaScript is called when records wait, and fetches them. The event loop does not turn any more while
//! the process exits, so JavaScript then fetches the last records without being called.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use napi::Status;
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;

use crate::case;
use crate::foreign::Dispatch;

/// The maximum number of records that wait. Further records are lost.
const MAX_WAITING: usize = 10_000;

/// The records, each as JSON, the oldest first.
struct Waiting {
    records: VecDeque<String>,
    /// Whether JavaScript knows that records wait. It then fetches them until there are none.
    is_known: bool,
}

static WAITING: Mutex<Waiting> = Mutex::new(Waiting { records: VecDeque::new(), is_known: false });

impl Waiting {
    /// Adds a record, unless too many records wait. Returns whether JavaScript must be called.
    fn put(&mut self, record: String) -> bool {
        if self.records.len() < MAX_WAITING {
            self.records.push_back(record);
        }
        !std::mem::replace(&mut self.is_known, true)
    }

    /// Takes at most `limit` records. If these are fewer, JavaScript is called for the next record.
    fn take(&mut self, limit: usize) -> Vec<String> {
        self.is_known = limit <= self.records.len();
        let count = limit.min(self.records.len());
        self.records.drain(..count).collect()
    }
}

fn waiting() -> MutexGuard<'static, Waiting> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the logs of all hosts for JavaScript, from this level on. `fetch` is called when records wait. It must call
/// `take_logs` until the result has fewer records than it asks for.
#[napi]
pub fn forward_logs(level: String, fetch: Dispatch) -> napi::Result<()> {
    let forwarded = tiktok_shop_bindings::forward_logs(&level, move |record| {
        let must_call = waiting().put(case::to_camel(record).to_string());
        if must_call {
            let call = (0, "fetch".to_owned(), String::new(), false);
            let status = fetch.call(call.into(), ThreadsafeFunctionCallMode::NonBlocking);
            if status != Status::Ok {
                // The next record tries again.
                waiting().is_known = false;
            }
        }
    });
    forwarded.map_err(|error| napi::Error::from_reason(error.message))
}

/// Returns at most `limit` of the records that wait.
#[napi]
pub fn take_logs(limit: u32) -> Vec<String> {
    waiting().take(usize::try_from(limit).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting() -> Waiting {
        Waiting { records: VecDeque::new(), is_known: false }
    }

    #[test]
    fn javascript_is_called_once_until_it_has_fetched_all_records() {
        let mut waiting = waiting();
        assert!(waiting.put("1".to_owned()));
        assert!(!waiting.put("2".to_owned()));
        assert!(!waiting.put("3".to_owned()));
        assert_eq!(waiting.take(2), ["1", "2"]);
        assert!(!waiting.put("4".to_owned()));
        assert_eq!(waiting.take(2), ["3", "4"]);
        // The result has as many records as JavaScript asked for, so JavaScript asks again.
        assert!(!waiting.put("5".to_owned()));
        assert_eq!(waiting.take(2), ["5"]);
        assert!(waiting.put("6".to_owned()));
    }

    #[test]
    fn at_most_10_000_records_wait_and_the_oldest_ones_stay() {
        let mut waiting = waiting();
        for number in 0..10_001 {
            waiting.put(number.to_string());
        }
        let taken = waiting.take(usize::MAX);
        assert_eq!((taken.len(), taken.last().map(String::as_str)), (10_000, Some("9999")));
        assert!(waiting.put("10001".to_owned()));
    }
}
