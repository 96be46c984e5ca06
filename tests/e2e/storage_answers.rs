//! Tests of storage faults at every access of `connect` and `refresh`. The storage loses an answer, writes twice, does
//! not say whether it wrote, or returns older data. The fault happens once, or from one access until the call ends.
//!
//! A run without a fault records the accesses of each operation. Every case uses another customer, so that all cases
//! can share one fake and its clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use fake_tiktok_shop::{Decision, ReplacedRefreshToken};
use futures::stream::{self, StreamExt as _};
use tiktok_shop_host::connection::{Connection, ConnectionStatus, ShopPolicy};
use tiktok_shop_host::deadlines::Deadlines;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::storage::{HostStorage, RowEntry, StorageError, TokenEntry};
use tiktok_shop_host::{CallError, ConnectorHost, CustomerId};
use tiktok_shop_tests::{Access, Answer, DAY, Interceptor, Passage, Stage, customer_id, grant, refusal, tenant};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// The access is not done, and the caller gets no answer. (In this list, "no answer" means that the caller gets the
    /// error that the storage is unavailable.)
    Dropped,
    /// The write is done, and the caller gets no answer.
    Lost,
    /// The write is done twice, and the caller gets the second answer.
    Twice,
    /// The load returns an old record: the record that the newest write replaced.
    Old,
    /// From this access on, the caller gets no answer. Of every three writes, the second and the third are done.
    LastDone,
    /// From this access on, the caller gets no answer. Every second write is done, beginning with the first.
    OddDone,
    /// From this access on, the caller gets no answer, and nothing is done.
    NothingDone,
}

const FAULTS: [Fault; 7] =
    [Fault::Dropped, Fault::Lost, Fault::Twice, Fault::Old, Fault::LastDone, Fault::OddDone, Fault::NothingDone];

impl Fault {
    /// Returns whether the fault lasts until the call ends.
    fn lasts(self) -> bool {
        matches!(self, Self::LastDone | Self::OddDone | Self::NothingDone)
    }

    /// Returns whether a write without an answer is done. `nth` counts the writes with the fault, from 0.
    fn writes(self, nth: usize) -> bool {
        match self {
            Self::Lost => true,
            Self::LastDone => !nth.is_multiple_of(3),
            Self::OddDone => nth.is_multiple_of(2),
            Self::Dropped | Self::NothingDone | Self::Twice | Self::Old => false,
        }
    }

    fn can_happen_at(self, access: &str) -> bool {
        match self {
            Self::Dropped | Self::LastDone | Self::OddDone | Self::NothingDone => true,
            Self::Lost | Self::Twice => access.starts_with("swap"),
            Self::Old => access.starts_with("load"),
        }
    }
}

/// The storage's behaviour towards one customer.
#[derive(Default)]
struct Script {
    /// The fault, and the number of accesses before it.
    fault: Option<(Fault, usize)>,
    /// The customer's accesses up to now.
    accesses: Vec<&'static str>,
    /// The number of writes that the fault has met.
    writes: usize,
    /// The token record that the newest write replaced.
    old_token: Option<TokenEntry>,
    /// The row that the newest write replaced.
    old_row: Option<RowEntry>,
}

#[derive(Default)]
struct Scripts(Mutex<BTreeMap<CustomerId, Script>>);

impl Scripts {
    fn set(&self, customer: &CustomerId, fault: Option<(Fault, usize)>) {
        let mut scripts = self.0.lock().unwrap();
        let script = scripts.entry(customer.clone()).or_default();
        (script.fault, script.accesses, script.writes) = (fault, Vec::new(), 0);
    }

    /// Returns the accesses in their order, as `load token 1`, `swap token 1` and so on.
    fn accesses(&self, customer: &CustomerId) -> Vec<String> {
        let mut times = BTreeMap::new();
        let scripts = self.0.lock().unwrap();
        let numbered = scripts[customer].accesses.iter().map(|access| {
            let nth = times.entry(access).and_modify(|nth| *nth += 1).or_insert(1);
            format!("{access} {nth}")
        });
        numbered.collect()
    }
}

