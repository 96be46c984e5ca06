//! Writes whose caller no longer waits: a deadline has passed, a connection to the customer is gone, a call was dropped.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::broken::{Broken, ensure_same};
use super::concurrency::{race, settles};
use super::events::told;
use super::register::{Kind, Register, Stored, of_each_kind};
use super::samples;
use super::trial::Trial;
use tiktok_shop_host::events::NewEvent;
use tiktok_shop_host::storage::OnceDigest;
use tiktok_shop_host::storage::Swapped;

/// More polls than a write has places where it waits; one that is over earlier ends the search for them.
const MAX_POLLS: u64 = 40;
/// Answers come sooner or later, so that the same poll does not always meet the same place.
const ROUNDS: u32 = 4;
/// Deadlines that pass while a database works.
const DEADLINES: [Duration; 6] = [
    Duration::from_micros(50),
    Duration::from_micros(200),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(4),
];

/// Polls the future so many times at most, then drops it. `None`: it was not over.
pub(super) async fn given_up_after<F: Future>(polls: u64, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
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

/// When a caller gives up.
#[derive(Clone, Copy)]
enum Patience {
    Polls(u64),
    Time(Duration),
}

impl Patience {
    async fn awaits<F: Future>(self, future: F) -> Option<F::Output> {
        match self {
            Self::Polls(polls) => given_up_after(polls, future).await,
            Self::Time(time) => tokio::time::timeout(time, future).await.ok(),
        }
    }
}

/// Callers who give up at each place where a write waits, one after the other, and in the midst of it; some times, as answers
/// come sooner or later.
#[derive(Default)]
struct Callers {
    round: u32,
    /// Where the last one gave up, in this round.
    polls: u64,
    deadlines: usize,
}

impl Callers {
    /// `was_answered`: the last one was. Whoever waits longer will be, too.
    fn next(&mut self, was_answered: bool) -> Option<Patience> {
        if self.deadlines == 0 && !was_answered && self.polls < MAX_POLLS {
            self.polls += 1;
            return Some(Patience::Polls(self.polls));
        }
        if let Some(deadline) = DEADLINES.get(self.deadlines) {
            self.deadlines += 1;
            return Some(Patience::Time(*deadline));
        }
        *self = Self { round: self.round + 1, polls: 1, deadlines: 0 };
        (self.round < ROUNDS).then_some(Patience::Polls(self.polls))
    }
}

pub(super) async fn a_swap_that_nobody_waits_for_happens_whole_or_not_at_all(trial: &Trial) -> Result<(), Broken> {
    of_each_kind(trial, |register| async move {
        let events = |revision| [0, 1].map(|nth| samples::numbered(&register.key, revision * 2 + nth));
        let mut written: Vec<NewEvent> = Vec::new();
        let mut stands: Option<u64> = None;
        let mut revision = 1;
        let (mut callers, mut was_answered) = (Callers::default(), false);
        while let Some(patience) = callers.next(was_answered) {
            let (given_up, after) = (Stored::new(revision), Stored::new(revision + 1));
            let announced = events(revision);
            let answer = patience.awaits(register.swap_with(stands, Some(given_up), &announced)).await.transpose()?;
            was_answered = answer.is_some();
            // A write that comes later expects what will have gone by then.
            let settled = register.swap_with(stands, Some(after), &events(revision + 1)).await?;
            let expected = match (answer, settled) {
                (Some(Swapped::Done) | None, Swapped::Stale(Some(found))) if found == given_up => {
                    written.extend(announced);
                    Some(given_up.revision)
                }
                (None, Swapped::Done) => {
                    written.extend(events(revision + 1));
                    Some(after.revision)
                }
                (answer, settled) => {
                    let text = "the swap after one that was given up answered";
                    return Err(Broken(format!("{text} {settled:?}, and that one {answer:?}; {stands:?} stood there")));
                }
            };
            stands = expected;
            revision += 2;
        }
        if register.kind == Kind::Row {
            let (storage, tenant) = (&register.tenant.storage, &register.tenant.id);
            settles("events of swaps that were given up", written, || told(storage, tenant)).await?;
        }
        Ok(())
    })
    .await
}

/// A driver may leave a transaction open on a connection that it lends to the next caller, whose write then hangs on it.
pub(super) async fn a_swap_that_nobody_waits_for_takes_no_other_along(trial: &Trial) -> Result<(), Broken> {
    /// More than a pool has connections, so that each of them is lent to somebody afterwards.
    const OTHERS: u64 = 12;
    let tenant = trial.tenant().await?;
    let other = Register::new(&tenant, "other", Kind::Token)?;
    let (mut stands, mut revision) = (None, 1);
    let (mut callers, mut was_answered) = (Callers::default(), false);
    while let Some(patience) = callers.next(was_answered) {
        // As many connections as there may be.
        race((0..OTHERS).map(|_| other.clone()).map(|register| async move { register.load().await })).await?;
        let abandoned = Register::new(&tenant, &format!("account {revision}"), Kind::Row)?;
        let answer = patience.awaits(abandoned.swap(None, Some(Stored::new(1)))).await.transpose()?;
        was_answered = answer.is_some();
        for _ in 0..OTHERS {
            let answer = other.swap(stands, Some(Stored::new(revision))).await?;
            ensure_same!(answer, Swapped::Done, "a swap that expects what the one before it had put there");
            stands = Some(revision);
            revision += 1;
        }
    }
    settles("a load", stands.map(Stored::new), || other.load()).await
}

pub(super) async fn an_event_that_nobody_waits_for_is_appended_once_or_not_at_all(trial: &Trial) -> Result<(), Broken> {
    let tenant = trial.tenant().await?;
    let key = samples::key("customer", "account")?;
    let mut appended = Vec::new();
    let (mut callers, mut was_answered) = (Callers::default(), false);
    while let Some(patience) = callers.next(was_answered) {
        let number = appended.len() as u64;
        let once = OnceDigest::of(&format!("{number}"));
        let event = samples::numbered(&key, number);
        let answer = patience.awaits(tenant.storage.append_once(&tenant.id, &once, &event)).await.transpose()?;
        let again = tenant.storage.append_once(&tenant.id, &once, &event).await?;
        was_answered = answer.is_some();
        if let Some(first) = answer {
            ensure_same!((first, again), (true, false), "append_once, and the same again");
        }
        appended.push(event);
    }
    let (storage, tenant) = (&tenant.storage, &tenant.id);
    settles("events that were appended again because nobody had waited", appended, || told(storage, tenant)).await
}
