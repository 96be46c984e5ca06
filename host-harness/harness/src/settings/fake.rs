//! Uses a fake that replaces TikTok Shop's two servers: parses the address of the fake, and reads the fake's clock and
//! apps.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tiktok_shop_host::clock::{Clock, SystemClock};
use tiktok_shop_host::credentials::AppCredentials;
use tiktok_shop_host::egress::{Authority, EgressPolicy, NotLoopback};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::variable_names::FAKE;
use crate::failure::Failure;

/// The program waits 5 seconds at most for an answer of the fake, because the fake runs on this machine.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a command waits for a fake that does not listen yet.
const START: Duration = Duration::from_secs(2);
/// The pause between two attempts to connect to a fake.
const PAUSE: Duration = Duration::from_millis(20);
/// The path of the older form of the consent link. This form names the app by its key.
const OLD_LINK: &str = "/oauth/authorize";
/// The maximum length of an answer: 1 MiB.
const MAX_BYTES: usize = 1 << 20;

/// The address of a fake. It is a loopback address, because requests to a fake carry secrets unencrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FakeAddress(SocketAddr);

impl fmt::Display for FakeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for FakeAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const MALFORMED: &str = "not http://127.0.0.1:PORT, http://[::1]:PORT or http://localhost:PORT";
        let uri: Uri = text.parse().map_err(|_| MALFORMED)?;
        let bare = uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/") && uri.query().is_none();
        let authority = uri.authority().filter(|authority| bare && !authority.as_str().contains('@'));
        let authority = authority.ok_or(MALFORMED)?;
        let port = authority.port_u16().filter(|port| *port != 0).ok_or(MALFORMED)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let address = match host.parse::<IpAddr>() {
            Ok(address) => address,
            Err(_) if host == "localhost" => Ipv4Addr::LOCALHOST.into(),
            Err(_) => return Err("a fake runs on this machine: http://127.0.0.1:PORT"),
        };
        if address.is_loopback() { Ok(Self(SocketAddr::new(address, port))) } else { Err("not a loopback address") }
    }
}

impl FakeAddress {
    /// Returns an egress policy that sends all requests for TikTok Shop to the fake.
    ///
    /// # Errors
    /// The address is not a loopback address. The parser accepts only loopback addresses, so this does not happen.
    pub(crate) fn egress(self) -> Result<EgressPolicy, Failure> {
        let refused = |error: NotLoopback| Failure::Malformed(format!("--fake: {error}"));
        let policy = EgressPolicy::production().stand_in(Authority::Auth, self.0).map_err(refused)?;
        policy.stand_in(Authority::Api, self.0).map_err(refused)
    }

    /// Returns the address of a fake that runs in this process. `None` if it is not a loopback address.
    pub(crate) fn of_this_process(address: SocketAddr) -> Option<Self> {
        address.ip().is_loopback().then_some(Self(address))
    }

    /// Converts a consent link of TikTok Shop into the address of the fake's consent page.
    pub(crate) fn consent_page(self, link: &str) -> String {
        let (address, query) = link.split_once('?').unwrap_or((link, ""));
        // The older form of the link has another path.
        let path = if address.ends_with(OLD_LINK) { OLD_LINK } else { "/open/authorize" };
        format!("http://{self}{path}?{query}")
    }

    /// Returns a clock that starts at the fake's current time. The clock stands still if the fake's clock stands still.
    pub(crate) async fn clock(self) -> Result<Arc<dyn Clock>, Failure> {
        let answer = self.control("GET", "/clock", None).await?;
        let now = answer.get("now").and_then(Value::as_u64).ok_or_else(|| self.not_a_fake())?;
        let ticking = answer.get("ticking").and_then(Value::as_bool).unwrap_or(true);
        Ok(Arc::new(FakeClock { now: Duration::from_secs(now), ticking, since: SystemClock::new() }))
    }