#[async_trait]
impl Interceptor for Scripts {
    async fn passage(&self, access: Access<'_>, storage: &dyn HostStorage) -> Passage {
        let Some(customer) = access.customer() else { return Passage::Forward };
        let (name, token, row) = match access {
            Access::LoadToken(..) => ("load token", None, None),
            Access::LoadRow(..) => ("load row", None, None),
            Access::SwapToken(tenant, key, ..) => ("swap token", Some(storage.load_token(tenant, key).await), None),
            Access::SwapRow(tenant, key, ..) => ("swap row", None, Some(storage.load_row(tenant, key).await)),
            Access::Accounts(..)
            | Access::ListRows(..)
            | Access::AppendOnce(..)
            | Access::PutState(..)
            | Access::PutInstall(..)
            | Access::Reseal(..)
            | Access::Read(_)
            | Access::Write(_) => ("list", None, None),
        };
        let mut scripts = self.0.lock().unwrap();
        let script = scripts.entry(customer.clone()).or_default();
        let at = script.accesses.len();
        script.accesses.push(name);
        let is_write = token.is_some() || row.is_some();
        let passage = match script.fault {
            Some((Fault::Twice, first)) if at == first => Passage::ForwardTwice,
            Some((Fault::Old, first)) if at == first && name == "load row" => {
                Passage::Answer(Answer::LoadRow(script.old_row.clone().map(Box::new)))
            }
            Some((Fault::Old, first)) if at == first => Passage::Answer(Answer::LoadToken(script.old_token.clone())),
            Some((fault, first)) if at == first || (at > first && fault.lasts()) => {
                let nth = script.writes;
                script.writes += usize::from(is_write);
                if is_write && fault.writes(nth) {
                    Passage::LoseAnswer
                } else {
                    Passage::Fail(StorageError::Unavailable("down".to_owned()))
                }
            }
            Some(_) | None => Passage::Forward,
        };
        if let Some(before) = token {
            script.old_token = before.unwrap();
        }
        if let Some(before) = row {
            script.old_row = before.unwrap();
        }
        passage
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Operation {
    Connect,
    Reconnect,
    Refresh,
}

impl Operation {
    async fn run(self, stage: &Stage, host: &ConnectorHost, customer: &CustomerId) -> Result<Connection, CallError> {
        match self {
            Self::Connect | Self::Reconnect => {
                let consent = grant(&stage.callback("one-shop", Decision::Allow));
                host.connect(&tenant(0), customer, None, consent, ShopPolicy::All).await
            }
            Self::Refresh => Ok(host.refresh(&tenant(0), customer, None, RefreshMode::WhenDue).await?.connection),
        }
    }
}

/// Whether the host repeats a write that got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    /// The host repeats the write, as by default.
    Repeats,
    /// The host's deadline for the save passes before the first repetition.
    DoesNotRepeat,
}

struct Case {
    operation: Operation,
    /// The fault happens at the operation's access with this index.
    at: usize,
    /// The name of this access.
    access: &'static str,
    fault: Fault,
    host: Host,
    /// The code of the error, or of the failure that the connection shows, or `ok` if there is neither.
    result: &'static str,
    customer: CustomerId,
}

const OK: &str = "ok";
const DOWN: &str = "storage-unavailable";
const CODE_SPENT: &str = "authorization-code-spent";
const NOT_SAVED: &str = "token-not-saved";
const NO_ROW: &str = "connection-row-not-saved";

/// The accesses of each operation, in their order. Each tuple holds the operation, the access and two results. The
/// first result is for a fault at this access only, if the host does not repeat the access. The second result is for a
/// storage that is down from this access on.
const ACCESSES: [(Operation, &str, &str, &str); 21] = [
    (Operation::Connect, "list 1", DOWN, DOWN),
    (Operation::Connect, "swap token 1", OK, CODE_SPENT),
    (Operation::Connect, "load row 1", NO_ROW, NO_ROW),
    (Operation::Connect, "load token 1", NO_ROW, NO_ROW),
    (Operation::Connect, "swap row 1", NO_ROW, NO_ROW),
    (Operation::Connect, "load token 2", NO_ROW, NO_ROW),
    (Operation::Connect, "swap token 2", OK, OK),
    (Operation::Reconnect, "list 1", DOWN, DOWN),
    (Operation::Reconnect, "swap token 1", OK, CODE_SPENT),
    (Operation::Reconnect, "swap token 2", OK, CODE_SPENT),
    (Operation::Reconnect, "load row 1", NO_ROW, NO_ROW),
    (Operation::Reconnect, "load token 1", NO_ROW, NO_ROW),
    (Operation::Reconnect, "swap row 1", NO_ROW, NO_ROW),
    (Operation::Reconnect, "swap token 3", OK, OK),
    (Operation::Refresh, "list 1", DOWN, DOWN),
    (Operation::Refresh, "load token 1", DOWN, DOWN),
    (Operation::Refresh, "swap token 1", OK, DOWN),
    (Operation::Refresh, "swap token 2", OK, NOT_SAVED),
    (Operation::Refresh, "load row 1", NO_ROW, NO_ROW),
    (Operation::Refresh, "load token 2", NO_ROW, NO_ROW),
    (Operation::Refresh, "swap row 1", NO_ROW, NO_ROW),
];

/// Returns the cases of an operation: every fault that can happen at each access, on a host that repeats writes and on
/// a host that does not. Leaves out the cases that would take too long.
fn cases(operation: Operation) -> Vec<Case> {
    let mut cases = Vec::new();
    let accesses = ACCESSES.into_iter().filter(|(of, ..)| *of == operation).enumerate();
    for (at, (_, access, once, from_then_on)) in accesses {
        for fault in FAULTS.into_iter().filter(|fault| fault.can_happen_at(access)) {
            for host in [Host::DoesNotRepeat, Host::Repeats] {
                let repeats = host == Host::Repeats;
                let result = match fault {
                    // On a host that repeats writes, a fault that lasts would take too long: the host would repeat the
                    // write until its deadline for the save (`Deadlines::save`) passes.
                    Fault::LastDone | Fault::OddDone | Fault::NothingDone if repeats => continue,
                    Fault::LastDone | Fault::OddDone | Fault::NothingDone => from_then_on,
                    Fault::Twice | Fault::Old => OK,
                    Fault::Dropped | Fault::Lost if repeats && access.starts_with("swap") => OK,
                    Fault::Dropped | Fault::Lost => once,
                };
                let customer = customer_id(&format!("{operation:?}, {access}, {fault:?}, {host:?}"));
                cases.push(Case { operation, at, access, fault, host, result, customer });
            }
        }
    }
    cases
}

/// Returns the expected result of a forced refresh by another host after all claims have lapsed.
fn result_of_next_refresh(case: &Case) -> &'static str {
    match (case.operation, case.result, case.fault) {
        // The call failed before it exchanged the code, or no token record was written. So there is no connection.
        (Operation::Connect, DOWN, _) | (Operation::Connect, CODE_SPENT, Fault::NothingDone) => "not-connected",
        // The new tokens could not be stored.
        (Operation::Refresh, NOT_SAVED, Fault::NothingDone) => "refresh-outcome-unknown",
        _ => OK,
    }
}

