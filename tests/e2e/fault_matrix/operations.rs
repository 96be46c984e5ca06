//! The operations that send requests. The test calls each operation while a fault lasts. Afterwards the test finds out
//! in which state the fault has left the connection.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use fake_tiktok_shop::{Decision, Ending, Fault};
use tiktok_shop_fault_matrix::Row;
use tiktok_shop_host::access_token::ValidToken;
use tiktok_shop_host::call::{CallRequest, CallResponse, CallScope, HttpMethod};
use tiktok_shop_host::connection::{Connection, ConnectionStatus, ShopPolicy, ShopStanding};
use tiktok_shop_host::deadlines::Deadlines;
use tiktok_shop_host::disconnect::{DisconnectTarget, Disconnected, RemoteGrant};
use tiktok_shop_host::egress::Authority;
use tiktok_shop_host::existing_grant::ExistingGrant;
use tiktok_shop_host::install::{InstallError, PendingInstall};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::{CallError, ConnectorHost};
use tiktok_shop_tests::{
    DAY, DEAUTHORIZE, ORDERS, SHOPS, Stage, TOKEN_GET, TOKEN_REFRESH, browser, customer_id, egress_to, grant, refusal,
    tenant,
};
use tokio::net::TcpSocket;

/// The name of a fault that the fake cannot produce, because the fault needs a port on which nothing listens.
pub(super) const CONNECTION_REFUSED: &str = "connection refused";

/// An operation to measure. The fault replaces TikTok's answers to the operation's requests to one path.
pub(super) struct Operation {
    pub(super) name: &'static str,
    /// The path of the requests that meet the fault.
    path: &'static str,
    run: for<'a> fn(&'a Faulty) -> Pin<Box<dyn Future<Output = Ended> + Send + 'a>>,
}

pub(super) const OPERATIONS: [Operation; 12] = [
    Operation { name: "connect: code", path: TOKEN_GET, run: |faulty| Box::pin(connect_code(faulty)) },
    Operation { name: "connect: shops", path: SHOPS, run: |faulty| Box::pin(connect_shops(faulty)) },
    Operation { name: "exchange-install: code", path: TOKEN_GET, run: |faulty| Box::pin(exchange_install(faulty)) },
    Operation { name: "connect pending: shops", path: SHOPS, run: |faulty| Box::pin(connect_pending(faulty)) },
    Operation {
        name: "import: with an account",
        path: TOKEN_REFRESH,
        run: |faulty| Box::pin(import(faulty, Named::Yes)),
    },
    Operation { name: "import: without one", path: TOKEN_REFRESH, run: |faulty| Box::pin(import(faulty, Named::No)) },
    Operation { name: "refresh: tokens", path: TOKEN_REFRESH, run: |faulty| Box::pin(refresh_tokens(faulty)) },
    Operation { name: "refresh: shops", path: SHOPS, run: |faulty| Box::pin(refresh_shops(faulty)) },
    Operation { name: "access-token: tokens", path: TOKEN_REFRESH, run: |faulty| Box::pin(access_token(faulty)) },
    Operation { name: "call: GET", path: WEBHOOKS, run: |faulty| Box::pin(call(faulty, HttpMethod::Get, WEBHOOKS)) },
    Operation { name: "call: POST", path: ORDERS, run: |faulty| Box::pin(call(faulty, HttpMethod::Post, ORDERS)) },
    Operation { name: "disconnect: revoke", path: DEAUTHORIZE, run: |faulty| Box::pin(disconnect(faulty)) },
];

const WEBHOOKS: &str = "/event/202309/webhooks";

/// The result of a call with a fault.
struct Ended {
    result: CallResult,
    /// The requests that the call sent.
    requests: String,
    /// The state in which the fault has left the connection.
    then: String,
}

