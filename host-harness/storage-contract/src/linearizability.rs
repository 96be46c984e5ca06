//! Checks whether the history of a record is linearizable. A history is linearizable if its swaps can be put into an
//! order that explains every answer. In this order, each swap finds the record that the previous swap left. If one swap
//! returned before a second swap was called, the first swap comes earlier in the order (Herlihy and Wing,
//! "Linearizability", 1990).
//!
//! The search is the algorithm of Wing and Gong ("Testing and verifying concurrent objects", 1993). It remembers the
//! states that it has visited (Lowe, "Testing for linearizability", 2017). A swap without an answer may take effect at
//! any time after its call, or never. A load may be stale, so the order contains only swaps. But if a load finds a
//! record, some swap must have written that record.

use std::collections::HashSet;
use std::fmt;

/// A load or swap of a record, with its answer. Revisions are numbers, and no revision is written twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Operation {
    /// When the operation was called. No two points in time of a history are equal.
    pub(super) called: u64,
    /// When the operation returned.
    pub(super) returned: u64,
    pub(super) action: Action,
}

/// A load or a swap. A revision of `None` means that no record exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Load { found: Option<u64> },
    Swap { expected: Option<u64>, next: Option<u64>, answer: Answer },
}

/// The answer to a swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    /// The swap lost and returned the stored revision.
    Stale(Option<u64>),
    /// The caller did not wait for the answer, or the storage could not tell the outcome.
    Unknown,
}

/// The maximum number of swaps that an error text shows.
const MAX_SHOWN: usize = 6;

/// Returns `Ok` if some order of the swaps explains all answers. Otherwise returns a text that says why no order does.
/// At the start of the history, the record does not exist.
pub(super) fn check_linearizable(history: &[Operation]) -> Result<(), String> {
    for operation in history {
        if let Action::Load { found: Some(found) } = operation.action
            && !history.iter().any(|write| write.may_have_written(found) && write.called < operation.returned)
        {
            return Err(format!("{operation} found a record that nobody had written"));
        }
    }
    let swaps: Vec<_> = history.iter().filter_map(Swap::from_operation).collect();
    search(&swaps)
}

impl Operation {
    fn may_have_written(&self, revision: u64) -> bool {
        match self.action {
            Action::Swap { next: Some(next), answer: Answer::Done | Answer::Unknown, .. } => next == revision,
            Action::Swap { .. } | Action::Load { .. } => false,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { called, returned, action } = self;
        match action {
            Action::Load { found } => write!(f, "load: {found:?} [{called}, {returned}]"),
            Action::Swap { expected, next, answer } => {
                write!(f, "swap {expected:?} to {next:?}: {answer:?} [{called}, {returned}]")
            }
        }
    }
}

struct Swap<'a> {
    operation: &'a Operation,
    expected: Option<u64>,
    next: Option<u64>,
    answer: Answer,
}

impl<'a> Swap<'a> {
    fn from_operation(operation: &'a Operation) -> Option<Self> {
        match operation.action {
            Action::Swap { expected, next, answer } => Some(Self { operation, expected, next, answer }),
            Action::Load { .. } => None,
        }
    }

    /// Returns the revision that this swap leaves if it finds the revision `stored`. Returns the outer `None` if the
    /// search must not put this swap next. Then either the swap's answer does not fit, or the swap has no answer and
    /// would change nothing, so the order need not contain it.
    fn applied_to(&self, stored: Option<u64>) -> Option<Option<u64>> {
        match self.answer {
            Answer::Done => (stored == self.expected).then_some(self.next),
            Answer::Stale(found) => (stored == found && stored != self.expected).then_some(stored),
            Answer::Unknown => (stored == self.expected && self.next != self.expected).then_some(self.next),
        }
    }

    fn is_answered(&self) -> bool {
        self.answer != Answer::Unknown
    }
}

/// The first part of a possible order: the swaps that it contains, and the revision that the last of these swaps
/// leaves.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Prefix {
    /// For each swap, whether the prefix contains it.
    contains: Vec<bool>,
    stored: Option<u64>,
}

impl Prefix {
    /// Returns the swaps that are not in the prefix, with their indexes.
    fn remaining<'a>(&self, swaps: &'a [Swap<'a>]) -> impl Iterator<Item = (usize, &'a Swap<'a>)> {
        swaps.iter().enumerate().zip(&self.contains).filter(|(_, contained)| !**contained).map(|(swap, _)| swap)
    }