/// Returns the code of the error, or of the failure that the connection shows, or `ok` if there is neither.
fn code(outcome: Result<Connection, CallError>) -> String {
    match outcome {
        Ok(connection) => {
            assert_eq!(connection.status, ConnectionStatus::Active);
            connection.last_failure.map_or_else(|| OK.to_owned(), |past| past.failure.code)
        }
        Err(error) => refusal::<()>(Err(error)).1,
    }
}

/// The number of cases that run at the same time.
const CONCURRENT_CASES: usize = 8;

/// The fake has the strictest behaviour that TikTok may have: it revokes all tokens if a refresh token is sent twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_storage_fault_loses_tokens_or_sends_a_refresh_token_twice() {
    let stage = Stage::in_memory();
    stage.fake.update_switches(|switches| switches.replaced_refresh_token = ReplacedRefreshToken::RevokesFamily);
    let scripts = Arc::new(Scripts::default());
    stage.intercept(Arc::clone(&scripts) as Arc<_>);
    let operations = [Operation::Connect, Operation::Reconnect, Operation::Refresh];
    let cases: Vec<_> = operations.into_iter().flat_map(cases).collect();
    let without_faults = operations.map(|operation| customer_id(&format!("{operation:?}")));

    let connected = cases.iter().filter(|case| case.operation != Operation::Connect).map(|case| &case.customer);
    let connected = connected.chain(&without_faults[1..]);
    stream::iter(connected)
        .for_each_concurrent(CONCURRENT_CASES, async |customer| {
            Operation::Connect.run(&stage, &stage.host, customer).await.unwrap();
        })
        .await;
    stage.advance(8 * DAY);

    for (operation, customer) in operations.into_iter().zip(&without_faults) {
        scripts.set(customer, None);
        operation.run(&stage, &stage.host, customer).await.unwrap();
        let listed: Vec<_> =
            ACCESSES.iter().filter(|(of, ..)| *of == operation).map(|(_, access, ..)| *access).collect();
        assert_eq!(scripts.accesses(customer), listed, "{operation:?}");
    }

    // The pause before the first repetition is longer than 40 ms, so this host repeats no write. Storage in memory
    // answers at once.
    let short_deadline = Deadlines { save: Duration::from_millis(40), ..Deadlines::default() };
    let repeats_nothing = stage.host_builder().deadlines(short_deadline).build().unwrap();
    stream::iter(&cases)
        .for_each_concurrent(CONCURRENT_CASES, async |case| {
            scripts.set(&case.customer, Some((case.fault, case.at)));
            let host = match case.host {
                Host::Repeats => &stage.host,
                Host::DoesNotRepeat => &repeats_nothing,
            };
            let outcome = case.operation.run(&stage, host, &case.customer).await;
            assert_eq!(code(outcome), case.result, "{}", case.customer);
            assert!(scripts.accesses(&case.customer).len() > case.at, "{}: {} not reached", case.customer, case.access);
            scripts.set(&case.customer, None);
        })
        .await;

    // A claim (a note in the token record that one caller sends the refresh token now) lasts 120 s, so every claim has
    // lapsed. In most cases, another host can then renew the tokens with the stored record. In the other cases, a new
    // consent works.
    stage.advance(121);
    let other = stage.another_host();
    stream::iter(&cases)
        .for_each_concurrent(CONCURRENT_CASES, async |case| {
            let renewed = other.refresh(&tenant(0), &case.customer, None, RefreshMode::Forced).await;
            let renewed = renewed.map(|renewed| renewed.connection);
            assert_eq!(code(renewed), result_of_next_refresh(case), "the next refresh, {}", case.customer);
            if result_of_next_refresh(case) != OK {
                let connected = Operation::Connect.run(&stage, &other, &case.customer).await;
                assert_eq!(code(connected), OK, "connected again, {}", case.customer);
            }
        })
        .await;
}
