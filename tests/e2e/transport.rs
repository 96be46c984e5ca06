//! What goes wrong between the shipped component and TikTok's hosts, from the first packet to the last byte of the body:
//! each ends in its exact case and code, is never sent twice, and loses nothing.

mod stand_in;

use std::time::Duration;

use fake_tiktok_shop::Decision;
use tiktok_shop_host_harness::{
    Action, Authority, CallError, ConnectionStatus, ConnectorHost, EgressPolicy, Failure, Rotation, ShopPolicy,
};
use tiktok_shop_tests::{DAY, SHOPS, Stage, TOKEN_GET, TOKEN_REFRESH, customer_id, grant, refusal, tenant};

use self::stand_in::{Reply, StandIn};

/// The component reads no more than this: a token answer has about 1 kB, a shop some hundred bytes.
const TOKEN_HOST_CAP: usize = 64 << 10;
const API_HOST_CAP: usize = 1 << 20;

const HTML: &str = "<html><body>a gateway's page</body></html>";

/// Whether TikTok may have acted on the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acted {
    No,
    Unknown,
}

/// What goes wrong, and what is made of it.
struct Trouble {
    name: &'static str,
    reply: Reply,
    status: Option<u16>,
    code: &'static str,
    remedy: Remedy,
    acted: Acted,
}

#[derive(Clone, Copy)]
enum Remedy {
    /// After so many seconds.
    CallAgain(u64),
    Show,
}

impl Trouble {
    /// What the host is told, where an unknown outcome adds nothing to the delay.
    fn told(&self) -> (Action, &str, Option<u16>) {
        let action = match self.remedy {
            Remedy::CallAgain(seconds) => Action::RetryAfter(Duration::from_secs(seconds)),
            Remedy::Show => Action::Upstream,
        };
        (action, self.code, self.status)
    }

    /// The same for a refresh: until the claim has lapsed there is nothing to call again for.
    fn told_of_a_refresh(&self) -> (Action, &str, Option<u16>) {
        match (self.remedy, self.acted) {
            (Remedy::CallAgain(_), Acted::Unknown) => {
                (Action::RetryAfter(Duration::from_secs(120)), self.code, self.status)
            }
            (Remedy::CallAgain(_) | Remedy::Show, _) => self.told(),
        }
    }

    /// A host that refuses connections sees no request; every other sees one, and it is never repeated.
    fn requests(&self) -> usize {
        usize::from(!matches!(self.reply, Reply::Refuse))
    }
}