    /// Returns this prefix with one more swap, which leaves the revision `stored`.
    fn with(&self, swap: usize, stored: Option<u64>) -> Self {
        let contains = self.contains.iter().enumerate().map(|(at, contained)| *contained || at == swap).collect();
        Self { contains, stored }
    }
}

fn search(swaps: &[Swap<'_>]) -> Result<(), String> {
    let begin = Prefix { contains: vec![false; swaps.len()], stored: None };
    let mut seen = HashSet::from([begin.clone()]);
    let mut open = vec![begin];
    let mut longest: Option<(usize, Prefix)> = None;
    while let Some(prefix) = open.pop() {
        // If one swap returned before a second swap was called, the first swap comes earlier in the order. So the next
        // swap must have been called before any of the remaining swaps returned.
        let answered = prefix.remaining(swaps).filter(|(_, swap)| swap.is_answered());
        let Some(first_return) = answered.map(|(_, swap)| swap.operation.returned).min() else { return Ok(()) };
        let candidates = prefix.remaining(swaps).filter(|(_, swap)| swap.operation.called < first_return);
        let fitting =
            candidates.filter_map(|(at, swap)| Some((swap, prefix.with(at, swap.applied_to(prefix.stored)?))));
        let mut fitting: Vec<_> = fitting.collect();
        // A stale swap changes nothing. If a stale swap fits next, no other swap needs to be tried next.
        if let Some(at) = fitting.iter().position(|(swap, _)| matches!(swap.answer, Answer::Stale(_))) {
            fitting = vec![fitting.swap_remove(at)];
        }
        open.extend(fitting.into_iter().map(|(_, next)| next).filter(|next| seen.insert(next.clone())));
        let length = prefix.contains.iter().filter(|contained| **contained).count();
        if longest.as_ref().is_none_or(|(max, _)| length > *max) {
            longest = Some((length, prefix));
        }
    }
    let Some((length, prefix)) = longest else { return Ok(()) };
    let remaining = prefix.remaining(swaps).filter(|(_, swap)| swap.is_answered());
    let remaining: Vec<_> = remaining.take(MAX_SHOWN).map(|(_, swap)| swap.operation.to_string()).collect();
    let (stored, remaining) = (prefix.stored, remaining.join("; "));
    Err(format!(
        "no order explains the answers: after {length} swaps the record is {stored:?}, and no next one fits: {remaining}"
    ))
}

#[cfg(test)]
mod tests {
    use super::Answer::{Done, Stale, Unknown};
    use super::*;

    fn swap(
        [called, returned]: [u64; 2],
        expected: impl Into<Option<u64>>,
        next: impl Into<Option<u64>>,
        answer: Answer,
    ) -> Operation {
        let action = Action::Swap { expected: expected.into(), next: next.into(), answer };
        Operation { called, returned, action }
    }

    fn load([called, returned]: [u64; 2], found: impl Into<Option<u64>>) -> Operation {
        Operation { called, returned, action: Action::Load { found: found.into() } }
    }

    #[test]
    fn a_sequential_history_is_linearizable() {
        let history = [
            swap([1, 2], None, 10, Done),
            swap([3, 4], 10, 11, Done),
            swap([5, 6], 10, 12, Stale(Some(11))),
            swap([7, 8], 11, None, Done),
            swap([9, 10], 11, 13, Stale(None)),
            swap([11, 12], None, None, Done),
            swap([13, 14], None, 14, Done),
        ];
        assert_eq!(check_linearizable(&history), Ok(()));
        assert_eq!(check_linearizable(&[]), Ok(()));
    }

    #[test]
    fn overlapping_swaps_may_take_effect_in_any_order() {
        // The swap to 11 lost. It was called first and returned last, and the record that it found was written in
        // between.
        let history = [
            swap([2, 3], None, 10, Done),
            swap([1, 8], None, 11, Stale(Some(12))),
            swap([4, 7], 10, 12, Done),
            swap([5, 6], 10, 13, Stale(Some(12))),
        ];
        assert_eq!(check_linearizable(&history), Ok(()));
    }

    #[test]
    fn a_swap_without_an_answer_may_take_effect_at_any_time_or_never() {
        let unknown = swap([1, 2], None, 10, Unknown);
        for rest in [
            swap([3, 4], None, 11, Done),
            swap([3, 4], None, 11, Stale(Some(10))),
            swap([3, 4], 10, 11, Done),
            swap([3, 4], 10, 11, Stale(None)),
        ] {
            assert_eq!(check_linearizable(&[unknown, rest]), Ok(()), "{rest}");
        }
        // The unanswered swap takes effect late, after two swaps that were called after it and did not see its record.
        let late = [
            unknown,
            swap([3, 4], None, 11, Done),
            swap([5, 6], 11, None, Done),
            swap([7, 8], None, 12, Stale(Some(10))),
        ];
        assert_eq!(check_linearizable(&late), Ok(()));
    }

    #[test]
    fn a_load_may_be_stale() {
        let history = [
            swap([1, 2], None, 10, Done),
            swap([3, 4], 10, 11, Done),
            load([5, 6], 10),
            load([7, 8], None),
            swap([9, 12], 11, 12, Unknown),
            load([10, 11], 12),
        ];
        assert_eq!(check_linearizable(&history), Ok(()));
    }

    /// Asserts that the history is rejected with an error that contains `why`.
    fn assert_rejected(history: &[Operation], why: &str) {
        let error = check_linearizable(history).unwrap_err();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn a_lost_update_is_rejected() {
        let history =
            [swap([1, 2], None, 10, Done), swap([3, 6], 10, 11, Done), swap([4, 7], 10, 12, Done), load([8, 9], 12)];
        assert_rejected(&history, "after 2 swaps the record is Some(1");
    }

    #[test]
    fn two_concurrent_creates_that_both_win_are_rejected() {
        assert_rejected(
            &[swap([1, 4], None, 10, Done), swap([2, 3], None, 11, Done)],
            "after 1 swaps the record is Some(1",
        );
    }

    #[test]
    fn two_concurrent_deletes_that_both_win_are_rejected() {
        let history = [swap([1, 2], None, 10, Done), swap([3, 6], 10, None, Done), swap([4, 5], 10, None, Done)];
        assert_rejected(&history, "after 2 swaps the record is None");
    }

    #[test]
    fn a_stale_answer_with_a_record_replaced_before_the_call_is_rejected() {
        let history =
            [swap([1, 2], None, 10, Done), swap([3, 4], 10, 11, Done), swap([5, 6], None, 12, Stale(Some(10)))];
        assert_rejected(
            &history,
            "after 2 swaps the record is Some(11), and no next one fits: swap None to Some(12): Stale(Some(10)) [5, 6]",
        );
    }

    #[test]
    fn a_deleted_record_that_comes_back_is_rejected() {
        let history =
            [swap([1, 2], None, 10, Done), swap([3, 4], 10, None, Done), swap([5, 6], None, 11, Stale(Some(10)))];
        assert_rejected(&history, "after 2 swaps the record is None");
        // An unanswered swap wrote a record that another swap deleted. This record must not come back either.
        let history = [
            swap([1, 2], None, 10, Unknown),
            swap([3, 4], 10, None, Done),
            swap([5, 6], None, 11, Done),
            swap([7, 8], 10, 12, Done),
        ];
        assert_rejected(&history, "after 3 swaps the record is Some(11)");
    }

    #[test]
    fn a_stale_answer_with_the_expected_revision_is_rejected() {
        assert_rejected(
            &[swap([1, 2], None, 10, Done), swap([3, 4], 10, 11, Stale(Some(10)))],
            "after 1 swaps the record is Some(10)",
        );
    }

    #[test]
    fn a_swap_that_takes_effect_before_its_call_is_rejected() {
        assert_rejected(
            &[swap([1, 2], 11, 10, Done), swap([3, 4], None, 11, Done)],
            "after 0 swaps the record is None",
        );
    }

    #[test]
    fn a_load_of_a_stale_or_later_write_is_rejected() {
        let stale = [swap([1, 2], None, 10, Done), swap([3, 4], None, 11, Stale(Some(10))), load([5, 6], 11)];
        assert_rejected(&stale, "load: Some(11) [5, 6] found a record that nobody had written");
        assert_rejected(&[load([1, 2], 10), swap([3, 4], None, 10, Done)], "found a record that nobody had written");
    }

    /// The search is fast enough only because it remembers the states that it has visited.
    #[test]
    fn many_concurrent_swaps_are_checked_quickly() {
        let mut history: Vec<_> = (0..40).map(|n| swap([n, 1_000 + n], None, 100 + n, Stale(Some(99)))).collect();
        history.push(swap([500, 501], None, 99, Done));
        assert_eq!(check_linearizable(&history), Ok(()));
        history.push(swap([502, 503], None, 98, Done));
        assert_rejected(&history, "no next one fits: swap None to Some(98): Done [502, 503]");
    }
}
