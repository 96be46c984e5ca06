//! Storage that loses an answer, writes twice, does not tell whether it wrote, or shows what stood there before: at each
//! access of `connect` and `refresh` in turn, once, or from there until the call ends.
//!
//! Which accesses there are is measured by a run without a fault. Each case is a customer of its own, so that all of them
//! share one marketplace and its time.

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
use tiktok_shop_tests::{Access, DAY, Interceptor, Passage, Stage, customer_id, grant, refusal, tenant};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// It is not done, and nobody knows.
    Dropped,
    /// The write is done, and nobody knows.
    Lost,
    /// The write is done twice, and the second answer is heard.
    Twice,
    /// The load shows what stood there before the newest write.
    Old,
    /// From here on nobody knows of anything; of three writes the second and third are done.
    LastDone,
    /// The same, and every second write is done, the first among them.
    OddDone,
    /// The same, and nothing is done.
    NothingDone,
}

const FAULTS: [Fault; 7] =
    [Fault::Dropped, Fault::Lost, Fault::Twice, Fault::Old, Fault::LastDone, Fault::OddDone, Fault::NothingDone];

impl Fault {
    fn lasts(self) -> bool {
        matches!(self, Self::LastDone | Self::OddDone | Self::NothingDone)
    }

    /// Whether the write is done, of which nobody hears: the first that meets the fault is the 0th.
    fn writes(self, nth: usize) -> bool {
        match self {
            Self::Lost => true,
            Self::LastDone => !nth.is_multiple_of(3),
            Self::OddDone => nth.is_multiple_of(2),
            Self::Dropped | Self::NothingDone | Self::Twice | Self::Old => false,
        }
    }

    fn can_strike(self, access: &str) -> bool {
        match self {
            Self::Dropped | Self::LastDone | Self::OddDone | Self::NothingDone => true,
            Self::Lost | Self::Twice => access.starts_with("swap"),
            Self::Old => access.starts_with("load"),
        }
    }
}

/// What storage does to one customer.
#[derive(Default)]
struct Script {
    /// The fault, and how many accesses come before it.
    fault: Option<(Fault, usize)>,
    /// The accesses so far.
    accesses: Vec<&'static str>,
    /// Writes that met the fault.
    writes: usize,
    old_token: Option<TokenEntry>,
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

    /// "load token 1", "swap token 1" and so on, in their order.
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
    async fn passage(&self, access: Access<'_>, beneath: &dyn HostStorage) -> Passage {
        let Some(customer) = access.customer() else { return Passage::Made };
        let (name, token, row) = match access {
            Access::LoadToken(..) => ("load token", None, None),
            Access::LoadRow(..) => ("load row", None, None),
            Access::SwapToken(tenant, key, ..) => ("swap token", Some(beneath.load_token(tenant, key).await), None),
            Access::SwapRow(tenant, key, ..) => ("swap row", None, Some(beneath.load_row(tenant, key).await)),
            Access::Accounts(..)
            | Access::ListRows(..)
            | Access::AppendOnce(..)
            | Access::PutState(..)
            | Access::Reseal(..)
            | Access::Read(_)
            | Access::Write(_) => ("list", None, None),
        };
        let mut scripts = self.0.lock().unwrap();
        let script = scripts.entry(customer.clone()).or_default();
        let at = script.accesses.len();
        script.accesses.push(name);
        let write = token.is_some() || row.is_some();
        let passage = match script.fault {
            Some((Fault::Twice, first)) if at == first => Passage::MadeTwice,
            Some((Fault::Old, first)) if at == first && name == "load row" => {
                Passage::OldRow(script.old_row.clone().map(Box::new))
            }
            Some((Fault::Old, first)) if at == first => Passage::OldToken(script.old_token.clone()),
            Some((fault, first)) if at == first || (at > first && fault.lasts()) => {
                let nth = script.writes;
                script.writes += usize::from(write);
                if write && fault.writes(nth) {
                    Passage::AnswerLost
                } else {
                    Passage::Failed(StorageError::Unavailable("down".to_owned()))
                }
            }
            Some(_) | None => Passage::Made,
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
                host.connect(&tenant(0), customer, consent, ShopPolicy::All).await
            }
            Self::Refresh => host.refresh(&tenant(0), customer, None, RefreshMode::WhenDue).await,
        }
    }
}