/// The result of a call, as its caller gets it.
struct CallResult {
    /// `ok` if the call succeeded. `answer` if `call` returned an error answer of TikTok. The action of the connector's
    /// error if the connector returned one. `ended by the host` and the host's error text if the host ended the call.
    case: String,
    /// The code of the error or of TikTok's error answer. After a success, the code of the failure that the result
    /// still shows, or `None`.
    code: Option<String>,
    status: Option<u16>,
    pause: Option<Duration>,
}

impl CallResult {
    fn of<T>(outcome: &Result<T, CallError>, success: impl FnOnce(&T) -> Self) -> Self {
        let error = match outcome {
            Ok(value) => return success(value),
            Err(error) => error,
        };
        let (case, failure, pause) = if let CallError::Connector(error) = error {
            (error.action().as_str().to_owned(), Some(error.failure()), error.retry_after())
        } else {
            (format!("ended by the host: {error}"), None, None)
        };
        Self {
            case,
            code: failure.map(|failure| failure.code.clone()),
            status: failure.and_then(|failure| failure.http_status),
            pause,
        }
    }

    /// Reads the result of a call that returns a connection. If the call succeeded and the connection shows a failure,
    /// the result contains this failure.
    fn connection(outcome: &Result<Connection, CallError>) -> Self {
        Self::of(outcome, |connection| {
            let failure = connection.last_failure.as_ref().map(|past| &past.failure);
            Self {
                case: "ok".to_owned(),
                code: failure.map(|failure| failure.code.clone()),
                status: failure.and_then(|failure| failure.http_status),
                pause: None,
            }
        })
    }

    fn response(outcome: &Result<CallResponse, CallError>) -> Self {
        Self::of(outcome, |response| Self {
            case: if response.is_success() { "ok" } else { "answer" }.to_owned(),
            code: response.code.clone().filter(|_| !response.is_success()),
            status: Some(response.http_status).filter(|_| !response.is_success()),
            pause: None,
        })
    }

    /// Reads the result of `disconnect`. If the call succeeded but TikTok did not revoke the authorization of every
    /// shop, the result contains the failure of the first shop that was not revoked.
    fn disconnected(outcome: &Result<Disconnected, CallError>) -> Self {
        Self::of(outcome, |ended| {
            let failure = ended.not_revoked.first().map(|left| &left.failure);
            Self {
                case: "ok".to_owned(),
                code: failure.map(|failure| failure.code.clone()),
                status: failure.and_then(|failure| failure.http_status),
                pause: None,
            }
        })
    }

    fn token(outcome: &Result<ValidToken, CallError>) -> Self {
        Self::of(outcome, |_| Self { case: "ok".to_owned(), code: None, status: None, pause: None })
    }
}

impl Operation {
    /// Runs the operation with a fault on a new stage, and returns the row that describes the result.
    pub(super) async fn measure(&self, fault: &str) -> Row {
        let faulty = Faulty::new(self.path, fault);
        let Ended { result, requests, then } = (self.run)(&faulty).await;
        let CallResult { case, code, status, pause } = result;
        let seconds = pause.map(|pause| {
            assert_eq!(pause.subsec_nanos(), 0, "a pause must be whole seconds");
            pause.as_secs()
        });
        let (operation, fault) = (self.name.to_owned(), fault.to_owned());
        Row { operation, fault, case, seconds, code, status, requests, then }
    }
}

/// A stage on which requests to one path meet a fault.
struct Faulty {
    stage: Stage,
    /// The host that makes the call with the fault. For [`CONNECTION_REFUSED`], only this host meets the fault.
    host: ConnectorHost,
    path: &'static str,
    fault: String,
    /// The port on which nothing listens, for [`CONNECTION_REFUSED`]. `None` for every other fault.
    _refusing: Option<TcpSocket>,
}

const ALICE: &str = "alice";