/// All there is, for a host whose answers are capped at `cap` and that redirects to `elsewhere`.
fn troubles(cap: usize, elsewhere: Authority) -> Vec<Trouble> {
    use Acted::{No, Unknown};
    use Remedy::{CallAgain, Show};
    let trouble = |name, reply, status, code, remedy, acted| Trouble { name, reply, status, code, remedy, acted };
    let json = "application/json; charset=utf-8";
    let redirect = format!(
        "HTTP/1.1 302 Found\r\nlocation: https://{}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        elsewhere.host()
    );
    let limit = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let success = r#"{"code":0,"message":"success","data":{"access_token":"ROW_"#;
    let busy = r#"{"code":36009003,"message":"internal error"}"#;
    let large = format!(r#"{{"code":0,"message":"{}"}}"#, "x".repeat(cap));
    vec![
        trouble("refused", Reply::Refuse, None, "tiktok-unreachable", CallAgain(5), No),
        trouble("reset", Reply::Reset, None, "answer-incomplete", CallAgain(5), Unknown),
        trouble(
            "cut off in the body",
            Reply::cut_off("200 OK", json, success, 1000),
            None,
            "answer-incomplete",
            CallAgain(5),
            Unknown,
        ),
        trouble("too large", Reply::answer("200 OK", json, &large), None, "answer-too-large", Show, Unknown),
        trouble("limited", Reply::Send(limit.to_owned()), Some(429), "rate-limited", CallAgain(7), No),
        trouble(
            "a page with 500",
            Reply::answer("500 Internal Server Error", "text/html", HTML),
            Some(500),
            "tiktok-unavailable",
            CallAgain(5),
            Unknown,
        ),
        trouble(
            "JSON with 503",
            Reply::answer("503 Service Unavailable", json, busy),
            Some(503),
            "tiktok-unavailable",
            CallAgain(5),
            Unknown,
        ),
        trouble(
            "a page with 403",
            Reply::answer("403 Forbidden", "text/html", HTML),
            Some(403),
            "answer-unreadable",
            CallAgain(5),
            Unknown,
        ),
        trouble("redirected", Reply::Send(redirect), Some(302), "redirected", Show, Unknown),
        trouble(
            "broken JSON",
            Reply::answer("200 OK", json, success),
            Some(200),
            "answer-unreadable",
            CallAgain(5),
            Unknown,
        ),
        trouble(
            "no such page",
            Reply::answer("404 Not Found", "text/plain", "404 page not found"),
            Some(404),
            "answer-unreadable",
            CallAgain(5),
            Unknown,
        ),
    ]
}

/// A host for which one of TikTok's hosts is the stand-in, and the other the fake of the stage.
fn host_before(stage: &Stage, stand_in: &StandIn, played: Authority) -> ConnectorHost {
    let other = match played {
        Authority::Auth => Authority::Api,
        Authority::Api => Authority::Auth,
    };
    let egress = EgressPolicy::production()
        .stand_in(played, stand_in.address())
        .and_then(|policy| policy.stand_in(other, stage.fake.address()))
        .unwrap();
    stage.host_builder().egress(egress).build().unwrap()
}

fn told<T>(outcome: &Result<T, CallError>) -> (Action, &str, Option<u16>) {
    match outcome {
        Err(CallError::Connector(error)) => {
            let Failure { code, http_status, .. } = error.failure();
            (error.action(), code, *http_status)
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a success"),
    }
}

#[tokio::test]
async fn a_failed_exchange_stores_nothing_and_the_code_can_be_tried_again() {
    for trouble in troubles(TOKEN_HOST_CAP, Authority::Api) {
        let name = trouble.name;
        let stage = Stage::new();
        let alice = customer_id("alice");
        let query = stage.callback("one-shop", Decision::Allow);
        let token_host = StandIn::start(trouble.reply.clone()).await;
        let host = host_before(&stage, &token_host, Authority::Auth);

        let outcome = host.connect(&tenant(0), &alice, grant(&query), ShopPolicy::All).await;
        assert_eq!(told(&outcome), trouble.told(), "{name}");
        assert_eq!(token_host.requests().await.len(), trouble.requests(), "{name}");
        assert_eq!(stage.fake.requests(), [], "{name}: nothing went to the other host");
        assert_eq!(stage.host.list_connections(&tenant(0), &alice).await.unwrap(), [], "{name}");

        let connection = stage.host.connect(&tenant(0), &alice, grant(&query), ShopPolicy::All).await.unwrap();
        assert_eq!(connection.status, ConnectionStatus::Active, "{name}");
    }
}

#[tokio::test]
async fn shops_that_cannot_be_read_are_named_in_the_row_and_read_by_the_next_refresh() {
    for trouble in troubles(API_HOST_CAP, Authority::Auth) {
        let name = trouble.name;
        let stage = Stage::new();
        let alice = customer_id("alice");
        let query = stage.callback("one-shop", Decision::Allow);
        let api_host = StandIn::start(trouble.reply.clone()).await;
        let host = host_before(&stage, &api_host, Authority::Api);

        let connection = host.connect(&tenant(0), &alice, grant(&query), ShopPolicy::All).await.unwrap();
        let failure = connection.last_failure.unwrap().failure;
        assert_eq!((failure.code.as_str(), failure.http_status), (trouble.code, trouble.status), "{name}");
        assert_eq!((connection.status, connection.shops.len()), (ConnectionStatus::Active, 0), "{name}");
        let again = host.refresh(&tenant(0), &alice, None, Rotation::WhenDue).await;
        assert_eq!(told(&again), trouble.told(), "{name}");
        assert_eq!(api_host.requests().await.len(), 2 * trouble.requests(), "{name}");
        assert_eq!(stage.fake.requests().len(), 1, "{name}: the exchange, and nothing went to the other host");
        assert_eq!(stage.requests_to(TOKEN_GET), 1, "{name}");

        let connection = stage.refresh("alice", Rotation::WhenDue).await.unwrap();
        assert_eq!((connection.last_failure, connection.shops.len()), (None, 1), "{name}");
        assert_eq!((stage.requests_to(TOKEN_REFRESH), stage.requests_to(SHOPS)), (0, 1), "{name}");
    }
}

#[tokio::test]
async fn a_failed_refresh_gives_its_claim_back_only_where_tiktok_did_not_act() {
    for trouble in troubles(TOKEN_HOST_CAP, Authority::Api) {
        let name = trouble.name;
        let stage = Stage::new();
        stage.connect("alice", "one-shop").await.unwrap();
        stage.fake.clear_requests();
        stage.advance(8 * DAY);
        let token_host = StandIn::start(trouble.reply.clone()).await;
        let host = host_before(&stage, &token_host, Authority::Auth);

        let outcome = host.refresh(&tenant(0), &customer_id("alice"), None, Rotation::WhenDue).await;
        assert_eq!(told(&outcome), trouble.told_of_a_refresh(), "{name}");
        assert_eq!(token_host.requests().await.len(), trouble.requests(), "{name}");
        let row = stage.host.list_connections(&tenant(0), &customer_id("alice")).await.unwrap().remove(0);
        assert_eq!(row.last_failure.unwrap().failure.code, trouble.code, "{name}");

        // Right afterwards, with TikTok in order again.
        let patient = stage.refresh("alice", Rotation::WhenDue).await;
        match trouble.acted {
            Acted::No => {
                assert_eq!(refusal(patient), ("retry-after", "backing-off".to_owned()), "{name}");
                assert_eq!(stage.fake.requests(), [], "{name}");
            }
            Acted::Unknown => {
                let in_progress = ("retry-after", "refresh-in-progress".to_owned());
                assert_eq!(refusal(patient), in_progress, "{name}");
                let forced = stage.refresh("alice", Rotation::Forced).await;
                assert_eq!(refusal(forced), in_progress, "{name}");
                assert_eq!(stage.fake.requests(), [], "{name}");
                stage.advance(120);
            }
        }
        let connection = stage.refresh("alice", Rotation::Forced).await.unwrap();
        assert_eq!((connection.status, connection.last_failure), (ConnectionStatus::Active, None), "{name}");
        assert_eq!(stage.requests_to(TOKEN_REFRESH), 1, "{name}");
    }
}

#[tokio::test]
async fn a_request_is_a_get_that_says_that_it_has_no_body() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    let reply = Reply::answer("404 Not Found", "text/plain", "404 page not found");
    let (token_host, api_host) = (StandIn::start(reply.clone()).await, StandIn::start(reply).await);
    let host = host_before(&stage, &token_host, Authority::Auth);
    let query = stage.callback("one-shop", Decision::Allow);
    let exchange = host.connect(&tenant(0), &customer_id("bob"), grant(&query), ShopPolicy::All).await;
    assert_eq!(told(&exchange).1, "answer-unreadable");
    let shops = host_before(&stage, &api_host, Authority::Api);
    let shops = shops.refresh(&tenant(0), &customer_id("alice"), None, Rotation::WhenDue).await;
    assert_eq!(told(&shops).1, "answer-unreadable");
    let refresh = host.refresh(&tenant(0), &customer_id("alice"), None, Rotation::Forced).await;
    assert_eq!(told(&refresh).1, "answer-unreadable");

    let mut requests = token_host.requests().await;
    requests.extend(api_host.requests().await);
    let token_headers = ["content-length: 0", "host: auth.tiktok-shops.com"].as_slice();
    let api_headers = [
        "content-length: 0",
        "content-type: application/json",
        "host: open-api.tiktokglobalshop.com",
        "x-tts-access-token: [a token]",
    ];
    let expected = [(TOKEN_GET, token_headers), (TOKEN_REFRESH, token_headers), (SHOPS, &api_headers)];
    assert_eq!(requests.len(), expected.len());
    for (request, (path, headers)) in requests.iter().zip(expected) {
        assert!(request.line.starts_with(&format!("GET {path}?app_key=")), "{}", request.line);
        assert!(request.line.ends_with(" HTTP/1.1"), "{}", request.line);
        let found: Vec<_> = request
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", if value.starts_with("ROW_") { "[a token]" } else { value }))
            .collect();
        assert_eq!(found, headers, "{path}");
        assert_eq!(request.rest, "", "{path}");
    }
}
