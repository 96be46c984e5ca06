//! Plays one history: lets the machines run their programs, kills and stalls them, and counts the losses.

use super::fate::{Draw, Event, Fate, HOUR, MAX_OUTAGE, SECOND, Way, What, YEAR};
use super::process::Process;
use super::world::World;
use super::{BURST, BURST_SPREAD, Cause, INTERVAL, MACHINES, Pace, RESTART, Rates, YEARS_OF_A_HISTORY, Years};
use crate::provider::Policy;
use crate::strategy::{Occasion, Run, Strategy};
use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A connection is healthy if its next refresh is at least this far ahead.
const HEALTHY: u64 = HOUR;
/// A quiet window has no event from this time before the sweep until this time after it. A refresh without faults takes
/// less than three seconds.
const QUIET_BEFORE: u64 = RESTART;
const QUIET_AFTER: u64 = 10 * SECOND;
/// The largest number of accesses to storage in a quiet window.
const MAX_ACCESSES: u64 = 24;
/// A window that is longer than this never ends.
const MAX_WINDOW: u64 = 60 * 24 * HOUR;
/// A time after the end of every history.
const NEVER: u64 = 1_000 * YEAR;

struct Task {
    machine: usize,
    wake: u64,
    run: Run,
}

struct History {
    world: Rc<RefCell<World>>,
    strategy: Strategy,
    tasks: Vec<Task>,
    counts: Years,
    events: Vec<Event>,
}

pub(super) fn history(
    strategy: Strategy,
    policy: Policy,
    rates: Rates,
    (seed, number): (u64, u64),
    pace: Pace,
) -> Years {
    let world = Rc::new(RefCell::new(World::new(Fate::new(seed, number, rates), policy)));
    let mut history = History { world, strategy, tasks: Vec::new(), counts: Years::default(), events: Vec::new() };
    history.connect();
    let end = YEARS_OF_A_HISTORY * YEAR;
    loop {
        let due = history.due().unwrap();
        if due + history.world.borrow().skipped >= end {
            return history.counts;
        }
        history.world.borrow_mut().window += 1;
        let quiet = history.quiet_sweep(due);
        match (quiet, pace) {
            (Some(sweep), Pace::SkipQuietWindows) => history.skip(due, sweep),
            (quiet, _) => {
                let issued = history.window(due);
                let lives = history.strategy.lives(&history.world.borrow());
                assert!(
                    quiet.is_none() || (lives && issued == 1),
                    "{strategy:?}, {policy:?}, history {number}: a quiet window issued {issued} pairs, lives: {lives}"
                );
                if !lives {
                    let cause = history.world.borrow().cause();
                    let index = Cause::ALL.iter().position(|known| *known == cause).unwrap();
                    history.counts.losses[index] += 1;
                    history.connect();
                }
            }
        }
    }
}

impl History {
    fn due(&self) -> Option<u64> {
        self.strategy.due(&self.world.borrow())
    }

    fn process(&self, machine: usize) -> Process {
        Process { world: Rc::clone(&self.world), machine }
    }

