//! Machines whose clocks are wrong, differ, or jump: tokens are renewed in time, once, and no connection dies of it.

use std::future::pending;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use fake_tiktok_shop::EarlierToken;
use tiktok_shop_host::call::{CallRequest, CallScope, HttpMethod};
use tiktok_shop_host::clock::{Clock, ManualClock};
use tiktok_shop_host::connection::{Connection, ConnectionKey, ConnectionStatus, UnixSeconds};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::storage::Due;
use tiktok_shop_host::sweep::Sweep;
use tiktok_shop_host::{CallError, ConnectorHost};
use tiktok_shop_tests::{DAY, Stage, TOKEN_REFRESH, customer_id, refusal, tenant};

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;

/// The stage's time as one machine has it.
struct MachineClock {
    time: Arc<ManualClock>,
    /// How far its wall clock is ahead, in seconds.
    ahead: AtomicI64,
    /// Readings of the wall clock until it jumps.
    readings_left: AtomicUsize,
    jumped: AtomicBool,
    jump: Jump,
}

/// What happens between two readings, in seconds.
#[derive(Clone, Copy, Debug)]
enum Jump {
    /// Somebody set the wall clock.
    Wall(i64),
    /// Time went by that the wall clock does not show: it was set back by as much.
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

/// The wall clock is read first, then the monotonic one.
impl Clock for MachineClock {
    fn wall(&self) -> Duration {
        let one_less = |left: usize| left.checked_sub(1);
        let jumps = self.readings_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_err();
        self.jumped.store(jumps, Ordering::SeqCst);
        let by = match self.jump {
            Jump::Wall(seconds) if jumps => seconds,
            Jump::Wall(_) | Jump::Monotonic(_) => 0,
        };
        let ahead = self.ahead.load(Ordering::SeqCst) + by;
        Duration::from_secs(self.time.wall().as_secs().saturating_add_signed(ahead))
    }

