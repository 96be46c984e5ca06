//! Stories, which are sequences of calls for one connection on a weak storage or on a storage that keeps the contract.
//! The fake revokes every token of the grant if a refresh token is sent twice. Each story returns its result in the
//! words of `docs/storage.md`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use fake_tiktok_shop::ReplacedRefreshToken;
use futures::future::join;
use tiktok_shop_host::CallError;
use tiktok_shop_host::connection::ConnectionKey;
use tiktok_shop_host::disconnect::{DisconnectTarget, RemoteGrant};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::storage::HostStorage;
use tiktok_shop_host::storage::{Access, Answer, Interceptor, Passage};
use tiktok_shop_tests::{DAY, Stage, TOKEN_REFRESH, customer_id, refusal, tenant};
use tokio::sync::{Barrier, Notify};

use super::storage::{Weak, Weakness};

/// Where a load of a token record waits before it returns.
enum Gate {
    /// The load waits until all loads with this barrier have reached the barrier.
    Together(Arc<Barrier>),
    /// The load waits until the test opens the door.
    Held(Arc<Door>),
}

/// A door at which one load waits.
#[derive(Default)]
struct Door {
    /// The load notifies this when it has arrived.
    arrived: Notify,
    /// The test notifies this to let the load go on.
    opened: Notify,
}

/// A storage that makes the next loads of token records wait. Each load takes one gate and waits at it. If no gate is
/// left, the load does not wait.
struct Gated {
    /// The weakness of the storage. `None` if the storage keeps the contract.
    weak: Option<Weak>,
    gates: Mutex<Vec<Gate>>,
}

#[async_trait]
impl Interceptor for Gated {
    async fn passage(&self, access: Access<'_>, inner: &dyn HostStorage) -> Passage {
        let passage = match &self.weak {
            Some(weak) => weak.passage(access, inner).await,
            None => Passage::Forward,
        };
        let Access::LoadToken(tenant, key) = access else { return passage };
        let entry = if let Passage::Answer(Answer::LoadToken(entry)) = passage {
            entry
        } else {
            inner.load_token(tenant, key).await.unwrap()
        };
        let gate = self.gates.lock().unwrap().pop();
        match gate {
            Some(Gate::Together(others)) => {
                others.wait().await;
            }
            Some(Gate::Held(door)) => {
                door.arrived.notify_one();
                door.opened.notified().await;
            }
            None => {}
        }
        Passage::Answer(Answer::LoadToken(entry))
    }
}

/// A stage with one customer, who is connected to one seller account.
struct Story {
    stage: Stage,
    storage: Arc<Gated>,
}

const CUSTOMER: &str = "alice";
const SELLER: &str = "one-shop";

impl Story {
    async fn begin(weakness: Option<Weakness>) -> Self {
        let stage = Stage::new();
        stage.fake.update_switches(|switches| switches.replaced_refresh_token = ReplacedRefreshToken::RevokesFamily);
        let storage = Arc::new(Gated { weak: weakness.map(Weak::new), gates: Mutex::default() });
        stage.intercept(Arc::clone(&storage) as Arc<_>);
        stage.connect(CUSTOMER, SELLER).await.unwrap();
        stage.advance(8 * DAY);
        Self { stage, storage }
    }

    fn gates(&self, gates: Vec<Gate>) {
        *self.storage.gates.lock().unwrap() = gates;
    }

    /// Refreshes on a new host, and returns "ok" or the code of the error.
    async fn refresh(&self, mode: RefreshMode) -> String {
        let host = self.stage.host_builder().build().unwrap();
        code(host.refresh(&tenant(0), &customer_id(CUSTOMER), None, mode).await)
    }

    /// Starts a refresh, which loads the record and then waits until `meanwhile` is done. Returns the result of
    /// `meanwhile`.
    async fn during_a_refresh<T>(&self, meanwhile: impl Future<Output = T>) -> T {
        let door = Arc::new(Door::default());
        self.gates(vec![Gate::Held(Arc::clone(&door))]);
        let meanwhile = async {
            door.arrived.notified().await;
            let done = meanwhile.await;
            door.opened.notify_one();
            done
        };
        join(self.refresh(RefreshMode::WhenDue), meanwhile).await.1
    }

    async fn disconnect(&self) -> Result<(), CallError> {
        let (customer, target) = (customer_id(CUSTOMER), DisconnectTarget::All(None));
        self.stage.host.disconnect(&tenant(0), &customer, target, RemoteGrant::Keep).await.map(drop)
    }

