//! A small client of WebDriver (<https://www.w3.org/TR/webdriver2/>): a session of Chromium without a window.
#![allow(
    clippy::disallowed_methods,
    reason = "the tests find the browser by the environment, and limit how long they wait for a page"
)]

use std::env;
use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream as BlockingStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The time within which the browser must start, carry out a command, or show what a test expects. It is long because a
/// machine may run many tests at a time.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const ENTER: char = '\u{e007}';
pub(crate) const TAB: char = '\u{e004}';

/// The size of the browser's window in CSS pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Screen {
    Phone,
    Desktop,
}

impl Screen {
    pub(crate) fn width(self) -> u64 {
        match self {
            Self::Phone => 360,
            Self::Desktop => 1_440,
        }
    }

    fn metrics(self) -> Value {
        match self {
            Self::Phone => json!({ "width": 360, "height": 780, "pixelRatio": 1, "mobile": true, "touch": false }),
            Self::Desktop => json!({ "width": 1_440, "height": 900, "pixelRatio": 1, "mobile": false, "touch": false }),
        }
    }
}

/// The maximum number of times that chromedriver is started until it has a port. It takes a free port of IPv6, and ends if another program has the
/// port of IPv4 with the same number.
const MAX_DRIVER_STARTS: usize = 5;

/// Starts chromedriver, and returns its process and its port. Returns `None` if it ends before it prints the port.
async fn start_driver(driver: &Path) -> Option<(Child, u16)> {
    let mut process = Command::new(driver)
        .args(["--port=0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let started = timeout(PATIENCE, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                return Some(port.trim_end_matches('.').parse::<u16>().unwrap());
            }
        }
        None
    });
    let port = started.await.expect("chromedriver did not print its port in time")?;
    // This task reads what chromedriver prints later. Otherwise the pipe could become full.
    tokio::spawn(async move { while lines.next_line().await.is_ok_and(|line| line.is_some()) {} });
    Some((process, port))
}

/// A browser. It ends when this value is dropped.
pub(crate) struct Browser {
    driver: SocketAddr,
    session: String,
    _process: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts a browser. Returns `None` if this machine has no Chromium, and says so on standard error.
    pub(crate) async fn start(screen: Screen) -> Option<Self> {
        let (Some(driver), Some(chromium)) = (program("chromedriver"), program("chromium")) else {
            let text = "the pages of the fake were not tried in a browser: on Debian, apt-get install chromium \
                        chromium-driver";
            assert!(variable("CI").is_none_or(|ci| ci != "true"), "CI must try everything, but {text}");
            // `eprintln!` is not used, because the test harness shows its output only if the test fails.
            let _closed = writeln!(io::stderr(), "{text}");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        let mut started = None;
        for _ in 0..MAX_DRIVER_STARTS {
            started = start_driver(&driver).await;
            if started.is_some() {
                break;
            }
        }
        let (process, port) = started.expect("chromedriver ended several times before it printed its port");
        let mut browser = Self {
            driver: SocketAddr::from(([127, 0, 0, 1], port)),
            session: String::new(),
            _process: process,
            _profile: profile,
        };
        // The user root can run Chromium only without its sandbox. The sandbox is not needed, because all pages come
        // from the fake.
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--user-data-dir={}", browser._profile.path().display()),
        ];
        let options = json!({
            "binary": chromium,
            "args": arguments,
            "mobileEmulation": { "deviceMetrics": screen.metrics() },
        });
        let capabilities = json!({ "alwaysMatch": { "browserName": "chrome", "goog:chromeOptions": options } });
        let session = browser.command("POST", "/session", json!({ "capabilities": capabilities })).await;
        browser.session = session["sessionId"].as_str().unwrap().to_owned();
        Some(browser)
    }

    pub(crate) async fn open(&self, address: &str) {
        self.in_session("POST", "/url", json!({ "url": address })).await;
    }

    pub(crate) async fn address(&self) -> String {
        self.in_session("GET", "/url", Value::Null).await.as_str().unwrap().to_owned()
    }

