//! A stage is the environment of one test: a fake TikTok Shop and a host. When a stage ends, it searches the output and
//! the database for leaked secrets, unless the test has already failed. The tests in this file show that this search
//! finds every kind of secret. They also show which secrets other crates print if the library's `LogFilter` is not
//! used.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex};

use fake_tiktok_shop::{Decision, Shop};
use tiktok_shop_host::log_filter::LogFilter;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_tests::{Sink, Stage, Watch};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tracing_subscriber::prelude::*;

const CUSTOMER: &str = "a-customer-of-this-test";
/// A state that only this file uses. The tests of this file write secrets to the output on purpose. If they used the
/// usual state, the stages of other tests in this process would find it.
const OWN_STATE: &str = "state-d2c41b7f90e8a6";
/// A cipher that only this file uses.
const OWN_CIPHER: &str = "ROW_cipher-of-3f8e1d5a7b";

fn shop(name: &str) -> Shop {
    Shop {
        id: "7490000000000000099".to_owned(),
        name: name.to_owned(),
        region: "GB".to_owned(),
        seller_type: "LOCAL".to_owned(),
        cipher: Some(OWN_CIPHER.to_owned()),
        code: "GBLCSPARE".to_owned(),
        extra: serde_json::Map::new(),
    }
}

/// Creates a stage, connects a customer and refreshes the connection. After that, the stage knows secrets of every
/// kind.
async fn stage() -> Stage {
    let stage = Stage::new();
    stage.fake.add_shop("one-shop", shop("Spare")).unwrap();
    let _callback = stage.callback_of(0, "one-shop", Some(OWN_STATE), Decision::Allow);
    stage.connect(CUSTOMER, "one-shop").await.unwrap();
    stage.refresh(CUSTOMER, RefreshMode::Forced).await.unwrap();
    stage
}

/// Returns one secret of each kind.
fn one_of_each(stage: &Stage) -> Vec<(&'static str, String)> {
    let app = stage.fake.apps().remove(0);
    let issued = stage.fake.issued(&app.service_id, "one-shop").unwrap();
    let sent = |name: &str| stage.fake.requests().iter().find_map(|r| r.parameter(name).map(str::to_owned)).unwrap();
    vec![
        ("access token", issued.access_tokens[0].token.clone()),
        ("app secret", app.app_secret.clone()),
        ("authorization code", sent("auth_code")),
        ("previous app secret", app.app_secret.chars().rev().collect()),
        ("refresh token", issued.refresh_tokens[1].token.clone()),
        ("shop cipher", OWN_CIPHER.to_owned()),
        ("signature", sent("sign")),
        ("state", OWN_STATE.to_owned()),
    ]
}

fn leaks(stage: &Stage, sink: Sink) -> BTreeSet<&'static str> {
    stage
        .watch
        .leaks(&stage.canaries())
        .into_iter()
        .filter(|(at, _)| *at == sink)
        .map(|(_, found)| found.kind)
        .collect()
}

#[tokio::test]
async fn the_search_finds_every_kind_of_secret_in_logs_and_panics() {
    let mut stage = stage().await;
    let kinds: BTreeSet<_> = one_of_each(&stage).into_iter().map(|(kind, _)| kind).collect();
    for (kind, secret) in one_of_each(&stage) {
        stage.watch = Watch::begin();
        tracing::trace!("before {secret} after");
        assert_eq!(leaks(&stage, Sink::Logs), [kind].into(), "an event");
        stage.watch = Watch::begin();
        tracing::trace_span!("span", secret).in_scope(|| ());
        assert_eq!(leaks(&stage, Sink::Logs), [kind].into(), "a field of a span");
        stage.watch = Watch::begin();
        log::trace!("before {secret} after");
        assert_eq!(leaks(&stage, Sink::Logs), [kind].into(), "a record of the crate log");
        stage.watch = Watch::begin();
        catch_unwind(|| panic!("planted: {secret}")).unwrap_err();
        assert_eq!(leaks(&stage, Sink::Panics), [kind].into(), "a panic");
    }
    assert_eq!(kinds.len(), 8);
    stage.watch = Watch::begin();
}

#[tokio::test]
async fn the_search_finds_a_secret_in_a_row_and_in_an_answer() {
    let mut stage = stage().await;
    let (_, token) = one_of_each(&stage).swap_remove(0);
    let named = shop(&token);
    stage.fake.remove_shop("one-shop", &named.id).unwrap();
    stage.fake.add_shop("one-shop", named).unwrap();
    assert_eq!((leaks(&stage, Sink::Rows), leaks(&stage, Sink::Logs)), (BTreeSet::new(), BTreeSet::new()));
    stage.refresh(CUSTOMER, RefreshMode::Forced).await.unwrap();
    assert_eq!(leaks(&stage, Sink::Rows), ["access token"].into());
    assert_eq!(leaks(&stage, Sink::Logs), ["access token"].into());
    let in_database: BTreeSet<_> = stage.leaks_in_database().iter().map(ToString::to_string).collect();
    let expected =
        if stage.has_database() { BTreeSet::from(["access token (raw)".to_owned()]) } else { BTreeSet::new() };
    assert_eq!(in_database, expected, "a shop's name is stored unsealed");
    stage.watch = Watch::begin();
    stage.release_database();
}

