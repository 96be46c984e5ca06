//! Tests of machines whose clocks are wrong, differ from each other, or jump. Each access token is renewed in time,
//! each refresh token is sent only once, and every connection keeps working.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use fake_tiktok_shop::{EarlierToken, Fault};
use tiktok_shop_host::ConnectorHost;
use tiktok_shop_host::clock::{Clock, ManualClock};
use tiktok_shop_host::connection::{ConnectionKey, ConnectionStatus, UnixSeconds};
use tiktok_shop_host::refresh::{RefreshEffect, RefreshMode, Refreshed};
use tiktok_shop_host::storage::Due;
use tiktok_shop_host::sweep::{AccessTokenState, SweepOutcome, Swept};
use tiktok_shop_tests::{DAY, ORDERS, Stage, TOKEN_REFRESH, customer_id, order_search, refusal, sweep_at, tenant};

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;

/// The clock of one machine. It may differ from the stage's clock, and it may jump.
struct MachineClock {
    time: Arc<ManualClock>,
    /// How far the wall clock is ahead of the stage's clock, in seconds.
    ahead: AtomicI64,
    /// The number of readings of the wall clock that are left before the jump.
    readings_left: AtomicUsize,
    jumped: AtomicBool,
    jump: Jump,
}

/// A jump of a clock between two readings, in seconds.
#[derive(Clone, Copy, Debug)]
enum Jump {
    /// The wall clock was set: forward by this many seconds, or back if the number is negative.
    Wall(i64),
    /// This much time passed, but the wall clock was set back by the same amount. So only the monotonic clock shows the
    /// jump.
    Monotonic(u64),
}

impl MachineClock {
    fn ahead(stage: &Stage, seconds: i64) -> Arc<Self> {
        let machine = Self::jumping(stage, Jump::Wall(0), 0);
        machine.ahead.store(seconds, Ordering::SeqCst);
        machine
    }

    fn jumping(stage: &Stage, jump: Jump, readings: usize) -> Arc<Self> {
        let (ahead, readings_left) = (AtomicI64::new(0), AtomicUsize::new(readings));
        Arc::new(Self { time: Arc::clone(&stage.clock), ahead, readings_left, jump, jumped: AtomicBool::new(false) })
    }
}

/// The host reads the wall clock first, then the monotonic clock. So each reading of the wall clock decides whether the
/// jump has happened, also for the reading of the monotonic clock that follows.
impl Clock for MachineClock {
    fn wall(&self) -> Duration {
        let decrement = |left: usize| left.checked_sub(1);
        let jumped = self.readings_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, decrement).is_err();
        self.jumped.store(jumped, Ordering::SeqCst);
        let jump = match self.jump {
            Jump::Wall(seconds) if jumped => seconds,
            Jump::Wall(_) | Jump::Monotonic(_) => 0,
        };
        let ahead = self.ahead.load(Ordering::SeqCst) + jump;
        Duration::from_secs(self.time.wall().as_secs().saturating_add_signed(ahead))
    }

    fn monotonic(&self) -> Duration {
        let jump = match self.jump {
            Jump::Monotonic(seconds) if self.jumped.load(Ordering::SeqCst) => seconds,
            Jump::Monotonic(_) | Jump::Wall(_) => 0,
        };
        self.time.monotonic() + Duration::from_secs(jump)
    }
}

fn host(stage: &Stage, clock: &Arc<MachineClock>) -> ConnectorHost {
    stage.host_builder().clock(Arc::clone(clock) as Arc<_>).build().unwrap()
}

/// Returns the time when the stored access token expires. Panics if TikTok does not accept this token now.
async fn end_of_stored_token(stage: &Stage, key: &ConnectionKey) -> u64 {
    let record = String::from_utf8(stage.token_record(key).await.unwrap()).unwrap();
    let issued = stage.issued("one-shop").access_tokens;
    issued.into_iter().find(|issued| issued.honoured && record.contains(&issued.token)).unwrap().expires_at
}

