//! A fake with a clock that stands still, and an app that exchanges codes.

use fake_tiktok_shop::{App, Clock, Control, Decision, FakeTikTokShop, Options};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// 2026-01-01T00:00:00Z in Unix seconds.
const START: u64 = 1_767_225_600;

pub(crate) struct Stage {
    fake: FakeTikTokShop,
    pub(crate) control: Control,
    pub(crate) app: App,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let fake = FakeTikTokShop::start(Options { clock: Clock::fixed(START), ..Options::default() }).unwrap();
        let control = fake.control();
        let app = control.apps()[0].clone();
        Self { fake, control, app }
    }

    /// Returns the address of a page.
    pub(crate) fn page(&self, path: &str) -> String {
        format!("http://{}{path}", self.fake.address())
    }

    /// Exchanges a code for tokens. Panics if the fake refuses the code.
    pub(crate) async fn exchange(&self, code: &str) {
        let App { app_key, app_secret, .. } = &self.app;
        let target = format!(
            "/api/v2/token/get?app_key={app_key}&app_secret={app_secret}&auth_code={code}&grant_type=authorized_code"
        );
        let answer = self.get(&target).await;
        assert!(answer.contains("\"code\":0"), "{answer}");
    }

    /// Lets a seller consent, and exchanges the code.
    pub(crate) async fn connect(&self, seller: &str) {
        let callback = self.control.consent(&self.app.service_id, seller, None, Decision::Allow).unwrap();
        self.exchange(&parameter(&callback, "code")).await;
    }

    pub(crate) async fn get(&self, target: &str) -> String {
        let mut stream = TcpStream::connect(self.fake.address()).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

/// Returns the value of the parameter `name` in a query.
pub(crate) fn parameter(query: &str, name: &str) -> String {
    let found = form_urlencoded::parse(query.as_bytes()).find(|(n, _)| n == name);
    found.unwrap_or_else(|| panic!("no {name} in {query}")).1.into_owned()
}