    /// Returns the credentials of the fake's apps. The list contains at least one app.
    pub(crate) async fn apps(self) -> Result<Vec<AppCredentials>, Failure> {
        let shown = self.control("GET", "/apps", None).await?;
        let apps = shown.as_array().into_iter().flatten().map(app).collect::<Option<Vec<_>>>();
        apps.filter(|apps| !apps.is_empty()).ok_or_else(|| self.not_a_fake())
    }

    /// In the role of a seller of the fake, allows the consent that this link asks for. Returns the query of the
    /// callback.
    pub(crate) async fn allow(self, link: &str, seller: &str) -> Result<String, Failure> {
        self.decide(link, seller, "allow").await
    }

    /// In the role of a seller of the fake, decides on the consent that this link asks for: `allow` or `refuse`. Returns
    /// the query of the callback.
    pub(crate) async fn decide(self, link: &str, seller: &str, decision: &str) -> Result<String, Failure> {
        let query = link.split_once('?').map_or("", |(_, query)| query);
        let parameter = |name: &str| form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == name);
        let value = |name| parameter(name).map(|(_, value)| value.into_owned());
        let consent = serde_json::json!({
            "service_id": value("service_id"),
            "app_key": value("app_key"),
            "state": value("state"),
            "seller": seller,
            "decision": decision,
        });
        let answer = self.control("POST", "/consent", Some(&consent)).await?;
        if let Some(refusal) = answer.get("error").and_then(Value::as_str) {
            return Err(Failure::Malformed(format!("the fake refused: {refusal}")));
        }
        answer.get("callback_query").and_then(Value::as_str).map(str::to_owned).ok_or_else(|| self.not_a_fake())
    }

    fn no_fake(self) -> Failure {
        Failure::Unavailable(format!(
            "no fake TikTok Shop answers at {self}; start one with tiktok-shop-harness fake --port {}",
            self.0.port()
        ))
    }

    /// The failure if another program than a fake listens at the address. A fake can't be started there.
    fn not_a_fake(self) -> Failure {
        Failure::Unavailable(format!(
            "the program at {self} does not answer as a fake TikTok Shop of this release; correct --fake or {FAKE}"
        ))
    }

    /// Returns the address.
    pub(crate) const fn socket(self) -> SocketAddr {
        self.0
    }

    /// Connects to the fake. A fake that was started in the background just before may not listen yet, so this function
    /// repeats the attempt without end. The caller limits the time.
    async fn connected(self) -> TcpStream {
        loop {
            if let Ok(stream) = TcpStream::connect(self.0).await {
                return stream;
            }
            sleep(PAUSE).await;
        }
    }

    /// Sends a request to the fake's control interface.
    pub(crate) async fn control(self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let stream = tokio::time::timeout(START, self.connected()).await.map_err(|_late| self.no_fake())?;
        let answer = tokio::time::timeout(TIMEOUT, exchange(stream, method, path, body)).await;
        let answer = answer.ok().flatten().ok_or_else(|| self.not_a_fake())?;
        serde_json::from_slice(&answer).map_err(|_| self.not_a_fake())
    }
}

async fn exchange(stream: TcpStream, method: &str, path: &str, body: Option<&Value>) -> Option<Bytes> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let mut request = Request::builder().method(method).uri(format!("/_control{path}")).header(HOST, "localhost");
    if body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let request = request.body(Full::new(Bytes::from(body.map_or_else(String::new, Value::to_string)))).ok()?;
    let answer = async {
        let answer = sender.send_request(request).await.ok()?;
        Some(Limited::new(answer.into_body(), MAX_BYTES).collect().await.ok()?.to_bytes())
    };
    // The request is sent and the answer is read only while the connection is polled.
    tokio::select! {
        answer = answer => answer,
        _ = connection => None,
    }
}

/// Reads one app from the fake's answer.
fn app(shown: &Value) -> Option<AppCredentials> {
    let member = |name: &str| shown.get(name)?.as_str();
    Some(AppCredentials {
        app_key: member("app_key")?.to_owned(),
        app_secret: member("app_secret")?.into(),
        previous_app_secret: None,
        authorization_link: Some(member("authorization_link")?.to_owned()),
    })
}