#[tokio::test]
async fn in_a_year_of_sweeps_two_machines_twenty_minutes_apart_renew_at_most_65_times() {
    let stage = Stage::new();
    // TikTok refuses a replaced access token. So the stored token must always be the newest one.
    stage.fake.update_switches(|switches| switches.access_token_after_refresh = EarlierToken::Refused);
    let key = stage.connect("alice", "one-shop").await.unwrap().key;
    let machines = [-10 * MINUTE, 10 * MINUTE].map(|ahead| MachineClock::ahead(&stage, ahead));
    let hosts = [host(&stage, &machines[0]), host(&stage, &machines[1])];
    let is_active = |_: &Due, outcome: &SweepOutcome| match outcome {
        SweepOutcome::Refreshed(refreshed) => assert_eq!(refreshed.connection.status, ConnectionStatus::Active),
        SweepOutcome::PassedOver(passed_over) => assert_eq!(passed_over.access_token, AccessTokenState::Valid),
        // The other machine has renewed the tokens meanwhile.
        SweepOutcome::NoLongerDue => {}
        SweepOutcome::Ended(_) | SweepOutcome::Failed(_) => panic!("{outcome:?}"),
    };
    let mut valid_until = end_of_stored_token(&stage, &key).await;
    let mut renewals = 0;
    for hour in 0..365 * 24 {
        stage.advance(3600);
        assert!(stage.fake.now() < valid_until, "hour {hour}");
        let now = machines.each_ref().map(|machine| machine.wall().as_secs());
        // The test skips the sweeps if no connection is due by either clock, because a sweep without due connections
        // would still wait for a timer. If a connection is due by one clock, it is due by the clock that is ahead.
        if stage.storage.due(UnixSeconds(now[1]), None, 1).await.unwrap().is_empty() {
            continue;
        }
        let sweeps = now.map(|now| sweep_at(now, 1));
        let (one, other) = tokio::join!(
            hosts[0].sweep(sweeps[0], pending(), is_active),
            hosts[1].sweep(sweeps[1], pending(), is_active),
        );
        assert_eq!(one.unwrap().failed + other.unwrap().failed, 0);
        valid_until = end_of_stored_token(&stage, &key).await;
        renewals += stage.requests_to(TOKEN_REFRESH);
        assert!(renewals <= 65, "after {hour} hours");
        stage.clear_requests();
    }
    assert!(renewals >= 55, "{renewals} renewals");
}

#[tokio::test]
async fn machines_whose_clocks_are_ten_minutes_wrong_renew_in_time_and_can_call() {
    let stage = Stage::new();
    let shop = stage.connect("alice", "one-shop").await.unwrap().shops.remove(0).id;
    let hosts = [-10 * MINUTE, 0, 10 * MINUTE].map(|ahead| host(&stage, &MachineClock::ahead(&stage, ahead)));
    let mut renewals = 0;
    for day in 1..=21 {
        stage.advance(DAY);
        stage.clear_requests();
        for host in &hosts {
            let alice = customer_id("alice");
            let connection = host.refresh(&tenant(0), &alice, None, RefreshMode::WhenDue).await.unwrap().connection;
            assert_eq!((connection.status, connection.last_failure), (ConnectionStatus::Active, None), "day {day}");
            let hour = Duration::from_secs(3600);
            let token = host.access_token(&tenant(0), &customer_id("alice"), None, hour).await.unwrap();
            assert!(token.expires_at.unwrap() > UnixSeconds(stage.fake.now() + 3600), "day {day}");
            let response = host.call(&tenant(0), &customer_id("alice"), order_search(&shop)).await.unwrap();
            assert!(response.is_success(), "day {day}");
        }
        assert_eq!(stage.requests_to(ORDERS), 5, "a host whose time TikTok refuses sends its request twice");
        renewals += stage.requests_to(TOKEN_REFRESH);
    }
    assert_eq!(renewals, 3);
}