    /// Returns the customer's token records, decrypted. Returns `None` if one of them can't be decrypted.
    async fn records(&self) -> Option<Vec<String>> {
        let (tenant, customer) = (tenant(0), customer_id(CUSTOMER));
        let mut records = Vec::new();
        for account in self.stage.storage.accounts(&tenant, &customer).await.unwrap() {
            let key = ConnectionKey { customer: customer.clone(), account };
            // On a storage that loads late, the first two loads may return an old record. The third load returns the
            // newest record.
            let mut entry = None;
            for _ in 0..3 {
                entry = self.stage.storage.load_token(&tenant, &key).await.unwrap();
            }
            let Some(entry) = entry else { continue };
            let opened = self.stage.keyring().open_token(&tenant, &key, &entry.revision, &entry.value).await.ok()?;
            records.push(String::from_utf8(opened.to_vec()).unwrap());
        }
        Some(records)
    }

    /// Returns each refresh token that the fake has issued for the seller, and whether the fake still accepts this
    /// token.
    fn issued(&self) -> Vec<(String, bool)> {
        let issued = self.stage.fake.issued(&self.stage.fake.apps()[0].service_id, SELLER).unwrap();
        issued.refresh_tokens.into_iter().map(|token| (token.token, token.honoured)).collect()
    }

    fn is_sent_twice(&self) -> bool {
        let requests = self.stage.fake.requests();
        let sent: Vec<_> = requests.iter().filter_map(|request| request.parameter("refresh_token")).collect();
        sent.iter().collect::<BTreeSet<_>>().len() < sent.len()
    }

    /// Lets an hour pass, refreshes on another host, and returns what has become of the connection.
    async fn fate(&self) -> &'static str {
        self.stage.advance(3_600);
        let code = self.refresh(RefreshMode::Forced).await;
        let Some(records) = self.records().await else {
            assert_eq!((code.as_str(), self.stage.requests_to(TOKEN_REFRESH)), ("storage-refused", 0));
            return DOES_NOT_OPEN;
        };
        let lives =
            self.issued().iter().any(|(token, honoured)| *honoured && records.concat().contains(token.as_str()));
        match (self.is_sent_twice(), lives) {
            (false, true) => SAFE,
            (false, false) => "the connection is lost",
            (true, true) => "a refresh token is sent twice",
            (true, false) => "a refresh token is sent twice, **the connection is lost**",
        }
    }
}

const OK: &str = "ok";

/// Returns "ok" or the code of the error.
fn code<T>(outcome: Result<T, CallError>) -> String {
    if outcome.is_ok() { OK.to_owned() } else { refusal(outcome).1 }
}

const SAFE: &str = "safe";
const DOES_NOT_OPEN: &str = "no stored value opens, and every call fails";

pub(super) async fn two_hosts_refresh_at_once(weakness: Option<Weakness>) -> &'static str {
    let story = Story::begin(weakness).await;
    let together = Arc::new(Barrier::new(2));
    story.gates(vec![Gate::Together(Arc::clone(&together)), Gate::Together(together)]);
    join(story.refresh(RefreshMode::WhenDue), story.refresh(RefreshMode::WhenDue)).await;
    story.fate().await
}

pub(super) async fn one_host_refreshes_twice(weakness: Option<Weakness>) -> &'static str {
    let story = Story::begin(weakness).await;
    story.refresh(RefreshMode::WhenDue).await;
    story.stage.advance(8 * DAY);
    story.refresh(RefreshMode::WhenDue).await;
    story.fate().await
}

pub(super) async fn disconnected_during_a_refresh(weakness: Option<Weakness>) -> &'static str {
    let story = Story::begin(weakness).await;
    let ended = story.during_a_refresh(story.disconnect()).await;
    match (code(ended).as_str(), story.records().await.map(|records| records.len())) {
        ("storage-refused", None) => DOES_NOT_OPEN,
        (OK, Some(0)) => SAFE,
        (OK, Some(1)) => "**the deleted record is back**",
        ("storage-conflict", Some(1)) => "the disconnect fails",
        other => panic!("{other:?}"),
    }
}

pub(super) async fn connected_again_during_a_refresh(weakness: Option<Weakness>) -> &'static str {
    let story = Story::begin(weakness).await;
    let before = story.issued().len();
    let connected = story.during_a_refresh(async {
        let _either = story.disconnect().await;
        story.stage.connect(CUSTOMER, SELLER).await
    });
    let connected = code(connected.await);
    let Some(records) = story.records().await else { return DOES_NOT_OPEN };
    let (new, _) = &story.issued()[before];
    match (connected.as_str(), records.concat().contains(new.as_str())) {
        (OK, true) => story.fate().await,
        (OK, false) => "**the new tokens are lost**",
        ("authorization-code-spent", false) => "the new consent fails, and its code is spent",
        (_, true) => "the new consent is reported as failed",
        other => panic!("{other:?}"),
    }
}
