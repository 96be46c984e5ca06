//! What a process can do in the simulated years: wait, use the storage, and send a request. A process may be killed or
//! stall whenever it waits.

use super::fate::{Access, Draw, SECOND, Way};
use super::world::World;
use crate::provider::{Answer, Issued};
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

/// An access to storage failed. It may have happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unavailable;

/// The answer to a refresh, as a process sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Pair(Issued),
    /// TikTok rejects the refresh token.
    Rejected,
    /// No connection, or HTTP 429: TikTok did certainly not act.
    NotConnected,
    Limited,
    /// A time-out or a reset.
    Lost,
    ServerError,
    Page,
}

#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) world: Rc<RefCell<World>>,
    pub(crate) machine: usize,
}

impl Process {
    pub(crate) fn world<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut self.world.borrow_mut())
    }

    pub(crate) fn now(&self) -> u64 {
        self.world.borrow().now
    }

    /// Waits for this many milliseconds.
    pub(crate) async fn sleep(&self, time: u64) {
        let mut waited = false;
        poll_fn(|_| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            self.world(|world| world.wake = world.now + time);
            Poll::Pending
        })
        .await;
    }

    async fn sleep_between(&self, least: u64, most: u64) {
        let time = self.world(|world| world.rng.u64(least..=most));
        self.sleep(time).await;
    }

    /// Makes one access to storage, within some milliseconds.
    pub(crate) async fn storage<T>(&self, act: impl FnOnce(&mut World) -> T) -> Result<T, Unavailable> {
        self.sleep_between(1, 4).await;
        if self.world(World::storage_is_out) {
            self.sleep(SECOND).await;
            return Err(Unavailable);
        }
        let outcome = self.world(|world| match world.next_access() {
            Access::Answered => Ok(act(world)),
            Access::Dropped => Err(Unavailable),
            Access::AnswerLost => {
                act(world);
                Err(Unavailable)
            }
        });
        self.sleep_between(1, 3).await;
        outcome
    }

    /// Sends a refresh token, and waits at most `timeout` milliseconds for the answer.
    pub(crate) async fn send(&self, token: &str, timeout: u64) -> Reply {
        let way = self.world(|world| world.next_way(Draw::Token));
        let began = self.now();
        self.sleep_between(30, 150).await;
        let is_late = || self.now().saturating_sub(began) > timeout;
        if way == Way::NotConnected || is_late() {
            return Reply::NotConnected;
        }
        let answer = match way {
            Way::Answered | Way::LostAfter | Way::ErrorAfter => Some(self.world(|world| world.refresh(token))),
            Way::NotConnected | Way::LostBefore | Way::ErrorBefore | Way::Limited | Way::Page => None,
        };
        let lost = matches!(way, Way::LostAfter | Way::ErrorAfter);
        if let (Some(Answer::Pair(pair)), true) = (answer, lost) {
            self.world(|world| world.answer_lost(pair.number));
        }
        // A request that gets no answer ends with a reset, or with the time-out of the client.
        let silent = matches!(way, Way::LostBefore | Way::LostAfter) && self.world(|world| world.rng.bool());
        if silent && timeout < u64::MAX {
            self.sleep(timeout).await;
        } else {
            self.sleep_between(100, 600).await;
        }
        match (way, answer) {
            (Way::LostBefore | Way::LostAfter, _) => Reply::Lost,
            (Way::ErrorBefore | Way::ErrorAfter, _) => Reply::ServerError,
            (Way::Limited, _) => Reply::Limited,
            (Way::Page, _) => Reply::Page,
            (_, Some(Answer::Pair(pair))) => {
                if is_late() {
                    self.world(|world| world.answer_late(pair.number));
                    return Reply::Lost;
                }
                self.world(|world| world.received(pair.number));
                Reply::Pair(pair)
            }
            (_, Some(Answer::Rejected | Answer::CodeSpent)) => Reply::Rejected,
            (_, None) => Reply::Lost,
        }
    }

    /// Makes another request to TikTok. Returns whether TikTok has answered it.
    pub(crate) async fn call(&self) -> bool {
        let way = self.world(|world| world.next_way(Draw::Api));
        self.sleep_between(100, 400).await;
        way == Way::Answered
    }
}