impl Faulty {
    fn new(path: &'static str, name: &str) -> Self {
        let stage = Stage::new();
        let mut builder = stage.host_builder();
        let mut refusing = None;
        match Fault::named(name) {
            // The fake stops sending but keeps the connection open. So the host gets short deadlines, and the test does
            // not wait long.
            Some(Fault { then: Ending::Stall, .. }) => {
                let wait = Duration::from_secs(3);
                builder =
                    builder.deadlines(Deadlines { first_byte: wait, between_bytes: wait, ..Deadlines::default() });
            }
            Some(_) => {}
            None => {
                assert_eq!(name, CONNECTION_REFUSED);
                // The port is bound, but nothing listens. So connections are refused, and no other process gets the
                // port.
                let port = TcpSocket::new_v4().unwrap();
                port.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
                let authority = match path {
                    TOKEN_GET | TOKEN_REFRESH => Authority::Auth,
                    _ => Authority::Api,
                };
                let egress = egress_to(stage.fake.address()).stand_in(authority, port.local_addr().unwrap());
                builder = builder.egress(egress.unwrap());
                refusing = Some(port);
            }
        }
        Self { host: builder.build().unwrap(), path, fault: name.to_owned(), _refusing: refusing, stage }
    }

    /// Makes a call while the fault lasts. Returns the outcome and the names of the requests that were sent, in order.
    async fn call<T>(&self, call: impl Future<Output = T>) -> (T, String) {
        let fake = &self.stage.fake;
        self.stage.clear_requests();
        if let Some(fault) = Fault::named(&self.fault) {
            fake.fault_every(self.path, &self.fault, fault);
        }
        let outcome = call.await;
        for script in fake.clear_faults() {
            assert_ne!(script.met, 0, "no request was sent to {}", self.path);
        }
        let requests = fake.requests();
        let name = |path: &str| match path {
            TOKEN_GET => "get",
            TOKEN_REFRESH => "refresh",
            SHOPS => "shops",
            ORDERS | WEBHOOKS => "call",
            DEAUTHORIZE => "deauthorize",
            _ => "another path",
        };
        let names: Vec<_> = requests.iter().map(|request| name(&request.path)).collect();
        self.stage.clear_requests();
        (outcome, names.join(" "))
    }

    /// Returns the customer's connection as `list-connections` shows it, or `None` if the list is empty.
    async fn row(&self) -> Option<Connection> {
        self.stage.connections(ALICE).await.pop()
    }

    /// Begins an install from TikTok's App Store.
    async fn begin_install(&self, host: &ConnectorHost, query: &str) -> Result<PendingInstall, CallError> {
        let began = host.begin_install(&tenant(0), &customer_id(ALICE), None, &browser(ALICE), query.into()).await;
        began.map_err(call_error)
    }

    async fn connect(&self, host: &ConnectorHost, query: &str) -> Result<Connection, CallError> {
        host.connect(&tenant(0), &customer_id(ALICE), None, grant(query), ShopPolicy::All).await
    }

    /// Refreshes without a fault, and returns the result as text. The text is `ok` if the connection is in order:
    /// active, with its shop, and without a failure. After an error, the text is the action and the code of the error.
    /// In every other case, the text is the whole connection. If the refresh sent requests, the text ends with the
    /// number of requests for tokens and the number of requests for shops, for example `ok, tokens 1, shops 1`.
    async fn refresh(&self, mode: RefreshMode) -> String {
        let outcome = match self.stage.refresh(ALICE, mode).await {
            Ok(connection) if in_order(&connection) => "ok".to_owned(),
            Ok(connection) => format!("{connection:?}"),
            Err(error) => {
                let (case, code) = refusal::<Connection>(Err(error));
                format!("{case} {code}")
            }
        };
        let sent = (self.stage.requests_to(TOKEN_REFRESH), self.stage.requests_to(SHOPS));
        assert_eq!(self.stage.requests_to(TOKEN_GET), 0);
        self.stage.clear_requests();
        match sent {
            (0, 0) => outcome,
            (tokens, shops) => format!("{outcome}, tokens {tokens}, shops {shops}"),
        }
    }

