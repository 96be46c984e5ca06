//! Checks abandoned writes. The caller of an abandoned write stops waiting for the answer, for example because a
//! deadline has passed or because the call was dropped.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::broken::{Broken, ensure_eq};
use super::concurrency::{eventually, race};
use super::events::all_events;
use super::register::{Kind, Register, Stored, for_each_kind};
use super::samples;
use super::trial::Trial;
use tiktok_shop_host::events::NewEvent;
use tiktok_shop_host::storage::Swapped;

/// The maximum number of polls that a caller makes before it abandons a write. Usually a write finishes after fewer
/// polls, because it waits for the database less often.
const MAX_POLLS: u64 = 40;
/// The number of rounds. Each round starts again with one poll. The timing of the database varies, so the same number
/// of polls may abandon a write at different steps of the write in different rounds.
const ROUNDS: u32 = 4;
/// Short deadlines. Each of them may pass while a database works on a write.
const DEADLINES: [Duration; 6] = [
    Duration::from_micros(50),
    Duration::from_micros(200),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(4),
];

/// Polls the future at most `max_polls` times and then drops it. Returns `None` if the future did not finish.
pub(super) async fn poll_at_most<F: Future>(max_polls: u64, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = max_polls;
    poll_fn(move |context| {
        let Some(fewer) = left.checked_sub(1) else { return Poll::Ready(None) };
        left = fewer;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// When a caller stops waiting.
#[derive(Clone, Copy)]
enum Patience {
    /// After this number of polls.
    Polls(u64),
    /// After this time.
    Time(Duration),
}

impl Patience {
    /// Waits for the future. `None` if the caller stopped waiting before the future finished.
    async fn await_or_abandon<F: Future>(self, future: F) -> Option<F::Output> {
        match self {
            Self::Polls(polls) => poll_at_most(polls, future).await,
            Self::Time(time) => tokio::time::timeout(time, future).await.ok(),
        }
    }
}

/// The callers of a check. In each round, the first caller stops waiting after one poll. Each next caller waits for one
/// more poll than the caller before it, until a caller gets an answer. Then the round has one caller for each of the
/// [`DEADLINES`].
#[derive(Default)]
struct Callers {
    round: u32,
    /// The number of polls after which the latest caller of this round stopped waiting.
    polls: u64,
    /// The number of [`DEADLINES`] that this round has used.
    deadlines: usize,
    /// Whether the latest caller got an answer. If it did, a caller with more polls would also get an answer, and is
    /// not tried.
    was_answered: bool,
}

impl Callers {
    /// Returns the patience of the next caller. `None` after the last round.
    fn next(&mut self) -> Option<Patience> {
        if self.deadlines == 0 && !self.was_answered && self.polls < MAX_POLLS {
            self.polls += 1;
            return Some(Patience::Polls(self.polls));
        }
        if let Some(deadline) = DEADLINES.get(self.deadlines) {
            self.deadlines += 1;
            return Some(Patience::Time(*deadline));
        }
        *self = Self { round: self.round + 1, polls: 1, deadlines: 0, was_answered: self.was_answered };
        (self.round < ROUNDS).then_some(Patience::Polls(self.polls))
    }

    /// Records whether the latest caller got an answer.
    fn record<T>(&mut self, answer: Option<&T>) {
        self.was_answered = answer.is_some();
    }
}

pub(super) async fn an_abandoned_swap_is_written_completely_or_not_at_all(trial: &Trial) -> Result<(), Broken> {
    for_each_kind(trial, |register| async move {
        let events = |revision| [0, 1].map(|nth| samples::numbered_event(&register.key, revision * 2 + nth));
        let mut written: Vec<NewEvent> = Vec::new();
        let mut current: Option<u64> = None;
        let mut revision = 1;
        let mut callers = Callers::default();
        while let Some(patience) = callers.next() {
            let (abandoned, after) = (Stored::new(revision), Stored::new(revision + 1));
            let its_events = events(revision);
            let answer = patience
                .await_or_abandon(register.swap_with(current, Some(abandoned), &its_events))
                .await
                .transpose()?;
            callers.record(answer.as_ref());
            // This swap expects the same revision as the abandoned swap, so exactly one of the two swaps can succeed.
            let next = register.swap_with(current, Some(after), &events(revision + 1)).await?;
            let expected = match (answer, next) {
                (Some(Swapped::Done) | None, Swapped::Stale(Some(found))) if found == abandoned => {
                    written.extend(its_events);
                    Some(abandoned.revision)
                }
                (None, Swapped::Done) => {
                    written.extend(events(revision + 1));
                    Some(after.revision)
                }
                (answer, next) => {
                    return Err(Broken(format!(
                        "an abandoned swap of {current:?} answered {answer:?}, and the swap after it {next:?}"
                    )));
                }
            };
            current = expected;
            revision += 2;
        }
        if register.kind == Kind::Row {
            let (storage, tenant) = (&register.tenant.storage, &register.tenant.id);
            eventually("the events of abandoned swaps", written, || all_events(storage, tenant)).await?;
        }
        Ok(())
    })
    .await
}

/// A driver may leave the transaction of an abandoned write open on its database connection. The write of the next
/// caller on this connection would then be lost with that transaction.
pub(super) async fn an_abandoned_swap_does_not_undo_later_swaps(trial: &Trial) -> Result<(), Broken> {
    /// The number of swaps after each abandoned swap. It is greater than the usual number of database connections in a
    /// pool, so that every database connection is used again.
    const OTHERS: u64 = 12;
    let tenant = trial.tenant().await?;
    let other = Register::new(&tenant, "other", Kind::Token)?;
    let (mut current, mut revision) = (None, 1);
    let mut callers = Callers::default();
    while let Some(patience) = callers.next() {
        // Concurrent loads make the pool open all its database connections.
        race((0..OTHERS).map(|_| other.clone()).map(|register| async move { register.load().await })).await?;
        let abandoned = Register::new(&tenant, &format!("account {revision}"), Kind::Row)?;
        let answer = patience.await_or_abandon(abandoned.swap(None, Some(Stored::new(1)))).await.transpose()?;
        callers.record(answer.as_ref());
        for _ in 0..OTHERS {
            let answer = other.swap(current, Some(Stored::new(revision))).await?;
            ensure_eq!(answer, Swapped::Done, "a swap that expects the revision of the swap before it");
            current = Some(revision);
            revision += 1;
        }
    }
    eventually("a load", current.map(Stored::new), || other.load()).await
}

pub(super) async fn an_abandoned_append_once_appends_its_event_at_most_once(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let key = samples::key("customer", "account")?;
    let mut appended = Vec::new();
    let mut callers = Callers::default();
    while let Some(patience) = callers.next() {
        let number = appended.len() as u64;
        let once = samples::once(&format!("{number}"));
        let event = samples::numbered_event(&key, number);
        let answer =
            patience.await_or_abandon(tenant.storage.append_once(&tenant.id, &once, &event, None)).await.transpose()?;
        let again = tenant.storage.append_once(&tenant.id, &once, &event, None).await?;
        callers.record(answer.as_ref());
        if let Some(first) = answer {
            ensure_eq!((first, again), (true, false), "`append_once`, and the same call again");
        }
        appended.push(event);
    }
    let (storage, tenant) = (&tenant.storage, &tenant.id);
    eventually("the events of repeated `append_once` calls", appended, || all_events(storage, tenant)).await
}
