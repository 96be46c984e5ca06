//! Uses a fake that replaces TikTok Shop's two servers: parses the address of the fake, and reads the fake's clock and
//! apps.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tiktok_shop_fake_client::{FakeAddress as Address, FakeError};
use tiktok_shop_host::clock::{Clock, SystemClock};
use tiktok_shop_host::credentials::AppCredentials;
use tiktok_shop_host::egress::{Authority, EgressPolicy, NotLoopback};

use super::variable_names::FAKE;
use crate::failure::Failure;

/// The path of the older form of the consent link. This form names the app by its key.
const OLD_LINK: &str = "/oauth/authorize";

/// The address of a fake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FakeAddress(Address);

impl fmt::Display for FakeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for FakeAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl FakeAddress {
    /// Returns an egress policy that sends all requests for TikTok Shop to the fake.
    ///
    /// # Errors
    /// The address is not a loopback address. The parser accepts only loopback addresses, so this does not happen.
    pub(crate) fn egress(self) -> Result<EgressPolicy, Failure> {
        let refused = |error: NotLoopback| Failure::Malformed(format!("--fake: {error}"));
        let policy = EgressPolicy::production().stand_in(Authority::Auth, self.socket()).map_err(refused)?;
        policy.stand_in(Authority::Api, self.socket()).map_err(refused)
    }

    /// Returns the address of a fake that runs in this process. `None` if it is not a loopback address.
    pub(crate) fn of_this_process(address: SocketAddr) -> Option<Self> {
        Address::of_this_process(address).map(Self)
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
        self.0.apps().await.map_err(|error| self.failure(error))
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

    fn failure(self, error: FakeError) -> Failure {
        Failure::Unavailable(match error {
            FakeError::Missing(_) => {
                format!("{error}; start one with tiktok-shop-harness fake --port {}", self.socket().port())
            }
            FakeError::NotAFake(_) => format!("{error}; correct --fake or {FAKE}"),
        })
    }

    /// The failure if another program than a fake listens at the address.
    fn not_a_fake(self) -> Failure {
        self.failure(FakeError::NotAFake(self.0))
    }

    /// Returns the address.
    pub(crate) const fn socket(self) -> SocketAddr {
        self.0.socket()
    }

    /// Sends a request to the fake's control interface.
    pub(crate) async fn control(self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        self.0.control(method, path, body).await.map_err(|error| self.failure(error))
    }
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
    use super::*;

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