#[tokio::test]
async fn the_searched_output_contains_calls_answers_and_rows() {
    let stage = stage().await;
    let text = |sink| String::from_utf8(stage.watch.written(sink)).unwrap();
    let call = |operation| format!("call{{operation=\"{operation}\" tenant=\"tenant-0\" customer=\"{CUSTOMER}\"}}");
    let logs = text(Sink::Logs);
    for expected in [
        format!("INFO {}: tiktok_shop_host::guest::call_log: call ended outcome=\"done\"", call("connect")),
        format!("INFO {}: tiktok_shop_host::guest::call_log: call ended outcome=\"done\"", call("refresh")),
        format!("TRACE {}: tiktok_shop_host::guest::call_log: answer answer=Ok((Connection {{", call("refresh")),
        "cipher: Some([redacted])".to_owned(),
        "DEBUG".to_owned(),
    ] {
        assert!(logs.contains(&expected), "{expected}");
    }
    assert!(text(Sink::Rows).contains("TokenWrite { value: ["));
    assert!(text(Sink::Rows).contains("seller_name: \"Teapot Corner\""));
}

#[tokio::test]
async fn the_search_finds_a_secret_at_the_wrong_place_of_a_request() {
    let mut stage = stage().await;
    let kinds = one_of_each(&stage);
    let of = |kind: &str| kinds.iter().find(|(k, _)| *k == kind).unwrap().1.clone();
    let other = stage.fake.apps().remove(1);
    let key = &stage.fake.apps()[0].app_key;
    let (auth, api) = ("auth.tiktok-shops.com", "open-api.tiktokglobalshop.com");
    let (token, secret) = (of("access token"), of("app secret"));
    let table = [
        (api, format!("/x?app_key={key}&access_token={token}"), "", "access token (raw) elsewhere in a request"),
        (auth, format!("/x?app_key={key}"), &*token, "access token (raw) elsewhere in a request"),
        (api, format!("/x?app_key={key}&app_secret={secret}"), "", "app secret (raw) elsewhere in a request"),
        (
            api,
            format!("/x?app_key={key}"),
            &*secret,
            "app secret in x-tts-access-token of open-api.tiktokglobalshop.com/x",
        ),
        (
            api,
            format!("/x?app_key={}", other.app_key),
            &*token,
            "access token in x-tts-access-token of open-api.tiktokglobalshop.com/x",
        ),
        (
            auth,
            format!("/api/v2/token/get?app_key={key}&hex={}", hex(&secret)),
            "",
            "app secret (hex) elsewhere in a request",
        ),
    ];
    for (host, target, header, expected) in table {
        get(&stage, host, &target, header).await;
        assert_eq!(stage.misplaced_secrets(), [expected.to_owned()].into());
        stage.fake.clear_requests();
    }
    stage.watch = Watch::begin();
}

/// Sends a request to the fake and returns the fake's answer with head and body.
async fn get(stage: &Stage, host: &str, target: &str, token: &str) -> Vec<u8> {
    let mut connection = TcpStream::connect(stage.fake.address()).await.unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nx-tts-access-token: {token}\r\nconnection: close");
    connection.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_fakes_list_of_requests_masks_secrets() {
    let stage = stage().await;
    let answer = get(&stage, &stage.fake.address().to_string(), "/_control/requests", "").await;
    assert!(answer.starts_with(b"HTTP/1.1 200 OK") && answer.windows(8).any(|part| part == b"[masked]"));
    assert_eq!(stage.canaries().found_in(&answer), BTreeSet::new());
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// The log output that a test collects with a subscriber of its own.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The test and all its tasks run on one thread. The test sets two subscribers on this thread, first one without the
/// filter, then one with the filter.
#[tokio::test]
async fn other_crates_print_secrets_and_the_filter_removes_them() {
    let stage = Stage::new();
    let lines = Lines::default();
    let writer = lines.clone();
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
    let unfiltered = tracing_subscriber::registry().with(layer);
    {
        let _subscribed = tracing::subscriber::set_default(unfiltered);
        stage.connect("without", "one-shop").await.unwrap();
        stage.refresh("without", RefreshMode::Forced).await.unwrap();
    }
    let found = stage.canaries().found_in(&lines.take());
    let kinds: BTreeSet<_> = found.iter().map(|found| found.kind).collect();
    assert_eq!(kinds, ["app secret", "authorization code", "refresh token", "signature"].into());

    let writer = lines.clone();
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
    let filtered = tracing_subscriber::registry().with(layer.with_filter(LogFilter));
    {
        let _subscribed = tracing::subscriber::set_default(filtered);
        stage.connect("with", "one-shop").await.unwrap();
        stage.refresh("with", RefreshMode::Forced).await.unwrap();
    }
    let written = lines.take();
    assert!(
        String::from_utf8_lossy(&written).contains("customer=\"with\""),
        "the filter passes the library's own lines"
    );
    assert_eq!(stage.canaries().found_in(&written), BTreeSet::new());
}