struct Case {
    operation: Operation,
    /// The fault strikes at this access of the operation.
    at: usize,
    access: &'static str,
    fault: Fault,
    /// The host repeats writes by itself, as it does by default.
    host_repeats: bool,
    /// Code of the error or of the failure in the row, or "ok".
    said: &'static str,
    customer: CustomerId,
}

const OK: &str = "ok";
const DOWN: &str = "storage-unavailable";
const CODE_SPENT: &str = "authorization-code-spent";
const NOT_SAVED: &str = "token-not-saved";
const NO_ROW: &str = "connection-row-not-saved";

/// Each access in its order, what is said where it fails once, and what where storage is down from there on.
const ACCESSES: [(Operation, &str, &str, &str); 22] = [
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
    (Operation::Refresh, "swap token 3", OK, OK),
];

/// Every fault that can strike at each access, with and without a host that repeats writes.
fn cases(operation: Operation) -> Vec<Case> {
    let mut cases = Vec::new();
    let accesses = ACCESSES.into_iter().filter(|(of, ..)| *of == operation).enumerate();
    for (at, (_, access, once, from_then_on)) in accesses {
        for fault in FAULTS.into_iter().filter(|fault| fault.can_strike(access)) {
            for host_repeats in [false, true] {
                let said = match fault {
                    // A host that repeats does so for its whole budget, in real time.
                    Fault::LastDone | Fault::OddDone | Fault::NothingDone if host_repeats => continue,
                    Fault::LastDone | Fault::OddDone | Fault::NothingDone => from_then_on,
                    Fault::Twice | Fault::Old => OK,
                    Fault::Dropped | Fault::Lost if host_repeats && access.starts_with("swap") => OK,
                    Fault::Dropped | Fault::Lost => once,
                };
                let customer = customer_id(&format!("{operation:?}, {access}, {fault:?}, {host_repeats}"));
                cases.push(Case { operation, at, access, fault, host_repeats, said, customer });
            }
        }
    }
    cases
}

/// What a new host makes of the connection when all claims have lapsed.
fn afterwards(case: &Case) -> &'static str {
    match (case.operation, case.said, case.fault) {
        // Nothing was done, or nothing was written: there is no connection yet.
        (Operation::Connect, DOWN, _) | (Operation::Connect, CODE_SPENT, Fault::NothingDone) => "not-connected",
        // The pair was nowhere to be put.
        (Operation::Refresh, NOT_SAVED, Fault::NothingDone) => "refresh-outcome-unknown",
        _ => OK,
    }
}

fn code(outcome: Result<Connection, CallError>) -> String {
    match outcome {
        Ok(connection) => {
            assert_eq!(connection.status, ConnectionStatus::Active);
            connection.last_failure.map_or_else(|| OK.to_owned(), |past| past.failure.code)
        }
        Err(error) => refusal::<()>(Err(error)).1,
    }
}

const AT_ONCE: usize = 8;

/// Under the provider that forgives least: a refresh token that is presented twice ends everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_of_storage_costs_a_pair_or_spends_a_token_twice() {
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
        .for_each_concurrent(AT_ONCE, async |customer| {
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

    // Memory answers at once, and no write is repeated: the first pause before that is longer.
    let no_time = Deadlines { save: Duration::from_millis(40), ..Deadlines::default() };
    let repeats_nothing = stage.host_builder().deadlines(no_time).build().unwrap();
    stream::iter(&cases)
        .for_each_concurrent(AT_ONCE, async |case| {
            scripts.set(&case.customer, Some((case.fault, case.at)));
            let host = if case.host_repeats { &stage.host } else { &repeats_nothing };
            let outcome = case.operation.run(&stage, host, &case.customer).await;
            assert_eq!(code(outcome), case.said, "{}", case.customer);
            assert!(scripts.accesses(&case.customer).len() > case.at, "{}: {} not reached", case.customer, case.access);
            scripts.set(&case.customer, None);
        })
        .await;

    // What stands there is renewed by another host, whatever was told.
    stage.advance(121);
    let other = stage.host_builder().build().unwrap();
    stream::iter(&cases)
        .for_each_concurrent(AT_ONCE, async |case| {
            let renewed = other.refresh(&tenant(0), &case.customer, None, RefreshMode::Forced).await;
            assert_eq!(code(renewed), afterwards(case), "afterwards, {}", case.customer);
            if afterwards(case) != OK {
                let connected = Operation::Connect.run(&stage, &other, &case.customer).await;
                assert_eq!(code(connected), OK, "connected again, {}", case.customer);
            }
        })
        .await;
}