#[tokio::test]
async fn a_wall_clock_that_is_set_between_calls_causes_at_most_one_renewal() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    let machine = MachineClock::ahead(&stage, 0);
    let wrong = host(&stage, &machine);
    let year = 365 * 24 * HOUR;
    // Each tuple holds how many seconds the clock of the host `wrong` is ahead, and the expected number of renewals. If
    // its clock is a year ahead, this host believes that its new token has already ended. With the next tuple, three
    // days later, all clocks are right, and the token is renewed again.
    let settings =
        [(0, 0), (-HOUR, 0), (HOUR, 1), (-24 * HOUR, 0), (24 * HOUR, 1), (-year, 0), (0, 1), (year, 1), (0, 1)];
    for (ahead, renewals) in settings {
        machine.ahead.store(ahead, Ordering::SeqCst);
        stage.clear_requests();
        for host in [&wrong, &stage.host, &wrong, &stage.host, &wrong] {
            let alice = customer_id("alice");
            let connection = host.refresh(&tenant(0), &alice, None, RefreshMode::WhenDue).await.unwrap().connection;
            assert_eq!((connection.status, connection.last_failure), (ConnectionStatus::Active, None), "{ahead}");
            stage.advance(11 * 60);
        }
        assert_eq!(stage.requests_to(TOKEN_REFRESH), renewals, "{ahead}");
        stage.advance(3 * DAY);
    }
    stage.advance(8 * DAY);
    stage.clear_requests();
    let connection = stage.refresh("alice", RefreshMode::WhenDue).await.unwrap();
    assert_eq!((connection.status, stage.requests_to(TOKEN_REFRESH)), (ConnectionStatus::Active, 1));
    assert_eq!(end_of_stored_token(&stage, &connection.key).await, stage.fake.now() + 7 * DAY);
}

/// Makes one refresh for each reading of the clock: in the first refresh, the clock jumps before the first reading, in
/// the second refresh before the second reading, and so on. The last refresh ends before its jump. After each refresh,
/// a host with a correct clock refreshes the same connection. Returns how many of the refreshes on the jumping clock
/// succeeded, and how many ended because it was too late to send the refresh token.
async fn outcomes(jump: Jump) -> (usize, usize) {
    let stage = Stage::new();
    let (mut renewed, mut too_late) = (0, 0);
    for readings in 0.. {
        stage.connect("alice", "one-shop").await.unwrap();
        stage.advance(8 * DAY);
        stage.clear_requests();
        let machine = MachineClock::jumping(&stage, jump, readings);
        let outcome =
            host(&stage, &machine).refresh(&tenant(0), &customer_id("alice"), None, RefreshMode::WhenDue).await;
        match outcome {
            Ok(Refreshed { connection, .. }) => {
                assert_eq!((connection.status, connection.last_failure), (ConnectionStatus::Active, None));
                renewed += 1;
            }
            late => {
                assert_eq!(refusal(late), ("retry-after", "refresh-too-late".to_owned()), "{jump:?} {readings}");
                assert_eq!(stage.requests_to(TOKEN_REFRESH), 0, "{jump:?} {readings}");
                too_late += 1;
            }
        }
        // Two hours later, every back-off is over, even if it was set by a clock that was one hour ahead.
        stage.advance(2 * 3600);
        let connection = stage.refresh("alice", RefreshMode::WhenDue).await.unwrap();
        assert_eq!((connection.status, connection.last_failure), (ConnectionStatus::Active, None));
        assert_eq!(stage.requests_to(TOKEN_REFRESH), 1, "{jump:?} {readings}");
        if machine.readings_left.load(Ordering::SeqCst) > 0 {
            break;
        }
    }
    (renewed, too_late)
}

