//! The operations that send requests, and how it is found out what a fault did to each.

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
use tiktok_shop_host::egress::{Authority, EgressPolicy};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::{CallError, ConnectorHost};
use tiktok_shop_tests::{DAY, SHOPS, Stage, TOKEN_GET, TOKEN_REFRESH, customer_id, grant, refusal, tenant};
use tokio::net::TcpSocket;

/// The one fault that no answer can play: nobody listens.
pub(super) const CONNECTION_REFUSED: &str = "connection refused";

/// One kind of request of one call.
pub(super) struct Operation {
    pub(super) name: &'static str,
    /// The request that meets the fault, every time it is sent.
    path: &'static str,
    run: for<'a> fn(&'a Faulty) -> Pin<Box<dyn Future<Output = Ended> + Send + 'a>>,
}

pub(super) const OPERATIONS: [Operation; 8] = [
    Operation { name: "connect: code", path: TOKEN_GET, run: |faulty| Box::pin(connect_code(faulty)) },
    Operation { name: "connect: shops", path: SHOPS, run: |faulty| Box::pin(connect_shops(faulty)) },
    Operation { name: "refresh: tokens", path: TOKEN_REFRESH, run: |faulty| Box::pin(refresh_tokens(faulty)) },
    Operation { name: "refresh: shops", path: SHOPS, run: |faulty| Box::pin(refresh_shops(faulty)) },
    Operation { name: "access-token: tokens", path: TOKEN_REFRESH, run: |faulty| Box::pin(access_token(faulty)) },
    Operation { name: "call: GET", path: WEBHOOKS, run: |faulty| Box::pin(call(faulty, HttpMethod::Get, WEBHOOKS)) },
    Operation { name: "call: POST", path: ORDERS, run: |faulty| Box::pin(call(faulty, HttpMethod::Post, ORDERS)) },
    Operation { name: "disconnect: revoke", path: DEAUTHORIZE, run: |faulty| Box::pin(disconnect(faulty)) },
];

const DEAUTHORIZE: &str = "/authorization/202403/shops";

const WEBHOOKS: &str = "/event/202309/webhooks";
const ORDERS: &str = "/order/202309/orders/search";

/// How a call ended, what it sent, and what stands.
struct Ended {
    told: Told,
    requests: String,
    then: String,
}

/// What the caller was told.
struct Told {
    /// `ok`, `answer` for TikTok's own answer to a `call`, one of the eight cases, or how the host ended the call.
    case: String,
    /// Of the error, of the failure in the row, or TikTok's own of an `answer`.
    code: Option<String>,
    status: Option<u16>,
    pause: Option<Duration>,
}

