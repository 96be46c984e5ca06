//! Whether some order of the swaps of one record explains what each was answered: an order that keeps apart what did not
//! overlap, and in which each finds what the one before it left (Herlihy and Wing, "Linearizability", 1990).
//!
//! The search is that of Wing and Gong ("Testing and verifying concurrent objects", 1993), with a memory of where it has been
//! (Lowe, "Testing for linearizability", 2017). A swap of which nobody knows may take its place at any time after its call, or
//! never. A load may be old, so it takes no place in the order; it must only find something that was written.

use std::collections::HashSet;
use std::fmt;

/// What was asked of a record, when, and what was answered. Revisions are numbers; none is written twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Operation {
    /// No two moments of a history are the same.
    pub(super) called: u64,
    pub(super) returned: u64,
    pub(super) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Load { found: Option<u64> },
    Swap { expected: Option<u64>, next: Option<u64>, answer: Answer },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Stale(Option<u64>),
    /// Nobody waited for it, or storage does not know either.
    Unknown,
}

/// So many swaps are shown of those that none fits.
const SHOWN: usize = 6;

/// `Err`: why no order explains the answers. The record is not there before the first.
pub(super) fn explained(history: &[Operation]) -> Result<(), String> {
    for operation in history {
        if let What::Load { found: Some(found) } = operation.what
            && !history.iter().any(|write| write.may_have_written(found) && write.called < operation.returned)
        {
            return Err(format!("{operation} found what nobody had written"));
        }
    }
    let swaps: Vec<_> = history.iter().filter_map(Swap::of).collect();
    search(&swaps)
}