    /// Runs a script in the page, and returns its result.
    pub(crate) async fn script(&self, script: &str) -> Value {
        self.in_session("POST", "/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// Returns the text of the page as a person sees it.
    pub(crate) async fn text(&self) -> String {
        self.script("return document.body.innerText").await.as_str().unwrap().to_owned()
    }

    /// Waits until the page shows a text.
    pub(crate) async fn shows(&self, text: &str) {
        let mut page = String::new();
        let shown = timeout(PATIENCE, async {
            while !page.contains(text) {
                page = self.text().await;
            }
        });
        assert!(shown.await.is_ok(), "the page does not show {text:?}:\n{page}");
    }

    /// Presses keys, one after the other.
    pub(crate) async fn press(&self, keys: impl IntoIterator<Item = char>) {
        let strokes: Vec<_> = keys
            .into_iter()
            .flat_map(|key| [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })])
            .collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes });
        self.in_session("POST", "/actions", json!({ "actions": [keyboard] })).await;
    }

    /// Presses Tab until the element with the focus has this label or text. If `card` is given, the element must also
    /// be in the card with this heading.
    pub(crate) async fn tab_to(&self, name: &str, card: Option<&str>) {
        let mut passed = Vec::new();
        for _ in 0..300 {
            self.press([TAB]).await;
            let focus = self
                .script(
                    "const e = document.activeElement; const l = e.labels && e.labels[0];
                     const text = l ? l.firstChild.textContent : (e.getAttribute('aria-label') || e.textContent);
                     const c = e.closest('article'); const h = c && c.querySelector('h3');
                     return [text.trim(), h ? h.textContent.trim() : ''];",
                )
                .await;
            let (text, heading) = (focus[0].as_str().unwrap(), focus[1].as_str().unwrap());
            if text == name && card.is_none_or(|card| card == heading) {
                return;
            }
            passed.push(text.to_owned());
        }
        panic!("Tab does not reach {name:?} in {card:?}, only {passed:?}");
    }

    /// If the variable `TIKTOK_SHOP_TEST_PICTURES` names a folder, writes a picture of the whole page there.
    pub(crate) async fn picture(&self, name: &str) {
        let Some(folder) = variable("TIKTOK_SHOP_TEST_PICTURES") else { return };
        let command = json!({
            "cmd": "Page.captureScreenshot",
            "params": { "format": "png", "captureBeyondViewport": true },
        });
        let picture = self.in_session("POST", "/goog/cdp/execute", command).await;
        let bytes = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), bytes).unwrap();
    }

    /// Makes the browser tell the pages that the user prefers dark colours.
    pub(crate) async fn prefer_dark(&self) {
        let dark = json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
        let command = json!({ "cmd": "Emulation.setEmulatedMedia", "params": dark });
        self.in_session("POST", "/goog/cdp/execute", command).await;
    }

    async fn in_session(&self, method: &str, path: &str, body: Value) -> Value {
        self.command(method, &format!("/session/{}{path}", self.session), body).await
    }

    async fn command(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = timeout(PATIENCE, self.answer(method, path, body)).await;
        let value =
            answer.unwrap_or_else(|_| panic!("{method} {path}: the browser did not answer within {PATIENCE:?}"));
        assert!(value.get("error").is_none(), "{method} {path}: {value}");
        value
    }

    /// Sends a command, and returns the member `value` of the answer.
    async fn answer(&self, method: &str, path: &str, body: Value) -> Value {
        let stream = TcpStream::connect(self.driver).await.unwrap();
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header(header::HOST, self.driver.to_string());
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let answer = sender.send_request(request.body(body).unwrap()).await.unwrap();
        let bytes = to_bytes(Body::new(answer.into_body()), usize::MAX).await.unwrap();
        let mut answer: Value = serde_json::from_slice(&bytes).unwrap();
        answer["value"].take()
    }
}

/// Ends the session, also after a failed test. Otherwise Chromium would continue to run after chromedriver is killed.
impl Drop for Browser {
    fn drop(&mut self) {
        let Ok(mut stream) = BlockingStream::connect(self.driver) else { return };
        let request =
            format!("DELETE /session/{} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.session, self.driver);
        let _closed = stream.set_read_timeout(Some(PATIENCE));
        let _closed = stream.write_all(request.as_bytes());
        // The first byte of the answer comes when Chromium has ended.
        let _closed = stream.read(&mut [0]);
    }
}

fn variable(name: &str) -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "the environment says what this machine has, and whether it is CI")]
    env::var_os(name)
}

/// Searches the folders in `PATH` for a program, and returns its path.
fn program(name: &str) -> Option<PathBuf> {
    env::split_paths(&variable("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}
