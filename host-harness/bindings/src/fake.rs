//! The fake TikTok Shop that a host uses in place of TikTok Shop, and the rule that a fake gets only credentials that
//! it has shown.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tiktok_shop_host::TenantId;
use tiktok_shop_host::credentials::{
    AppCredentials, CredentialsError, CredentialsProvider, NotOfFake, check_app_of_fake,
};
use tokio::net::TcpStream;

use crate::error::BindingError;

/// The host waits 5 seconds at most for an answer of the fake, because the fake runs on this machine.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum length of an answer: 1 MiB.
const MAX_BYTES: usize = 1 << 20;

/// The address of a fake. It is a loopback address, because requests to a fake carry secrets unencrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fake(SocketAddr);

impl fmt::Display for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Fake {
    /// Reads the address of a fake. Returns `None` if it is malformed, or not a loopback address.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let uri: http::Uri = text.parse().ok()?;
        let is_bare = uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/") && uri.query().is_none();
        let port = uri.port_u16().filter(|port| is_bare && *port != 0)?;
        let address = match uri.host()?.trim_start_matches('[').trim_end_matches(']') {
            "localhost" => Ipv4Addr::LOCALHOST.into(),
            host => host.parse::<IpAddr>().ok()?,
        };
        address.is_loopback().then(|| Self(SocketAddr::new(address, port)))
    }

    pub(crate) const fn address(self) -> SocketAddr {
        self.0
    }

    /// Asks the fake for its apps, with their secrets.
    ///
    /// # Errors
    /// No fake answers at the address (`fake-unavailable`).
    pub(crate) async fn apps(self) -> Result<Vec<AppCredentials>, BindingError> {
        let asked = tokio::time::timeout(TIMEOUT, self.ask()).await;
        asked.ok().flatten().ok_or_else(|| {
            let text = format!("no fake TikTok Shop answers at {self}; start one, or correct the option `fake`");
            BindingError::settings("fake-unavailable", text)
        })
    }

    async fn ask(self) -> Option<Vec<AppCredentials>> {
        let stream = TcpStream::connect(self.0).await.ok()?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        let request = Request::get("/_control/apps").header(HOST, "localhost").body(String::new()).ok()?;
        let answer = async {
            let answer = sender.send_request(request).await.ok()?;
            if answer.status() != StatusCode::OK {
                return None;
            }
            Some(Limited::new(answer.into_body(), MAX_BYTES).collect().await.ok()?.to_bytes())
        };
        // The request is sent and the answer is read only while the connection is polled.
        let answer = tokio::select! {
            answer = answer => answer?,
            _ = connection => return None,
        };
        serde_json::from_slice::<Vec<Value>>(&answer).ok()?.iter().map(shown).collect()
    }
}

/// Reads one app from the fake's answer. The host needs only the key and the secret.
fn shown(app: &Value) -> Option<AppCredentials> {
    let member = |name: &str| app.get(name)?.as_str();
    Some(AppCredentials {
        app_key: member("app_key")?.to_owned(),
        app_secret: member("app_secret")?.into(),
        previous_app_secret: None,
        authorization_link: None,
    })
}

/// Returns the text of the error if a fake has not shown an app. `place` is the place of the app in the list of the
/// tenant's apps, beginning with 1.
pub(crate) fn not_of_fake(why: NotOfFake, place: usize, fake: Fake) -> String {
    let what = match why {
        NotOfFake::UnknownApp => "",
        NotOfFake::OtherSecret => "the secret of ",
    };
    format!(
        "the fake at {fake} has not shown {what}app {place}, so the host does not send the app's secret to this fake; \
         copy the app from the fake's page, or leave out the option `fake`"
    )
}

/// App credentials that go to a fake. Credentials that the fake has not shown are refused.
pub(crate) struct ForFake {
    provider: Arc<dyn CredentialsProvider>,
    fake: Fake,
    /// The apps that the fake has shown.
    shown: Mutex<Arc<[AppCredentials]>>,
}

impl ForFake {
    pub(crate) fn new(provider: Arc<dyn CredentialsProvider>, fake: Fake, shown: Vec<AppCredentials>) -> Self {
        Self { provider, fake, shown: Mutex::new(shown.into()) }
    }