    /// Lets the seller consent, while nothing fails.
    fn connect(&mut self) {
        let code = {
            let mut world = self.world.borrow_mut();
            world.calm = true;
            world.consent()
        };
        let mut run = self.strategy.connect(self.process(0), code);
        while run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            let mut world = self.world.borrow_mut();
            world.now = world.wake;
        }
        self.world.borrow_mut().calm = false;
    }

    /// Returns the first sweep of a machine from a point in time on.
    fn sweep(&self, machine: usize, from: u64) -> u64 {
        let world = self.world.borrow();
        let phase = world.fate.bits(Draw::Phase, machine as u64, 0) % INTERVAL;
        let from = from + world.skipped;
        (from.saturating_sub(phase)).div_ceil(INTERVAL) * INTERVAL + phase - world.skipped
    }

    /// Returns the time of the first sweep that finds the connection due, if nothing disturbs its refresh.
    fn quiet_sweep(&mut self, due: u64) -> Option<u64> {
        let machines = match self.strategy.occasion() {
            // Calls of several machines begin at almost the same time.
            Occasion::Calls => return None,
            Occasion::Sweeps => MACHINES,
            Occasion::OneSweep => 1,
        };
        let sweep = (0..machines).map(|machine| self.sweep(machine, due)).min()?;
        let world = self.world.borrow();
        if self.strategy.reads_clocks() && (0..machines).any(|machine| world.skew(machine) != 0) {
            return None;
        }
        let at = sweep + world.skipped;
        let (from, until) = (at - QUIET_BEFORE, at + QUIET_AFTER);
        let mut events = std::mem::take(&mut self.events);
        for hour in (from - MAX_OUTAGE) / HOUR..=until / HOUR {
            world.fate.events(hour, &mut events);
        }
        let disturbed = events.drain(..).any(|Event { at, what }| match what {
            What::Kill { .. } => at >= from && at <= until,
            What::Stall { until: ends, .. } | What::Outage { until: ends } => at <= until && ends >= from,
        });
        self.events = events;
        let window = world.window;
        let quiet = !disturbed
            && [Draw::Token, Draw::Api].into_iter().all(|kind| world.fate.way(kind, window, 0) == Way::Answered)
            && world.fate.first_failed_access(window, MAX_ACCESSES).is_none();
        quiet.then_some(sweep)
    }

    /// Lets a quiet window pass: the connection is then as it was, one refresh later.
    fn skip(&mut self, due: u64, sweep: u64) {
        let mut world = self.world.borrow_mut();
        let jitter = world.fate.bits(Draw::Jitter, world.window, 0) % (2 * HOUR);
        world.skipped += sweep + SECOND + 6 * 24 * HOUR + jitter - due;
        self.counts.refreshes += 1;
    }

    /// Returns the next run of the program that begins after `after[machine]`, and its machine.
    fn arrival(&self, after: &[u64; MACHINES], calls: &mut Vec<(u64, usize)>, burst: &mut u64) -> (u64, usize) {
        let now = self.world.borrow().now;
        let due = self.due().unwrap_or(NEVER).max(now);
        let machines = match self.strategy.occasion() {
            Occasion::Calls => {
                self.fill(due, calls, burst);
                return calls.iter().copied().min().unwrap_or((NEVER, 0));
            }
            Occasion::Sweeps => MACHINES,
            Occasion::OneSweep => 1,
        };
        let first = |machine: usize| (self.sweep(machine, due.max(after[machine])), machine);
        (0..machines).map(first).min().unwrap_or((NEVER, 0))
    }

    /// Adds the calls of the next burst, if there is none left.
    fn fill(&self, due: u64, calls: &mut Vec<(u64, usize)>, burst: &mut u64) {
        let world = self.world.borrow();
        if !calls.is_empty() {
            return;
        }
        let phase = world.fate.bits(Draw::Phase, 0, 1) % INTERVAL;
        let next = (due + world.skipped).saturating_sub(phase).div_ceil(INTERVAL);
        *burst = next.max(*burst + 1);
        let begins = *burst * INTERVAL + phase - world.skipped;
        for call in 0..BURST {
            let offset = world.fate.bits(Draw::Burst, *burst, 2 * call) % BURST_SPREAD;
            let machine = world.fate.bits(Draw::Burst, *burst, 2 * call + 1) as usize % MACHINES;
            calls.push((begins + offset, machine));
        }
    }

    /// Plays the time from a due refresh until the connection is healthy or lost. Returns the number of pairs that
    /// TikTok has issued.
    fn window(&mut self, due: u64) -> u64 {
        self.world.borrow_mut().begin(due);
        let (mut after, mut calls, mut burst) = ([due; MACHINES], Vec::new(), 0);
        loop {
            let now = self.world.borrow().now;
            assert!(now < due + MAX_WINDOW, "a window never ends");
            if self.tasks.is_empty() && self.due().is_none_or(|next| next > now + HEALTHY) {
                break;
            }
            let (arrives, machine) = self.arrival(&after, &mut calls, &mut burst);
            let woken = self.tasks.iter().enumerate().map(|(index, task)| (task.wake, index)).min();
            let next = woken.map_or(arrives, |(wake, _)| wake.min(arrives));
            let kill = {
                let mut world = self.world.borrow_mut();
                world.load_until(next);
                world.next_kill(now, next)
            };
            if let Some((at, killed)) = kill {
                let mut world = self.world.borrow_mut();
                world.now = at;
                world.killed(killed);
                self.tasks.retain(|task| task.machine != killed);
                continue;
            }
            self.world.borrow_mut().now = next;
            match woken {
                Some((wake, index)) if wake <= arrives => self.poll(index),
                Some(_) | None => {
                    calls.retain(|call| *call != (arrives, machine));
                    after[machine] = arrives + 1;
                    self.arrive(machine);
                }
            }
        }
        let issued = self.world.borrow().pairs_issued();
        self.counts.refreshes += issued;
        self.counts.played += issued;
        issued
    }

    /// Starts the program on a machine, unless the machine is down or its last sweep still runs.
    fn arrive(&mut self, machine: usize) {
        let sweeps = self.strategy.occasion() != Occasion::Calls;
        if !self.world.borrow().is_up(machine) || (sweeps && self.tasks.iter().any(|task| task.machine == machine)) {
            return;
        }
        let run = self.strategy.start(self.process(machine));
        let mut world = self.world.borrow_mut();
        let now = world.now;
        let wake = world.postponed(machine, now);
        drop(world);
        self.tasks.push(Task { machine, wake, run });
    }

    fn poll(&mut self, index: usize) {
        let task = &mut self.tasks[index];
        match task.run.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(()) => drop(self.tasks.swap_remove(index)),
            Poll::Pending => {
                let mut world = self.world.borrow_mut();
                let wake = world.wake;
                task.wake = world.postponed(task.machine, wake);
            }
        }
    }
}