/// A clock that starts at the time that the fake's clock showed.
struct FakeClock {
    /// The time of the fake's clock when `since` started.
    now: Duration,
    ticking: bool,
    since: SystemClock,
}

impl Clock for FakeClock {
    fn wall(&self) -> Duration {
        if self.ticking { self.now + self.since.monotonic() } else { self.now }
    }

    fn monotonic(&self) -> Duration {
        self.since.monotonic()
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::pin::pin;

    use futures::poll;
    use tokio::net::TcpSocket;

    use super::*;

    #[tokio::test]
    async fn a_command_waits_for_a_fake_that_begins_to_listen_later() {
        // The port belongs to the socket, and refuses connections until the socket listens.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let fake = FakeAddress(socket.local_addr().unwrap());
        let refused = TcpStream::connect(fake.0).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let mut connected = pin!(fake.connected());
        assert!(poll!(connected.as_mut()).is_pending());
        let _listener = socket.listen(1).unwrap();
        connected.await;
    }

    #[test]
    fn the_address_of_a_fake_is_a_loopback_address() {
        for (text, address) in [
            ("http://127.0.0.1:4010", "127.0.0.1:4010"),
            ("http://127.0.0.1:4010/", "127.0.0.1:4010"),
            ("http://127.1.2.3:1", "127.1.2.3:1"),
            ("http://[::1]:4010", "[::1]:4010"),
            ("http://localhost:4010", "127.0.0.1:4010"),
        ] {
            assert_eq!(text.parse(), Ok(FakeAddress(address.parse().unwrap())), "{text}");
        }
        let malformed = "not http://127.0.0.1:PORT, http://[::1]:PORT or http://localhost:PORT";
        for text in [
            "",
            "4010",
            "127.0.0.1:4010",
            "https://127.0.0.1:4010",
            "http://127.0.0.1",
            "http://127.0.0.1:0",
            "http://127.0.0.1:65536",
            "http://a:b@127.0.0.1:4010",
            "http://127.0.0.1:4010/path",
            "http://127.0.0.1:4010?a",
        ] {
            assert_eq!(text.parse::<FakeAddress>(), Err(malformed), "{text}");
        }
        for text in
            ["http://10.0.0.1:4010", "http://0.0.0.0:4010", "http://[::]:4010", "http://[::ffff:127.0.0.1]:4010"]
        {
            assert_eq!(text.parse::<FakeAddress>(), Err("not a loopback address"), "{text}");
        }
        for text in ["http://example.com:4010", "http://localhost.example.com:4010", "http://127.1:4010"] {
            assert_eq!(
                text.parse::<FakeAddress>(),
                Err("a fake runs on this machine: http://127.0.0.1:PORT"),
                "{text}"
            );
        }
    }

    #[test]
    fn the_consent_page_of_the_fake_gets_the_query_of_the_link() {
        let fake: FakeAddress = "http://127.0.0.1:4010".parse().unwrap();
        let page = fake.consent_page("https://services.tiktokshop.com/open/authorize?service_id=1&state=s");
        assert_eq!(page, "http://127.0.0.1:4010/open/authorize?service_id=1&state=s");
        let page = fake.consent_page("https://auth.tiktok-shops.com/oauth/authorize?app_key=k&state=s");
        assert_eq!(page, "http://127.0.0.1:4010/oauth/authorize?app_key=k&state=s");
    }

    #[test]
    fn the_clock_runs_if_the_clock_of_the_fake_runs() {
        let clock = |ticking| FakeClock { now: Duration::from_secs(7), ticking, since: SystemClock::new() };
        assert_eq!(clock(false).wall(), Duration::from_secs(7));
        assert!((Duration::from_secs(7)..Duration::from_secs(60)).contains(&clock(true).wall()));
    }
}