    /// Returns the place of the first app that the fake has not shown, and why it is refused.
    fn refused(&self, apps: &[AppCredentials]) -> Option<(usize, NotOfFake)> {
        let shown = Arc::clone(&self.shown.lock().unwrap_or_else(PoisonError::into_inner));
        (1..).zip(apps).find_map(|(place, app)| check_app_of_fake(app, &shown).err().map(|why| (place, why)))
    }
}

#[async_trait]
impl CredentialsProvider for ForFake {
    async fn apps(&self, tenant: &TenantId) -> Result<Vec<AppCredentials>, CredentialsError> {
        let apps = self.provider.apps(tenant).await?;
        if self.refused(&apps).is_some() {
            // A test may have given the fake another app since.
            let shown = self.fake.apps().await.map_err(|error| CredentialsError::Unavailable(error.message))?;
            *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = shown.into();
        }
        match self.refused(&apps) {
            Some((place, why)) => Err(CredentialsError::Refused(not_of_fake(why, place, self.fake))),
            None => Ok(apps),
        }
    }
}

#[cfg(test)]
mod tests {
    use fake_tiktok_shop::{FakeTikTokShop, Options};
    use tiktok_shop_host::credentials::StaticCredentials;

    use super::*;

    #[test]
    fn a_fake_runs_on_this_machine() {
        for (text, address) in [
            ("http://127.0.0.1:4010", "127.0.0.1:4010"),
            ("http://localhost:4010/", "127.0.0.1:4010"),
            ("http://[::1]:4010", "[::1]:4010"),
        ] {
            assert_eq!(Fake::parse(text), Some(Fake(address.parse().unwrap())), "{text}");
        }
        for text in [
            "",
            "127.0.0.1:4010",
            "https://127.0.0.1:4010",
            "http://127.0.0.1",
            "http://127.0.0.1:0",
            "http://127.0.0.1:4010/a",
            "http://10.0.0.1:4010",
            "http://example.com:4010",
        ] {
            assert_eq!(Fake::parse(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn a_host_with_a_fake_uses_only_credentials_that_the_fake_has_shown() {
        let running = FakeTikTokShop::start(Options::default()).unwrap();
        let fake = Fake(running.address());
        let shown = fake.apps().await.unwrap();
        let keys: Vec<_> = running.control().apps().into_iter().map(|app| app.app_key).collect();
        assert_eq!(shown.iter().map(|app| app.app_key.clone()).collect::<Vec<_>>(), keys);

        let (tenant, own) = ("acme".parse::<TenantId>().unwrap(), shown[0].clone());
        let real = AppCredentials { app_key: "6realapp00001".to_owned(), ..own.clone() };
        let changed = AppCredentials { app_secret: "the secret of a real app".into(), ..own.clone() };
        let next = "so the host does not send the app's secret to this fake; copy the app from the fake's page, or \
                    leave out the option `fake`";
        let refused =
            |what: &str| Err(CredentialsError::Refused(format!("the fake at {fake} has not shown {what}, {next}")));
        for (app, expected) in [
            (own.clone(), Ok(own.app_key.clone())),
            (real, refused("app 1")),
            (changed, refused("the secret of app 1")),
        ] {
            // The host has asked the fake when it opened, or asks it now.
            for known in [shown.clone(), Vec::new()] {
                let provider = StaticCredentials::new().with(tenant.clone(), app.clone());
                let provider = ForFake::new(Arc::new(provider), fake, known);
                let apps = provider.apps(&tenant).await.map(|apps| apps[0].app_key.clone());
                assert_eq!(apps, expected, "{}", app.app_key);
            }
        }
    }

    #[tokio::test]
    async fn an_address_without_a_fake_is_an_error() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Fake(listener.local_addr().unwrap());
        drop(listener);
        let error = fake.apps().await.unwrap_err();
        let text = format!("no fake TikTok Shop answers at {fake}; start one, or correct the option `fake`");
        assert_eq!((error.code, error.message), ("fake-unavailable".to_owned(), text));
    }
}