#[tokio::test]
async fn a_refresh_during_which_the_clock_jumps_sends_the_token_once_or_reports_that_it_is_too_late() {
    let (calls, _) = outcomes(Jump::Wall(0)).await;
    assert!(calls > 5, "{calls} readings");
    for jump in [Jump::Wall(-HOUR), Jump::Wall(-24 * HOUR), Jump::Wall(70), Jump::Monotonic(70)] {
        assert_eq!(outcomes(jump).await, (calls, 0), "{jump:?}");
    }
    // Before the host sends the refresh token, it stores a claim (a note in the token record that one caller sends the
    // refresh token now). If one of these longer jumps comes between the claim and the request, too much of the claim's
    // time is over, and the host does not send the request.
    for jump in [Jump::Wall(10 * MINUTE), Jump::Wall(HOUR), Jump::Monotonic(90)] {
        assert_eq!(outcomes(jump).await, (calls - 1, 1), "{jump:?}");
    }
}

/// The machine whose clock is ahead believes that the new token has already ended, and that the next renewal is due in
/// its own future.
#[tokio::test]
async fn a_token_that_a_machine_eight_days_ahead_has_renewed_is_found_by_the_sweeps_of_the_others() {
    let stage = Stage::new();
    let key = stage.connect("alice", "one-shop").await.unwrap().key;
    stage.advance(DAY);
    let (wrong, alice) = (host(&stage, &MachineClock::ahead(&stage, 8 * 24 * HOUR)), customer_id("alice"));
    let refreshed = wrong.refresh(&tenant(0), &alice, None, RefreshMode::WhenDue).await.unwrap();
    assert_eq!((refreshed.effect, refreshed.connection.access_expires_at), (RefreshEffect::Renewed, None));
    let ends = end_of_stored_token(&stage, &key).await;
    stage.clear_requests();
    while stage.requests_to(TOKEN_REFRESH) == 0 {
        stage.advance(3600);
        assert!(stage.fake.now() < ends, "no sweep found the token before its end");
        let swept = stage.host.sweep(sweep_at(stage.fake.now(), 1), pending(), |_, _| ()).await.unwrap();
        assert_eq!(swept.failed, 0);
    }
    let token = stage.host.access_token(&tenant(0), &alice, None, Duration::from_secs(60)).await.unwrap();
    assert_eq!(token.expires_at, Some(UnixSeconds(stage.fake.now() + 7 * DAY)));
}

/// After an unreadable answer, the claim stays in the record for two minutes, by the clock of the storage. By the clock
/// of a machine that is three minutes ahead, the refresh is due again.
#[tokio::test]
async fn a_sweep_that_sends_nothing_says_so() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    stage.advance(6 * DAY + 3 * 3600);
    let name = "an empty object";
    stage.fake.fault_next(TOKEN_REFRESH, name, Fault::named(name).unwrap());
    let unreadable = stage.refresh("alice", RefreshMode::WhenDue).await;
    assert_eq!(refusal(unreadable), ("retry-after", "answer-unreadable".to_owned()));
    stage.clear_requests();

    let ahead = host(&stage, &MachineClock::ahead(&stage, 3 * MINUTE));
    let mut errors = Vec::new();
    let swept = ahead
        .sweep(sweep_at(stage.fake.now() + 180, 1), pending(), |_, outcome| {
            let SweepOutcome::PassedOver(passed_over) = outcome else { panic!("{outcome:?}") };
            errors.push(passed_over.error.clone());
        })
        .await
        .unwrap();
    assert_eq!(swept, Swept { held: 1, ..Swept::default() });
    assert_eq!(swept.to_string(), "0 refreshed, 1 held, 0 failed, notices: 0");
    // A forced refresh on a machine with a correct clock sends nothing either.
    let alice = customer_id("alice");
    let forced = stage.host.refresh(&tenant(0), &alice, None, RefreshMode::Forced).await.unwrap();
    let RefreshEffect::NothingSent(error) = forced.effect else { panic!("{:?}", forced.effect) };
    errors.push(error);
    for error in errors {
        assert_eq!((error.action().as_str(), error.failure().code.as_str()), ("retry-after", "refresh-in-progress"));
    }
    assert_eq!(stage.fake.requests(), []);
    stage.advance(121);
    let refreshed = stage.host.refresh(&tenant(0), &alice, None, RefreshMode::Forced).await.unwrap();
    assert_eq!(refreshed.effect, RefreshEffect::Renewed);
}
