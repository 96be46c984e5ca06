//! Histories of many who do all sorts of things to the same records at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::abandoned::given_up_after;
use super::broken::Broken;
use super::concurrency::race;
use super::linearizability::{Answer, Operation, What, explained};
use super::register::{Register, Stored, of_each_kind};
use super::trial::Trial;
use tiktok_shop_host::storage::{StorageError, Swapped};

/// Records that are used at once: what they share must not matter.
const RECORDS: u64 = 3;
/// Tasks for each of them.
const TASKS: u64 = 4;
/// What each task does.
const STEPS: u64 = 10;
/// One write in so many is given up before it is answered.
const GIVES_UP: u64 = 6;

/// What was done to one record.
#[derive(Default)]
struct History {
    /// The next moment.
    moment: AtomicU64,
    operations: Mutex<Vec<Operation>>,
}

impl History {
    fn now(&self) -> u64 {
        self.moment.fetch_add(1, Ordering::SeqCst)
    }

    fn note(&self, called: u64, what: What) {
        let operation = Operation { called, returned: self.now(), what };
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).push(operation);
    }

    fn explained(&self) -> Result<(), Broken> {
        explained(&self.operations.lock().unwrap_or_else(PoisonError::into_inner)).map_err(Broken)
    }
}

pub(super) async fn concurrent_histories_are_linearizable(trial: &Trial) -> Result<(), Broken> {
    of_each_kind(trial, |register| async move {
        let mut tasks = Vec::new();
        let mut histories = Vec::new();
        for record in 0..RECORDS {
            let (history, register) = (Arc::new(History::default()), register.at(&format!("account {record}"))?);
            let choices = |task| Choices(record * TASKS + task);
            tasks.extend((1..=TASKS).map(|task| steps(Arc::clone(&history), register.clone(), task, choices(task))));
            histories.push(history);
        }
        race(tasks).await?;
        histories.iter().try_for_each(|history| history.explained())
    })
    .await
}

/// Loads, creates, replaces, deletes and gives up.
async fn steps(history: Arc<History>, register: Register, task: u64, mut choices: Choices) -> Result<(), Broken> {
    let mut seen: Option<u64> = None;
    for step in 1..=STEPS {
        let next = Some(Stored::new(task * 1_000 + step));
        let (expected, next) = match choices.below(10) {
            0 | 1 => {
                let called = history.now();
                seen = register.load().await?.map(|stored| stored.revision);
                history.note(called, What::Load { found: seen });
                continue;
            }
            2 => (None, next),
            3 => (seen, None),
            _ => (seen, next),
        };
        let called = history.now();
        let swap = register.answered(expected, next, &[]);
        // So often that some are over before they are given up.
        let polls = if choices.below(GIVES_UP) == 0 { 1 + choices.below(12) } else { u64::MAX };
        let next = next.map(|stored| stored.revision);
        let answer = match given_up_after(polls, swap).await.transpose()? {
            Some(Ok(Swapped::Done)) => {
                seen = next;
                Answer::Done
            }
            Some(Ok(Swapped::Stale(found))) => {
                seen = found.map(|stored| stored.revision);
                Answer::Stale(seen)
            }
            // It is allowed to say so; whether it happened will be seen.
            Some(Err(StorageError::Unavailable(_))) | None => Answer::Unknown,
            Some(Err(error @ (StorageError::Refused(_) | StorageError::KeyGone))) => return Err(error.into()),
        };
        history.note(called, What::Swap { expected, next, answer });
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Numbers that look random and are the same in each run: what differs from run to run is who comes first.
struct Choices(u64);

impl Choices {
    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

const WRITES: u64 = 30;
const READERS: u64 = 2;

/// Parts of several writes would be noticed by [`Register`].
pub(super) async fn a_load_returns_only_what_was_written(trial: &Trial) -> Result<(), Broken> {
    of_each_kind(trial, |register| async move {
        let history = Arc::new(History::default());
        let readers = (0..READERS).map(|_| (true, Arc::clone(&history), register.clone()));
        let tasks = readers.chain([(false, Arc::clone(&history), register.clone())]);
        race(tasks.map(|(reads, history, register)| async move {
            let mut stands = None;
            for number in 1..=WRITES {
                let called = history.now();
                if reads {
                    let found = register.load().await?.map(|stored| stored.revision);
                    history.note(called, What::Load { found });
                } else {
                    // Every tenth time it is gone.
                    let next = (!number.is_multiple_of(10)).then(|| Stored::new(number));
                    let swapped = register.swap(stands, next).await?;
                    let next = next.map(|stored| stored.revision);
                    let answer = match swapped {
                        Swapped::Done => Answer::Done,
                        Swapped::Stale(found) => Answer::Stale(found.map(|stored| stored.revision)),
                    };
                    history.note(called, What::Swap { expected: stands, next, answer });
                    stands = next;
                }
                tokio::task::yield_now().await;
            }
            Ok(())
        }))
        .await?;
        history.explained()
    })
    .await
}