impl Told {
    fn of<T>(outcome: &Result<T, CallError>, success: impl FnOnce(&T) -> Self) -> Self {
        let error = match outcome {
            Ok(value) => return success(value),
            Err(error) => error,
        };
        let (case, failure, pause) = if let CallError::Connector(told) = error {
            let case = refusal::<()>(Err(error.clone())).0.to_owned();
            (case, Some(told.failure()), told.retry_after())
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

    /// A connection, with the failure that its row shows.
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

    /// Gone, with the failure of the one shop that TikTok did not take back.
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
    /// Runs it with a fault on a stage of its own.
    pub(super) async fn measure(&self, fault: &str) -> Row {
        let faulty = Faulty::new(self.path, fault);
        let Ended { told, requests, then } = (self.run)(&faulty).await;
        let Told { case, code, status, pause } = told;
        let seconds = pause.map(|pause| {
            assert_eq!(pause.subsec_nanos(), 0, "a pause is whole seconds");
            pause.as_secs()
        });
        let (operation, fault) = (self.name.to_owned(), fault.to_owned());
        Row { operation, fault, case, seconds, code, status, requests, then }
    }
}

/// A stage, and a host before it for which one kind of request goes wrong as soon as it is told to.
struct Faulty {
    stage: Stage,
    host: ConnectorHost,
    path: &'static str,
    fault: String,
    _nobody: Option<TcpSocket>,
}

const ALICE: &str = "alice";

impl Faulty {
    fn new(path: &'static str, name: &str) -> Self {
        let stage = Stage::new();
        let mut builder = stage.host_builder();
        let mut nobody = None;
        match Fault::named(name) {
            // What never comes is waited for, so not for long.
            Some(Fault { then: Ending::Stall, .. }) => {
                let wait = Duration::from_secs(3);
                builder =
                    builder.deadlines(Deadlines { first_byte: wait, between_bytes: wait, ..Deadlines::default() });
            }
            Some(_) => {}
            None => {
                assert_eq!(name, CONNECTION_REFUSED);
                // Bound and not listening: connections are refused, and nobody else gets the port meanwhile.
                let port = TcpSocket::new_v4().unwrap();
                port.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
                let refusing = port.local_addr().unwrap();
                nobody = Some(port);
                let (played, other) = match path {
                    TOKEN_GET | TOKEN_REFRESH => (Authority::Auth, Authority::Api),
                    _ => (Authority::Api, Authority::Auth),
                };
                let egress = EgressPolicy::production().stand_in(played, refusing);
                let egress = egress.and_then(|policy| policy.stand_in(other, stage.fake.address()));
                builder = builder.egress(egress.unwrap());
            }
        }
        Self { host: builder.build().unwrap(), path, fault: name.to_owned(), _nobody: nobody, stage }
    }

    /// Makes a call while the fault lasts, and tells what was sent during it.
    async fn call<T>(&self, call: impl Future<Output = T>) -> (T, String) {
        let fake = &self.stage.fake;
        self.stage.clear_requests();
        if let Some(fault) = Fault::named(&self.fault) {
            fake.fault_every(self.path, &self.fault, fault);
        }
        let outcome = call.await;
        for script in fake.clear_faults() {
            assert_ne!(script.met, 0, "nothing was sent to {}", self.path);
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

    /// The connection as the customer sees it.
    async fn row(&self) -> Option<Connection> {
        self.stage.host.list_connections(&tenant(0), &customer_id(ALICE)).await.unwrap().pop()
    }

    async fn connect(&self, host: &ConnectorHost, query: &str) -> Result<Connection, CallError> {
        host.connect(&tenant(0), &customer_id(ALICE), grant(query), ShopPolicy::All).await
    }

    /// A refresh with TikTok in order: `ok` with all its shops and no failure left, or case and code; then what was sent.
    async fn refresh(&self, rotation: Rotation) -> String {
        let told = match self.stage.refresh(ALICE, rotation).await {
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
            (0, 0) => told,
            (tokens, shops) => format!("{told}, tokens {tokens}, shops {shops}"),
        }
    }

    async fn ask(&self, host: &ConnectorHost, ask: &Ask) -> Told {
        let (tenant, alice) = (tenant(0), customer_id(ALICE));
        match ask {
            Ask::Token => Told::token(&host.access_token(&tenant, &alice, None, Duration::from_secs(60)).await),
            Ask::Call(request) => Told::response(&host.call(&tenant, &alice, request.clone()).await),
        }
    }

    /// The same call again with TikTok in order, at once and after the pause that it asks for.
    async fn again(&self, ask: &Ask) -> String {
        let told = self.ask(&self.stage.host, ask).await;
        let (pause, works) = match (told.case.as_str(), told.code.as_deref()) {
            ("ok", _) => return "the same call works".to_owned(),
            ("retry-after", Some("refresh-in-progress")) => (120, "the same call works once the claim has lapsed"),
            ("retry-after", Some("backing-off")) => (3600, "the same call works after the pause"),
            ("reauthorize", _) => (0, "only a new consent works"),
            (case, code) => return format!("{case} {code:?}"),
        };
        self.stage.advance(pause);
        let told = self.ask(&self.stage.host, ask).await;
        match told.case.as_str() {
            "ok" => works.to_owned(),
            "reauthorize" if self.connects_anew().await && self.ask(&self.stage.host, ask).await.case == "ok" => {
                if pause == 0 {
                    works.to_owned()
                } else {
                    format!("{pause} s later only a new consent works")
                }
            }
            case => format!("{pause} s later {case} {:?}", told.code),
        }
    }

    /// Another consent of the same seller.
    async fn connects_anew(&self) -> bool {
        self.stage.connect(ALICE, "one-shop").await.is_ok_and(|connection| in_order(&connection))
    }
}

fn in_order(connection: &Connection) -> bool {
    connection.status == ConnectionStatus::Active
        && connection.last_failure.is_none()
        && connection.shops.iter().map(|shop| shop.standing).eq([ShopStanding::Granted])
}

/// A refresh that renews, then reads the shops; one that only reads them.
const RENEWS: &str = "ok, tokens 1, shops 1";
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
                if faulty.connects_anew().await { "a new consent works" } else { "a new consent fails" }.to_owned()
            }
            other => format!("{other:?}"),
        },
        (_, row) => format!("{row:?}"),
    };
    Ended { told: Told::connection(&outcome), requests, then }
}

async fn connect_shops(faulty: &Faulty) -> Ended {
    let query = faulty.stage.callback("one-shop", Decision::Allow);
    let (outcome, requests) = faulty.call(faulty.connect(&faulty.host, &query)).await;
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
    Ended { told: Told::connection(&outcome), requests, then }
}