    async fn ask(&self, host: &ConnectorHost, ask: &Ask) -> CallResult {
        let (tenant, alice) = (tenant(0), customer_id(ALICE));
        match ask {
            Ask::Token => CallResult::token(&host.access_token(&tenant, &alice, None, Duration::from_secs(60)).await),
            Ask::Call(request) => CallResult::response(&host.call(&tenant, &alice, request.clone()).await),
        }
    }

    /// Makes the same call again, without a fault. If it fails because of a claim (a note in the record that one caller
    /// sends the refresh token now), makes the call once more after 120 s. If it fails because of a back-off, makes the
    /// call once more after 3600 s. If an error demands a new consent, connects again and makes the call a last time.
    /// Returns in words which of these calls worked, or the error if none worked.
    async fn again(&self, ask: &Ask) -> String {
        let result = self.ask(&self.stage.host, ask).await;
        let (pause, works) = match (result.case.as_str(), result.code.as_deref()) {
            ("ok", _) => return "the same call works".to_owned(),
            ("retry-after", Some("refresh-in-progress")) => (120, "the same call works once the claim has lapsed"),
            ("retry-after", Some("backing-off")) => (3600, "the same call works after the pause"),
            ("reauthorize", _) => (0, "only a new consent works"),
            (case, code) => return format!("{case} {code:?}"),
        };
        self.stage.advance(pause);
        let result = self.ask(&self.stage.host, ask).await;
        match result.case.as_str() {
            "ok" => works.to_owned(),
            "reauthorize" if self.connects_again().await && self.ask(&self.stage.host, ask).await.case == "ok" => {
                if pause == 0 {
                    works.to_owned()
                } else {
                    format!("{pause} s later only a new consent works")
                }
            }
            case => format!("{pause} s later {case} {:?}", result.code),
        }
    }

    /// Connects with another consent of the same seller. Returns whether the connection then has its shops and no
    /// failure.
    async fn connects_again(&self) -> bool {
        self.stage.connect(ALICE, "one-shop").await.is_ok_and(|connection| in_order(&connection))
    }
}

fn in_order(connection: &Connection) -> bool {
    connection.status == ConnectionStatus::Active
        && connection.last_failure.is_none()
        && connection.shops.iter().map(|shop| shop.standing).eq([ShopStanding::Granted])
}

/// The text that [`Faulty::refresh`] returns if the refresh renews the tokens and reads the shops.
const RENEWS: &str = "ok, tokens 1, shops 1";
/// The text that [`Faulty::refresh`] returns if the refresh only reads the shops.
const READS: &str = "ok, tokens 0, shops 1";
const IN_PROGRESS: &str = "retry-after refresh-in-progress";

async fn connect_code(faulty: &Faulty) -> Ended {
    let query = faulty.stage.callback("one-shop", Decision::Allow);
    let (outcome, requests) = faulty.call(faulty.connect(&faulty.host, &query)).await;
    let row = faulty.row().await;
    let again = faulty.connect(&faulty.stage.host, &query).await;
    let then = match (&outcome, row) {
        (Ok(connection), Some(row)) if in_order(connection) && in_order(&row) => "done".to_owned(),
        (Err(_), None) => match again {
            Ok(connection) if in_order(&connection) => "the same call works".to_owned(),
            Err(error)
                if refusal::<()>(Err(error.clone())) == ("reauthorize", "authorization-code-spent".to_owned()) =>
            {
                if faulty.connects_again().await { "a new consent works" } else { "a new consent fails" }.to_owned()
            }
            other => format!("{other:?}"),
        },
        (_, row) => format!("{row:?}"),
    };
    Ended { result: CallResult::connection(&outcome), requests, then }
}

/// Returns the error of a call to the connector. Panics after any other error.
fn call_error(error: InstallError) -> CallError {
    let InstallError::Call(error) = error else { panic!("{error}") };
    error
}

