//! Histories: several tasks load and swap the same records at the same time, and the answers are checked afterwards.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::abandoned::poll_at_most;
use super::broken::Broken;
use super::concurrency::race;
use super::linearizability::{Action, Answer, Operation, check_linearizable};
use super::register::{Register, Stored, for_each_kind};
use super::trial::Trial;
use tiktok_shop_host::storage::{StorageError, Swapped};

/// The number of records that are used at the same time. A storage may share locks or database connections between
/// records, but this must not change any answer.
const RECORDS: u64 = 3;
/// The number of tasks per record.
const TASKS: u64 = 4;
/// The number of loads and swaps of each task.
const STEPS: u64 = 10;
/// On average, one of this many swaps is abandoned: the task stops waiting for its answer.
const ABANDONED_ONE_OF: u64 = 6;
/// A swap is abandoned after at most this many polls. Some swaps finish earlier.
const MAX_POLLS: u64 = 12;

/// The loads and swaps of one record.
#[derive(Default)]
struct History {
    /// The next point in time, which is a plain number. Each call and each return gets a point in time of its own.
    moment: AtomicU64,
    operations: Mutex<Vec<Operation>>,
}

impl History {
    fn now(&self) -> u64 {
        self.moment.fetch_add(1, Ordering::SeqCst)
    }

    fn add(&self, called: u64, action: Action) {
        let operation = Operation { called, returned: self.now(), action };
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).push(operation);
    }

    fn check(&self) -> Result<(), Broken> {
        check_linearizable(&self.operations.lock().unwrap_or_else(PoisonError::into_inner)).map_err(Broken)
    }
}

pub(super) async fn concurrent_histories_are_linearizable(trial: &Trial) -> Result<(), Broken> {
    for_each_kind(trial, |register| async move {
        let mut tasks = Vec::new();
        let mut histories = Vec::new();
        for record in 0..RECORDS {
            let (history, register) = (Arc::new(History::default()), register.at(&format!("account {record}"))?);
            let choices = |task| Choices(record * TASKS + task);
            tasks.extend((1..=TASKS).map(|task| steps(Arc::clone(&history), register.clone(), task, choices(task))));
            histories.push(history);
        }
        race(tasks).await?;
        histories.iter().try_for_each(|history| history.check())
    })
    .await
}

/// Loads, creates, replaces and deletes the record, and abandons some of the swaps.
async fn steps(history: Arc<History>, register: Register, task: u64, mut choices: Choices) -> Result<(), Broken> {
    let mut seen: Option<u64> = None;
    for step in 1..=STEPS {
        let next = Some(Stored::new(task * 1_000 + step));
        let (expected, next) = match choices.below(10) {
            0 | 1 => {
                let called = history.now();
                seen = register.load().await?.map(|stored| stored.revision);
                history.add(called, Action::Load { found: seen });
                continue;
            }
            2 => (None, next),
            3 => (seen, None),
            _ => (seen, next),
        };
        let called = history.now();
        let swap = register.try_swap(expected, next, &[]);
        let is_abandoned = choices.below(ABANDONED_ONE_OF) == 0;
        let polls = if is_abandoned { 1 + choices.below(MAX_POLLS) } else { u64::MAX };
        let next = next.map(|stored| stored.revision);
        let answer = match poll_at_most(polls, swap).await.transpose()? {
            Some(Ok(Swapped::Done)) => {
                seen = next;
                Answer::Done
            }
            Some(Ok(Swapped::Stale(found))) => {
                seen = found.map(|stored| stored.revision);
                Answer::Stale(seen)
            }
            // Both an unavailable storage and an abandoned swap are allowed. In both cases, only later answers can show
            // whether the swap took effect.
            Some(Err(StorageError::Unavailable(_))) | None => Answer::Unknown,
            Some(Err(error @ (StorageError::Refused(_) | StorageError::KeyGone | StorageError::RowChanged(_)))) => {
                return Err(error.into());
            }
        };
        history.add(called, Action::Swap { expected, next, answer });
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Pseudorandom numbers that are the same in every run. Only the timing of the tasks differs between runs.
struct Choices(u64);

impl Choices {
    /// Returns the next pseudorandom number that is less than `end`, computed with SplitMix64 (Steele, Lea and Flood,
    /// 2014).
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// The number of writes that the writer makes, and the number of loads that each reader makes.
const WRITES: u64 = 30;
/// The number of tasks that read while one task writes.
const READERS: u64 = 2;

/// The role of a task.
#[derive(Clone, Copy)]
enum Role {
    Reader,
    Writer,
}

/// Checks that every revision that a load returns was written. [`Register::load`] itself fails if a record is mixed
/// from several writes.
pub(super) async fn a_load_returns_only_written_records(trial: &Trial) -> Result<(), Broken> {
    for_each_kind(trial, |register| async move {
        let history = Arc::new(History::default());
        let roles = (0..READERS).map(|_| Role::Reader).chain([Role::Writer]);
        let tasks = roles.map(|role| (role, Arc::clone(&history), register.clone()));
        race(tasks.map(|(role, history, register)| async move {
            let mut current = None;
            for number in 1..=WRITES {
                let called = history.now();
                match role {
                    Role::Reader => {
                        let found = register.load().await?.map(|stored| stored.revision);
                        history.add(called, Action::Load { found });
                    }
                    Role::Writer => {
                        // Every tenth write is a deletion.
                        let next = (!number.is_multiple_of(10)).then(|| Stored::new(number));
                        let swapped = register.swap(current, next).await?;
                        let next = next.map(|stored| stored.revision);
                        let answer = match swapped {
                            Swapped::Done => Answer::Done,
                            Swapped::Stale(found) => Answer::Stale(found.map(|stored| stored.revision)),
                        };
                        history.add(called, Action::Swap { expected: current, next, answer });
                        current = next;
                    }
                }
                tokio::task::yield_now().await;
            }
            Ok(())
        }))
        .await?;
        history.check()
    })
    .await
}