async fn refresh_tokens(faulty: &Faulty) -> Ended {
    let stage = &faulty.stage;
    assert!(faulty.connects_anew().await);
    stage.advance(8 * DAY);
    let (tenant, alice) = (tenant(0), customer_id(ALICE));
    let (outcome, requests) = faulty.call(faulty.host.refresh(&tenant, &alice, None, RefreshMode::WhenDue)).await;
    let row = faulty.row().await.unwrap();
    let then = match &outcome {
        Ok(connection) if in_order(connection) && in_order(&row) => "done".to_owned(),
        Ok(connection) => format!("{connection:?}"),
        Err(error) => {
            let (case, code) = refusal::<()>(Err(error.clone()));
            assert_eq!(row.last_failure.map(|past| past.failure.code), Some(code.clone()), "in the row");
            assert_eq!(row.shops.len(), 1, "the shops stay known");
            let told = faulty.refresh(RefreshMode::WhenDue).await;
            let forced = faulty.refresh(RefreshMode::Forced).await;
            match (told.as_str(), forced.as_str()) {
                ("retry-after backing-off", RENEWS) => "the claim is given back".to_owned(),
                (IN_PROGRESS, IN_PROGRESS) => {
                    stage.advance(120);
                    match faulty.refresh(RefreshMode::WhenDue).await.as_str() {
                        RENEWS => "the claim stands for 120 s".to_owned(),
                        "reauthorize refresh-outcome-unknown, tokens 1, shops 0" if faulty.connects_anew().await => {
                            "the claim stands for 120 s; then a new consent works".to_owned()
                        }
                        other => format!("the claim stands for 120 s, then {other}"),
                    }
                }
                (told, RENEWS) if case == "reauthorize" && told == format!("{case} {code}") => {
                    "ended; a forced refresh finds out whether it lives".to_owned()
                }
                (told, forced) => format!("{told}; forced: {forced}"),
            }
        }
    };
    Ended { told: Told::connection(&outcome), requests, then }
}

async fn refresh_shops(faulty: &Faulty) -> Ended {
    assert!(faulty.connects_anew().await);
    // So long after the consent that a token which is refused may be renewed.
    faulty.stage.advance(700);
    let (tenant, alice) = (tenant(0), customer_id(ALICE));
    let (outcome, requests) = faulty.call(faulty.host.refresh(&tenant, &alice, None, RefreshMode::WhenDue)).await;
    let row = faulty.row().await.unwrap();
    let standing = row.shops.iter().map(|shop| shop.standing).collect::<Vec<_>>();
    let then = match (&outcome, standing.as_slice()) {
        (Ok(connection), _) if in_order(connection) && in_order(&row) => "done".to_owned(),
        (outcome, &[standing]) => {
            assert_eq!(row.status, ConnectionStatus::Active);
            if let Err(error) = outcome {
                let (_, code) = refusal::<()>(Err(error.clone()));
                assert_eq!(row.last_failure.map(|past| past.failure.code), Some(code), "in the row");
            }
            match (standing, faulty.refresh(RefreshMode::WhenDue).await.as_str()) {
                (ShopStanding::Granted, READS) => "the shops known before stay".to_owned(),
                (ShopStanding::Inactive, READS) => "the shops are marked inactive until they are read again".to_owned(),
                (standing, other) => format!("{standing:?}, then {other}"),
            }
        }
        (_, shops) => format!("{shops:?}"),
    };
    Ended { told: Told::connection(&outcome), requests, then }
}

/// What has no side to show but its answer.
enum Ask {
    Token,
    Call(CallRequest),
}

/// The token has ended: nothing can be served in its place.
async fn access_token(faulty: &Faulty) -> Ended {
    assert!(faulty.connects_anew().await);
    faulty.stage.advance(8 * DAY);
    let (told, requests) = faulty.call(faulty.ask(&faulty.host, &Ask::Token)).await;
    let row = faulty.row().await.unwrap();
    assert_eq!(row.last_failure.map(|past| past.failure.code), told.code, "in the row");
    Ended { told, requests, then: faulty.again(&Ask::Token).await }
}

/// So long after the consent that a token which is refused may be renewed.
async fn call(faulty: &Faulty, method: HttpMethod, path: &str) -> Ended {
    assert!(faulty.connects_anew().await);
    faulty.stage.advance(700);
    let shop = faulty.row().await.unwrap().shops.remove(0).id;
    let request = CallRequest::new(CallScope::Shop(shop), method, path);
    let ask = Ask::Call(if method == HttpMethod::Post { request.query("page_size", "1").json("{}") } else { request });
    let (told, requests) = faulty.call(faulty.ask(&faulty.host, &ask)).await;
    let then = faulty.again(&ask).await;
    assert_eq!(faulty.row().await.unwrap().status, ConnectionStatus::Active);
    Ended { told, requests, then }
}

/// So long after the consent that a token which is refused may be renewed.
async fn disconnect(faulty: &Faulty) -> Ended {
    let stage = &faulty.stage;
    assert!(faulty.connects_anew().await);
    stage.advance(700);
    let (tenant, alice) = (tenant(0), customer_id(ALICE));
    let end = faulty.host.disconnect(&tenant, &alice, DisconnectTarget::All(None), RemoteGrant::Revoke);
    let (outcome, requests) = faulty.call(end).await;
    assert_eq!(stage.storage.accounts(&tenant, &alice).await.unwrap(), []);
    assert_eq!(stage.storage.list_rows(&tenant, &alice).await.unwrap(), []);
    let service = &stage.fake.apps()[0].service_id;
    let granted = stage.fake.issued(service, "one-shop").unwrap().refresh_tokens.iter().any(|token| token.honoured);
    let at_tiktok = if granted { "granted" } else { "taken back" };
    let then = match faulty.connects_anew().await {
        true => format!("gone here, {at_tiktok} at TikTok; a new consent works"),
        false => format!("gone here, {at_tiktok} at TikTok; a new consent fails"),
    };
    Ended { told: Told::disconnected(&outcome), requests, then }
}