async fn exchange_install(faulty: &Faulty) -> Ended {
    let query = faulty.stage.callback_of(0, "one-shop", None, Decision::Allow);
    let (outcome, requests) = faulty.call(faulty.begin_install(&faulty.host, &query)).await;
    assert_eq!(faulty.row().await, None, "nothing is attached before the confirmation");
    let has_shop = |install: &PendingInstall| install.shops.len() == 1;
    let then = match &outcome {
        Ok(install) if has_shop(install) => "done".to_owned(),
        Ok(install) => format!("{install:?}"),
        Err(_) => match faulty.begin_install(&faulty.stage.host, &query).await {
            Ok(install) if has_shop(&install) => "the same call works".to_owned(),
            Err(error)
                if refusal::<()>(Err(error.clone())) == ("reauthorize", "authorization-code-spent".to_owned()) =>
            {
                if faulty.connects_again().await { "a new consent works" } else { "a new consent fails" }.to_owned()
            }
            other => format!("{other:?}"),
        },
    };
    let ok = |_: &PendingInstall| CallResult { case: "ok".to_owned(), code: None, status: None, pause: None };
    Ended { result: CallResult::of(&outcome, ok), requests, then }
}

async fn connect_pending(faulty: &Faulty) -> Ended {
    let query = faulty.stage.callback_of(0, "one-shop", None, Decision::Allow);
    let install = faulty.begin_install(&faulty.stage.host, &query).await.unwrap();
    let (tenant, alice, browser) = (tenant(0), customer_id(ALICE), browser(ALICE));
    let confirming = faulty.host.confirm_install(&tenant, &alice, &browser, &install.id, ShopPolicy::All);
    let (outcome, requests) = faulty.call(confirming).await;
    shops_of_a_new_connection(faulty, outcome.map_err(call_error), requests).await
}

async fn connect_shops(faulty: &Faulty) -> Ended {
    let query = faulty.stage.callback("one-shop", Decision::Allow);
    let (outcome, requests) = faulty.call(faulty.connect(&faulty.host, &query)).await;
    shops_of_a_new_connection(faulty, outcome, requests).await
}

/// Finds out what became of a connection whose shops met a fault.
async fn shops_of_a_new_connection(faulty: &Faulty, outcome: Result<Connection, CallError>, requests: String) -> Ended {
    let row = faulty.row().await;
    let then = match (&outcome, row) {
        (Ok(connection), Some(row)) if in_order(connection) && in_order(&row) => "done".to_owned(),
        (Ok(connection), Some(row)) if *connection == row && row.status == ConnectionStatus::Active => {
            assert_eq!(row.shops.len(), 0);
            match faulty.refresh(RefreshMode::WhenDue).await.as_str() {
                READS => "the next refresh reads the shops".to_owned(),
                other => other.to_owned(),
            }
        }
        (_, row) => format!("{row:?}"),
    };
    Ended { result: CallResult::connection(&outcome), requests, then }
}

/// Whether an import names the account.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    Yes,
    No,
}

/// Imports this grant for the customer.
async fn import_by(host: &ConnectorHost, grant: &ExistingGrant) -> Result<Connection, CallError> {
    host.import_grant(&tenant(0), &customer_id(ALICE), None, grant.clone(), ShopPolicy::All).await
}