    fn monotonic(&self) -> Duration {
        let asleep = match self.jump {
            Jump::Monotonic(seconds) if self.jumped.load(Ordering::SeqCst) => seconds,
            Jump::Monotonic(_) | Jump::Wall(_) => 0,
        };
        self.time.monotonic() + Duration::from_secs(asleep)
    }
}

fn host(stage: &Stage, clock: &Arc<MachineClock>) -> ConnectorHost {
    stage.host_builder().clock(Arc::clone(clock) as Arc<_>).build().unwrap()
}

/// The end of the access token that stands in storage, which TikTok honours now.
async fn stored_token_ends(stage: &Stage, key: &ConnectionKey) -> u64 {
    let record = String::from_utf8(stage.token_record(key).await.unwrap()).unwrap();
    let issued = stage.fake.issued(&stage.fake.apps()[0].service_id, "one-shop").unwrap().access_tokens;
    issued.into_iter().find(|issued| issued.honoured && record.contains(&issued.token)).unwrap().expires_at
}

#[tokio::test]
async fn a_year_of_sweeps_by_two_machines_twenty_minutes_apart_costs_at_most_65_rotations() {
    let stage = Stage::new();
    // A token that was renewed is of no use any more: the one in storage has to be the one that is good.
    stage.fake.update_switches(|switches| switches.access_token_after_refresh = EarlierToken::Refused);
    let key = stage.connect("alice", "one-shop").await.unwrap().key;
    let machines = [-10 * MINUTE, 10 * MINUTE].map(|ahead| MachineClock::ahead(&stage, ahead));
    let hosts = [host(&stage, &machines[0]), host(&stage, &machines[1])];
    let alive = |_: &Due, outcome: &Result<Connection, CallError>| {
        assert_eq!(outcome.as_ref().unwrap().status, ConnectionStatus::Active);
    };
    let mut good_until = stored_token_ends(&stage, &key).await;
    let mut rotations = 0;
    for hour in 0..365 * 24 {
        stage.advance(3600);
        assert!(stage.fake.now() < good_until, "hour {hour}");
        let now = machines.each_ref().map(|machine| UnixSeconds(machine.wall().as_secs()));
        // What both would find; a sweep of nothing still waits for a timer.
        if stage.storage.due(now[1], None, 1).await.unwrap().is_empty() {
            continue;
        }
        let sweeps = now.map(|now| Sweep { jitter: Duration::ZERO, ..Sweep::new(now, NonZeroUsize::MIN) });
        let (one, other) =
            tokio::join!(hosts[0].sweep(sweeps[0], pending(), alive), hosts[1].sweep(sweeps[1], pending(), alive),);
        assert_eq!(one.unwrap().failed + other.unwrap().failed, 0);
        good_until = stored_token_ends(&stage, &key).await;
        rotations += stage.requests_to(TOKEN_REFRESH);
        assert!(rotations <= 65, "after {hour} hours");
        stage.clear_requests();
    }
    assert!(rotations >= 55, "{rotations} rotations");
}

#[tokio::test]
async fn machines_ten_minutes_off_renew_in_time_and_are_let_in() {
    const ORDERS: &str = "/order/202309/orders/search";
    let stage = Stage::new();
    let shop = stage.connect("alice", "one-shop").await.unwrap().shops.remove(0).id;
    let hosts = [-10 * MINUTE, 0, 10 * MINUTE].map(|ahead| host(&stage, &MachineClock::ahead(&stage, ahead)));
    let mut rotations = 0;
    for day in 1..=21 {
        stage.advance(DAY);
        stage.clear_requests();
        for host in &hosts {
            let connection = host.refresh(&tenant(0), &customer_id("alice"), None, RefreshMode::WhenDue).await.unwrap();
            assert_eq!((connection.status, connection.last_failure), (ConnectionStatus::Active, None), "day {day}");
            let hour = Duration::from_secs(3600);
            let token = host.access_token(&tenant(0), &customer_id("alice"), None, hour).await.unwrap();
            assert!(token.expires_at.unwrap() > UnixSeconds(stage.fake.now() + 3600), "day {day}");
            let search = CallRequest::new(CallScope::Shop(shop.clone()), HttpMethod::Post, ORDERS);
            let search = search.query("page_size", "1").json("{}");
            assert!(host.call(&tenant(0), &customer_id("alice"), search).await.unwrap().is_success(), "day {day}");
        }
        assert_eq!(stage.requests_to(ORDERS), 5, "twice where TikTok refuses the time");
        rotations += stage.requests_to(TOKEN_REFRESH);
    }
    assert_eq!(rotations, 3);
}

#[tokio::test]
async fn a_wall_clock_set_back_or_ahead_between_calls_causes_no_storm() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    let machine = MachineClock::ahead(&stage, 0);
    let set = host(&stage, &machine);
    let year = 365 * 24 * HOUR;
    // A clock that is a year ahead gets a token that it believes to be long over.
    let settings =
        [(0, 0), (-HOUR, 0), (HOUR, 1), (-24 * HOUR, 0), (24 * HOUR, 1), (-year, 0), (0, 1), (year, 1), (0, 0)];
    for (ahead, renewals) in settings {
        machine.ahead.store(ahead, Ordering::SeqCst);
        stage.clear_requests();
        for host in [&set, &stage.host, &set, &stage.host, &set] {
            let connection = host.refresh(&tenant(0), &customer_id("alice"), None, RefreshMode::WhenDue).await.unwrap();
            assert_eq!((connection.status, connection.last_failure), (ConnectionStatus::Active, None), "{ahead}");
            stage.advance(11 * 60);
        }
        assert_eq!(stage.requests_to(TOKEN_REFRESH), renewals, "{ahead}");
        stage.advance(3 * DAY);
    }
    stage.advance(8 * DAY);
    let connection = stage.refresh("alice", RefreshMode::WhenDue).await.unwrap();
    assert_eq!((connection.status, stage.requests_to(TOKEN_REFRESH)), (ConnectionStatus::Active, 1));
    assert_eq!(stored_token_ends(&stage, &connection.key).await, stage.fake.now() + 7 * DAY);
}

/// Refreshes with a jump before the first reading of the clock, the second, and so on, and then looks with a right clock
/// what became of it. In how many of these calls the token was renewed, and in how many it was found too late for that.
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
            Ok(connection) => {
                assert_eq!((connection.status, connection.last_failure), (ConnectionStatus::Active, None));
                renewed += 1;
            }
            late => {
                assert_eq!(refusal(late), ("retry-after", "refresh-too-late".to_owned()), "{jump:?} {readings}");
                assert_eq!(stage.requests_to(TOKEN_REFRESH), 0, "{jump:?} {readings}");
                too_late += 1;
            }
        }
        // Another machine goes on, after a back-off by a clock that was an hour ahead.
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
async fn a_clock_that_jumps_within_a_call_spends_the_token_once_or_says_that_it_is_too_late() {
    let (calls, _) = outcomes(Jump::Wall(0)).await;
    assert!(calls > 5, "{calls} readings");
    for jump in [Jump::Wall(-HOUR), Jump::Wall(-24 * HOUR), Jump::Wall(70), Jump::Monotonic(70)] {
        assert_eq!(outcomes(jump).await, (calls, 0), "{jump:?}");
    }
    // Between the claim and the request, either clock is enough to hold the request back.
    for jump in [Jump::Wall(10 * MINUTE), Jump::Wall(HOUR), Jump::Monotonic(90)] {
        assert_eq!(outcomes(jump).await, (calls - 1, 1), "{jump:?}");
    }
}
