//! Finds a fake TikTok Shop on this machine, and asks it over its control interface. A fake replaces TikTok Shop's two
//! servers. The command line and the packages for Node.js and Python use it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tiktok_shop_host::credentials::AppCredentials;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// An answer of the fake may take 5 seconds at most, because the fake runs on this machine.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request waits for a fake that does not listen yet.
const START: Duration = Duration::from_secs(2);
/// The pause between two attempts to connect to a fake.
const PAUSE: Duration = Duration::from_millis(20);
/// The maximum length of an answer: 1 MiB.
const MAX_BYTES: usize = 1 << 20;

/// The address of a fake. It is a loopback address, because requests to a fake carry secrets unencrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FakeAddress(SocketAddr);

impl fmt::Display for FakeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Why a fake did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FakeError {
    /// Nothing listens at the address. A fake can be started there.
    #[error("no fake TikTok Shop answers at {0}")]
    Missing(FakeAddress),
    /// Another program than a fake of this release listens at the address. A fake can't be started there.
    #[error("the program at {0} does not answer as a fake TikTok Shop of this release")]
    NotAFake(FakeAddress),
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
    /// Returns the address of a fake that runs in this process. `None` if it is not a loopback address.
    #[must_use]
    pub fn of_this_process(address: SocketAddr) -> Option<Self> {
        address.ip().is_loopback().then_some(Self(address))
    }

    /// Returns the address and the port.
    #[must_use]
    pub const fn socket(self) -> SocketAddr {
        self.0
    }

    /// Asks the fake for its apps, with their secrets. The list contains at least one app.
    ///
    /// # Errors
    /// No fake answers at the address.
    pub async fn apps(self) -> Result<Vec<AppCredentials>, FakeError> {
        let shown = self.control("GET", "/apps", None).await?;
        let apps = shown.as_array().into_iter().flatten().map(app).collect::<Option<Vec<_>>>();
        apps.filter(|apps| !apps.is_empty()).ok_or(FakeError::NotAFake(self))
    }

    /// Sends a request to the fake's control interface. `path` begins behind `/_control`. Returns the answer.
    ///
    /// # Errors
    /// No fake answers at the address.
    pub async fn control(self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, FakeError> {
        let stream = timeout(START, self.connected()).await.map_err(|_late| FakeError::Missing(self))?;
        let answer = timeout(TIMEOUT, exchange(stream, method, path, body)).await;
        let answer = answer.ok().flatten().ok_or(FakeError::NotAFake(self))?;
        serde_json::from_slice(&answer).map_err(|_| FakeError::NotAFake(self))
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

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::pin::pin;

    use futures::poll;
    use tokio::net::TcpSocket;

    use super::*;

    #[tokio::test]
    async fn a_request_waits_for_a_fake_that_begins_to_listen_later() {
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
}