/// Measures `import_grant` with the tokens of another system. Afterwards the same import is made again: at once, and
/// after the claim of the first one has lapsed.
async fn import(faulty: &Faulty, named: Named) -> Ended {
    let stage = &faulty.stage;
    let held = stage.grant_in_another_system("one-shop").await;
    let grant = if named == Named::Yes { held } else { ExistingGrant { account: None, ..held } };
    let (tenant, alice) = (tenant(0), customer_id(ALICE));
    let (outcome, requests) = faulty.call(import_by(&faulty.host, &grant)).await;
    let row = faulty.row().await;
    let is_stored = !stage.storage.accounts(&tenant, &alice).await.unwrap().is_empty();
    let honoured = |text: &str| stage.issued("one-shop").honours_refresh_token(text);
    let then = match (&outcome, row) {
        (Ok(connection), Some(row)) if in_order(connection) && in_order(&row) => "done".to_owned(),
        (Err(_), None) => {
            let before = if is_stored { "the token stays stored" } else { "nothing is stored" };
            let at_tiktok =
                if honoured(grant.refresh_token.expose()) { "TikTok honours it" } else { "TikTok has replaced it" };
            let mut again = import_by(&stage.host, &grant).await;
            let mut when = "the same import works";
            if refusal(again.clone()) == ("retry-after", "refresh-in-progress".to_owned()) {
                stage.advance(120);
                again = import_by(&stage.host, &grant).await;
                when = "the same import works once the claim has lapsed";
            }
            match again {
                Ok(connection) if in_order(&connection) => format!("{before}; {at_tiktok}; {when}"),
                Ok(connection) => format!("{before}; {at_tiktok}; {connection:?}"),
                Err(error) => {
                    let (case, code) = refusal::<()>(Err(error));
                    format!("{before}; {at_tiktok}; the same import ends in {case} {code}")
                }
            }
        }
        (_, row) => format!("{row:?}"),
    };
    Ended { result: CallResult::connection(&outcome), requests, then }
}

async fn refresh_tokens(faulty: &Faulty) -> Ended {
    let stage = &faulty.stage;
    assert!(faulty.connects_again().await);
    stage.advance(8 * DAY);
    let (tenant, alice) = (tenant(0), customer_id(ALICE));
    let (outcome, requests) = faulty.call(faulty.host.refresh(&tenant, &alice, None, RefreshMode::WhenDue)).await;
    let outcome = outcome.map(|refreshed| refreshed.connection);
    let row = faulty.row().await.unwrap();
    let then = match &outcome {
        Ok(connection) if in_order(connection) && in_order(&row) => "done".to_owned(),
        Ok(connection) => format!("{connection:?}"),
        Err(error) => {
            let (case, code) = refusal::<()>(Err(error.clone()));
            assert_eq!(row.last_failure.map(|past| past.failure.code), Some(code.clone()), "the row shows the failure");
            assert_eq!(row.shops.len(), 1, "the row still has its shops");
            let when_due = faulty.refresh(RefreshMode::WhenDue).await;
            let forced = faulty.refresh(RefreshMode::Forced).await;
            match (when_due.as_str(), forced.as_str()) {
                ("retry-after backing-off", RENEWS) => "the claim is given back".to_owned(),
                (IN_PROGRESS, IN_PROGRESS) => {
                    stage.advance(120);
                    match faulty.refresh(RefreshMode::WhenDue).await.as_str() {
                        RENEWS => "the claim stands for 120 s".to_owned(),
                        "reauthorize refresh-outcome-unknown, tokens 1, shops 0" if faulty.connects_again().await => {
                            "the claim stands for 120 s; then a new consent works".to_owned()
                        }
                        other => format!("the claim stands for 120 s, then {other}"),
                    }
                }
                (when_due, RENEWS) if case == "reauthorize" && when_due == format!("{case} {code}") => {
                    "ended; a forced refresh finds out whether it lives".to_owned()
                }
                (when_due, forced) => format!("{when_due}; forced: {forced}"),
            }
        }
    };
    Ended { result: CallResult::connection(&outcome), requests, then }
}