impl Operation {
    fn may_have_written(&self, revision: u64) -> bool {
        match self.what {
            What::Swap { next: Some(next), answer: Answer::Done | Answer::Unknown, .. } => next == revision,
            What::Swap { .. } | What::Load { .. } => false,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { called, returned, what } = self;
        match what {
            What::Load { found } => write!(f, "load: {found:?} [{called}, {returned}]"),
            What::Swap { expected, next, answer } => {
                write!(f, "swap {expected:?} for {next:?}: {answer:?} [{called}, {returned}]")
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
    fn of(operation: &'a Operation) -> Option<Self> {
        match operation.what {
            What::Swap { expected, next, answer } => Some(Self { operation, expected, next, answer }),
            What::Load { .. } => None,
        }
    }

    /// What stands after it, where this stands before it. `None`: it does not fit here, or would change nothing and need not
    /// be anywhere.
    fn applied_to(&self, stands: Option<u64>) -> Option<Option<u64>> {
        match self.answer {
            Answer::Done => (stands == self.expected).then_some(self.next),
            Answer::Stale(found) => (stands == found && stands != self.expected).then_some(stands),
            Answer::Unknown => (stands == self.expected && self.next != self.expected).then_some(self.next),
        }
    }

    fn is_known(&self) -> bool {
        self.answer != Answer::Unknown
    }
}

/// Swaps that have their place, and what the last of them left.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Placed {
    swaps: Vec<bool>,
    stands: Option<u64>,
}

impl Placed {
    /// Those without a place.
    fn left<'a>(&self, swaps: &'a [Swap<'a>]) -> impl Iterator<Item = (usize, &'a Swap<'a>)> {
        swaps.iter().enumerate().zip(&self.swaps).filter(|(_, placed)| !**placed).map(|(swap, _)| swap)
    }

    fn with(&self, place: usize, stands: Option<u64>) -> Self {
        let swaps = self.swaps.iter().enumerate().map(|(at, placed)| *placed || at == place).collect();
        Self { swaps, stands }
    }
}

fn search(swaps: &[Swap<'_>]) -> Result<(), String> {
    let begin = Placed { swaps: vec![false; swaps.len()], stands: None };
    let mut seen = HashSet::from([begin.clone()]);
    let mut open = vec![begin];
    let mut deepest: Option<(usize, Placed)> = None;
    while let Some(placed) = open.pop() {
        // Whoever was called after another had returned comes after it.
        let known = placed.left(swaps).filter(|(_, swap)| swap.is_known());
        let Some(first_return) = known.map(|(_, swap)| swap.operation.returned).min() else { return Ok(()) };
        let now = placed.left(swaps).filter(|(_, swap)| swap.operation.called < first_return);
        let fitting = now.filter_map(|(at, swap)| Some((swap, placed.with(at, swap.applied_to(placed.stands)?))));
        let mut fitting: Vec<_> = fitting.collect();
        // One that changes nothing and fits here need not be tried anywhere else.
        if let Some(at) = fitting.iter().position(|(swap, _)| matches!(swap.answer, Answer::Stale(_))) {
            fitting = vec![fitting.swap_remove(at)];
        }
        open.extend(fitting.into_iter().map(|(_, next)| next).filter(|next| seen.insert(next.clone())));
        let depth = placed.swaps.iter().filter(|placed| **placed).count();
        if deepest.as_ref().is_none_or(|(most, _)| depth > *most) {
            deepest = Some((depth, placed));
        }
    }
    let Some((depth, placed)) = deepest else { return Ok(()) };
    let left = placed.left(swaps).filter(|(_, swap)| swap.is_known());
    let left: Vec<_> = left.take(SHOWN).map(|(_, swap)| swap.operation.to_string()).collect();
    let (stands, left) = (placed.stands, left.join("; "));
    Err(format!("no order explains the answers: {depth} swaps leave {stands:?}, and then none fits of {left}"))
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
        let what = What::Swap { expected: expected.into(), next: next.into(), answer };
        Operation { called, returned, what }
    }

    fn load([called, returned]: [u64; 2], found: impl Into<Option<u64>>) -> Operation {
        Operation { called, returned, what: What::Load { found: found.into() } }
    }

    #[test]
    fn one_after_the_other_is_explained() {
        let history = [
            swap([1, 2], None, 10, Done),
            swap([3, 4], 10, 11, Done),
            swap([5, 6], 10, 12, Stale(Some(11))),
            swap([7, 8], 11, None, Done),
            swap([9, 10], 11, 13, Stale(None)),
            swap([11, 12], None, None, Done),
            swap([13, 14], None, 14, Done),
        ];
        assert_eq!(explained(&history), Ok(()));
        assert_eq!(explained(&[]), Ok(()));
    }

    #[test]
    fn overlapping_swaps_may_have_come_in_any_order() {
        // The loser was called first and returned last; what it found came in between.
        let history = [
            swap([2, 3], None, 10, Done),
            swap([1, 8], None, 11, Stale(Some(12))),
            swap([4, 7], 10, 12, Done),
            swap([5, 6], 10, 13, Stale(Some(12))),
        ];
        assert_eq!(explained(&history), Ok(()));
    }

    #[test]
    fn a_swap_of_which_nobody_knows_may_have_happened_at_any_time_or_never() {
        let unknown = swap([1, 2], None, 10, Unknown);
        for rest in [
            swap([3, 4], None, 11, Done),
            swap([3, 4], None, 11, Stale(Some(10))),
            swap([3, 4], 10, 11, Done),
            swap([3, 4], 10, 11, Stale(None)),
        ] {
            assert_eq!(explained(&[unknown, rest]), Ok(()), "{rest}");
        }
        // It comes into force after two others had seen nothing of it.
        let late = [
            unknown,
            swap([3, 4], None, 11, Done),
            swap([5, 6], 11, None, Done),
            swap([7, 8], None, 12, Stale(Some(10))),
        ];
        assert_eq!(explained(&late), Ok(()));
    }

    #[test]
    fn a_load_may_be_old() {
        let history = [
            swap([1, 2], None, 10, Done),
            swap([3, 4], 10, 11, Done),
            load([5, 6], 10),
            load([7, 8], None),
            swap([9, 12], 11, 12, Unknown),
            load([10, 11], 12),
        ];
        assert_eq!(explained(&history), Ok(()));
    }

    /// Each with the words that say why.
    fn rejected(history: &[Operation], why: &str) {
        let told = explained(history).unwrap_err();
        assert!(told.contains(why), "{told}");
    }

    #[test]
    fn a_lost_update_is_rejected() {
        let history =
            [swap([1, 2], None, 10, Done), swap([3, 6], 10, 11, Done), swap([4, 7], 10, 12, Done), load([8, 9], 12)];
        rejected(&history, "2 swaps leave Some(1");
    }

    #[test]
    fn two_who_create_do_not_both_win() {
        rejected(&[swap([1, 4], None, 10, Done), swap([2, 3], None, 11, Done)], "1 swaps leave Some(1");
    }

    #[test]
    fn two_who_delete_do_not_both_win() {
        let history = [swap([1, 2], None, 10, Done), swap([3, 6], 10, None, Done), swap([4, 5], 10, None, Done)];
        rejected(&history, "2 swaps leave None");
    }

    #[test]
    fn what_had_gone_before_the_call_is_no_answer() {
        let history =
            [swap([1, 2], None, 10, Done), swap([3, 4], 10, 11, Done), swap([5, 6], None, 12, Stale(Some(10)))];
        rejected(
            &history,
            "2 swaps leave Some(11), and then none fits of swap None for Some(12): Stale(Some(10)) [5, 6]",
        );
    }

    #[test]
    fn what_is_deleted_does_not_come_back() {
        let history =
            [swap([1, 2], None, 10, Done), swap([3, 4], 10, None, Done), swap([5, 6], None, 11, Stale(Some(10)))];
        rejected(&history, "2 swaps leave None");
        // Nor does a write of which nobody knew, once it has been seen to be replaced.
        let history = [
            swap([1, 2], None, 10, Unknown),
            swap([3, 4], 10, None, Done),
            swap([5, 6], None, 11, Done),
            swap([7, 8], 10, 12, Done),
        ];
        rejected(&history, "3 swaps leave Some(11)");
    }

    #[test]
    fn a_loser_does_not_find_what_it_expected() {
        rejected(&[swap([1, 2], None, 10, Done), swap([3, 4], 10, 11, Stale(Some(10)))], "1 swaps leave Some(10)");
    }

    #[test]
    fn a_swap_does_not_happen_before_its_call() {
        rejected(&[swap([1, 2], 11, 10, Done), swap([3, 4], None, 11, Done)], "0 swaps leave None");
    }

    #[test]
    fn a_load_finds_neither_what_lost_nor_what_came_later() {
        let lost = [swap([1, 2], None, 10, Done), swap([3, 4], None, 11, Stale(Some(10))), load([5, 6], 11)];
        rejected(&lost, "load: Some(11) [5, 6] found what nobody had written");
        rejected(&[load([1, 2], 10), swap([3, 4], None, 10, Done)], "found what nobody had written");
    }

    /// Without a memory of where it has been the search would not end within a lifetime.
    #[test]
    fn many_at_once_are_explained_or_rejected_soon() {
        let mut history: Vec<_> = (0..40).map(|n| swap([n, 1_000 + n], None, 100 + n, Stale(Some(99)))).collect();
        history.push(swap([500, 501], None, 99, Done));
        assert_eq!(explained(&history), Ok(()));
        history.push(swap([502, 503], None, 98, Done));
        rejected(&history, "none fits of swap None for Some(98): Done [502, 503]");
    }
}
