//! Tests the order in which waiting calls get a place. The tests poll the calls by hand, so they know which calls have
//! a place, and they need neither an async runtime nor a clock.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::*;

/// A call that waits for a place.
struct Waiting(Pin<Box<dyn Future<Output = Place>>>);

impl Waiting {
    /// Begins to wait.
    fn begin(turns: &Turns, tenant: &str) -> Self {
        let (turns, tenant) = (turns.clone(), tenant.parse().unwrap());
        let mut waiting = Self(Box::pin(async move { turns.take(&tenant).await }));
        assert!(waiting.place().is_none(), "the call was served at once");
        waiting
    }

    /// Returns the place of the call, or `None` if the call still waits.
    fn place(&mut self) -> Option<Place> {
        match self.0.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(place) => Some(place),
            Poll::Pending => None,
        }
    }
}

fn take(turns: &Turns, tenant: &str) -> Option<Place> {
    let (turns, tenant) = (turns.clone(), tenant.parse().unwrap());
    Waiting(Box::pin(async move { turns.take(&tenant).await })).place()
}

/// Serves one waiting call after another, and returns the tenants in the order in which they were served. Each call
/// gives its place back before the next call is served.
fn order(mut holding: Place, waiting: &mut Vec<Waiting>) -> Vec<String> {
    let mut order = Vec::new();
    while !waiting.is_empty() {
        drop(holding);
        let served = waiting.iter_mut().enumerate().find_map(|(at, call)| call.place().map(|place| (at, place)));
        let Some((at, place)) = served else { panic!("nobody was served after {order:?}") };
        drop(waiting.swap_remove(at));
        order.push(place.tenant.as_str().to_owned());
        holding = place;
    }
    order
}

#[test]
fn a_tenant_with_ten_thousand_waiting_calls_does_not_change_when_others_are_served() {
    let turns = Turns::new(1, 1);
    let holding = take(&turns, "busy").unwrap();
    let mut waiting: Vec<_> = (0..10_000).map(|_| Waiting::begin(&turns, "busy")).collect();
    waiting.extend(["quiet", "quiet", "other"].map(|tenant| Waiting::begin(&turns, tenant)));
    let others: Vec<_> = waiting.split_off(10_000);
    let mut first: Vec<_> = others.into_iter().chain(waiting.drain(9_990..)).collect();
    drop(waiting);

    // The calls that stopped waiting do not count. The remaining calls are served one tenant after the other.
    let served = order(holding, &mut first);
    assert_eq!(served[..6], ["quiet", "other", "busy", "quiet", "busy", "busy"]);
    assert_eq!(served.len(), 13);
    assert!(turns.lock().tenants.is_empty(), "nothing is left of the tenants");
}

#[test]
fn a_tenant_gets_no_more_than_its_share_and_the_rest_stays_free_for_others() {
    let turns = Turns::new(4, 1);
    let first = take(&turns, "busy").unwrap();
    let mut waiting: Vec<_> = (0..10_000).map(|_| Waiting::begin(&turns, "busy")).collect();
    let others: Vec<_> = ["a", "b", "c"].iter().map(|tenant| take(&turns, tenant).unwrap()).collect();
    assert!(take(&turns, "d").is_none(), "all places are taken");
    drop(others);
    assert!(waiting.iter_mut().all(|call| call.place().is_none()), "the tenant has its share");
    drop(first);
    let second = waiting[0].place();
    assert!(second.is_some(), "the call that waits longest");
    assert!(waiting[1..].iter_mut().all(|call| call.place().is_none()));
}

#[test]
fn the_calls_of_one_tenant_are_served_in_the_order_in_which_they_came() {
    let turns = Turns::new(2, 2);
    let (one, two) = (take(&turns, "a").unwrap(), take(&turns, "a").unwrap());
    let mut waiting: Vec<_> = (0..5).map(|_| Waiting::begin(&turns, "a")).collect();
    drop((one, two));
    for at in [0, 1] {
        assert!(waiting[at].place().is_some(), "call {at}");
    }
    assert!(waiting[2].place().is_some(), "the places of the first two calls are free again");
}

#[test]
fn a_call_that_stops_waiting_loses_no_place() {
    let turns = Turns::new(1, 1);
    let holding = take(&turns, "a").unwrap();
    let served_but_not_awake = Waiting::begin(&turns, "b");
    let mut last = Waiting::begin(&turns, "c");
    // The place goes to the call of `b`, whose future is dropped before it takes the place.
    drop(holding);
    assert!(last.place().is_none());
    drop(served_but_not_awake);
    let place = last.place();
    assert!(place.is_some());
    drop(place);
    assert_eq!(turns.lock().free, 1);
    assert!(turns.lock().tenants.is_empty());
}

#[test]
fn a_tenant_that_comes_back_has_one_turn_in_a_round() {
    let turns = Turns::new(1, 1);
    let holding = take(&turns, "a").unwrap();
    // The only waiting call of the tenant `back` stops waiting. Then two other calls of this tenant begin to wait.
    drop(Waiting::begin(&turns, "back"));
    let mut waiting = ["back", "other", "back"].map(|tenant| Waiting::begin(&turns, tenant)).into_iter().collect();
    assert_eq!(order(holding, &mut waiting), ["back", "other", "back"]);
}

#[test]
fn a_share_of_zero_counts_as_one() {
    let turns = Turns::new(2, 0);
    let place = take(&turns, "a");
    assert!(place.is_some() && take(&turns, "a").is_none());
}