async fn refresh_shops(faulty: &Faulty) -> Ended {
    assert!(faulty.connects_again().await);
    // More than ten minutes pass after the consent. Earlier, the connector would not renew a refused token.
    faulty.stage.advance(700);
    let (tenant, alice) = (tenant(0), customer_id(ALICE));
    let (outcome, requests) = faulty.call(faulty.host.refresh(&tenant, &alice, None, RefreshMode::WhenDue)).await;
    let outcome = outcome.map(|refreshed| refreshed.connection);
    let row = faulty.row().await.unwrap();
    let standing = row.shops.iter().map(|shop| shop.standing).collect::<Vec<_>>();
    let then = match (&outcome, standing.as_slice()) {
        (Ok(connection), _) if in_order(connection) && in_order(&row) => "done".to_owned(),
        (outcome, &[standing]) => {
            assert_eq!(row.status, ConnectionStatus::Active);
            if let Err(error) = outcome {
                let (_, code) = refusal::<()>(Err(error.clone()));
                assert_eq!(row.last_failure.map(|past| past.failure.code), Some(code), "the row shows the failure");
            }
            match (standing, faulty.refresh(RefreshMode::WhenDue).await.as_str()) {
                (ShopStanding::Granted, READS) => "the shops known before stay".to_owned(),
                (ShopStanding::Inactive, READS) => "the shops are marked inactive until they are read again".to_owned(),
                (standing, other) => format!("{standing:?}, then {other}"),
            }
        }
        (_, shops) => format!("{shops:?}"),
    };
    Ended { result: CallResult::connection(&outcome), requests, then }
}

/// The call to make: `access-token`, or `call` with this request.
enum Ask {
    Token,
    Call(CallRequest),
}

/// Measures `access-token` after the stored access token has expired, so that it cannot return the old token.
async fn access_token(faulty: &Faulty) -> Ended {
    assert!(faulty.connects_again().await);
    faulty.stage.advance(8 * DAY);
    let (result, requests) = faulty.call(faulty.ask(&faulty.host, &Ask::Token)).await;
    let row = faulty.row().await.unwrap();
    assert_eq!(row.last_failure.map(|past| past.failure.code), result.code, "the row shows the failure");
    Ended { result, requests, then: faulty.again(&Ask::Token).await }
}

/// Measures `call` more than ten minutes after the consent. Earlier, the connector would not renew a refused token.
async fn call(faulty: &Faulty, method: HttpMethod, path: &str) -> Ended {
    assert!(faulty.connects_again().await);
    faulty.stage.advance(700);
    let shop = faulty.row().await.unwrap().shops.remove(0).id;
    let request = CallRequest::new(CallScope::Shop(shop), method, path);
    let ask = Ask::Call(if method == HttpMethod::Post { request.query("page_size", "1").json("{}") } else { request });
    let (result, requests) = faulty.call(faulty.ask(&faulty.host, &ask)).await;
    let then = faulty.again(&ask).await;
    assert_eq!(faulty.row().await.unwrap().status, ConnectionStatus::Active);
    Ended { result, requests, then }
}

/// Measures `disconnect` more than ten minutes after the consent. Earlier, the connector would not renew a refused
/// token.
async fn disconnect(faulty: &Faulty) -> Ended {
    let stage = &faulty.stage;
    assert!(faulty.connects_again().await);
    stage.advance(700);
    let (tenant, alice) = (tenant(0), customer_id(ALICE));
    let end = faulty.host.disconnect(&tenant, &alice, DisconnectTarget::All(None), RemoteGrant::Revoke);
    let (outcome, requests) = faulty.call(end).await;
    assert_eq!(stage.storage.accounts(&tenant, &alice).await.unwrap(), []);
    assert_eq!(stage.storage.list_rows(&tenant, &alice).await.unwrap(), []);
    let granted = stage.issued("one-shop").refresh_tokens.iter().any(|token| token.honoured);
    let at_tiktok = if granted { "granted" } else { "taken back" };
    let then = match faulty.connects_again().await {
        true => format!("gone here, {at_tiktok} at TikTok; a new consent works"),
        false => format!("gone here, {at_tiktok} at TikTok; a new consent fails"),
    };
    Ended { result: CallResult::disconnected(&outcome), requests, then }
}
