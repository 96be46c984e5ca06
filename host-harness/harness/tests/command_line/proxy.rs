//! Tests the setting that names a forward proxy: where the program reads the setting, that no error repeats the proxy's
//! password, and what the program reports about a proxy that does not run or refuses. The library's own tests send
//! requests through proxies that work.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::TryRecvError;

use serde_json::{Value, json};

use crate::stage::{Stage, at_home};
use crate::{PROGRAM, Run, command, run};

const PASSWORD: &str = "CANARY-of-the-proxy";
/// The value of the header `proxy-authorization` for the user `connector` with [`PASSWORD`]. It was computed with
/// Python's base64.
const BASIC: &str = "Basic Y29ubmVjdG9yOkNBTkFSWS1vZi10aGUtcHJveHk=";

/// A customer who has consented, and the callback that `connect` has not used yet. There is no fake: the program sends
/// its requests to TikTok Shop, through the proxy that the test names.
struct Waiting {
    home: tempfile::TempDir,
    callback: String,
}

impl Waiting {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut waiting = Self { home, callback: String::new() };
        let link = run(waiting.command("authorization-url customer-7"), "").stdout;
        let state = link.trim().split_once("&state=").unwrap().1.to_owned();
        waiting.callback = format!("https://platform.example/callback?code=CODE-CANARY&state={state}");
        waiting
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = command(PROGRAM);
        command.args(arguments.split_whitespace());
        at_home(&mut command, self.home.path());
        command
            .env("TIKTOK_SHOP_COMPONENT", xtask::component().unwrap())
            .env("TIKTOK_SHOP_APP_KEY", "6a1b2c3d4e5f6")
            .env("TIKTOK_SHOP_APP_SECRET", "APP-CANARY")
            .env("TIKTOK_SHOP_AUTHORIZATION_LINK", "https://services.tiktokshop.com/open/authorize?service_id=7");
        command
    }

    /// Runs `connect` with this proxy. The command must fail. Returns its exit status, its error and its log.
    fn connect(&self, proxy: &str) -> (Option<i32>, Value, String) {
        let mut command = self.command("connect --json --verbose");
        command.env("TIKTOK_SHOP_PROXY", proxy);
        let Run { status, stdout, stderr } = run(command, &self.callback);
        for text in [&stdout, &stderr] {
            for secret in [PASSWORD, BASIC, "CODE-CANARY", "APP-CANARY"] {
                assert!(!text.contains(secret), "{text}");
            }
        }
        let error: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}{stderr}"));
        (status, error["error"].clone(), stderr)
    }
}

/// Starts a proxy that gives this answer to each request. Returns the address of the proxy, and a channel that receives
/// the head of each request.
fn proxy(answer: &'static str) -> (SocketAddr, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, heads) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                head.extend(byte);
            }
            // Errors are ignored, because the test may have ended, or the program may have closed the connection.
            let _ = sender.send(String::from_utf8_lossy(&head).into_owned());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, heads)
}

#[test]
fn an_error_names_the_proxy_and_what_to_do_and_the_callback_still_works() {
    let waiting = Waiting::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (wants, _wants) = proxy("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    let (forbids, heads) = proxy("HTTP/1.1 403 Forbidden\r\n\r\n");
    let (cut_off, _cut_off) = proxy("HTTP/1.1 502 Bad Gateway\r\n\r\n");
    let (no_proxy, _no_proxy) = proxy("SSH-2.0-OpenSSH_9.2\r\n");
    let (broken, _broken) = proxy("HTTP/1.1 200 OK\r\n\r\n");
    let allow = "allow CONNECT there to auth.tiktok-shops.com:443 and open-api.tiktokglobalshop.com:443";
    for (address, credentials, expected) in [
        (closed, "", "refuses connections; start it, or correct its address".to_owned()),
        (wants, "", "asks for credentials (HTTP 407); configure a user and a password for it".to_owned()),
        (
            wants,
            "connector:CANARY-of-the-proxy@",
            "does not accept the configured user and password (HTTP 407); correct them".to_owned(),
        ),
        (forbids, "connector:CANARY-of-the-proxy@", format!("forbids the connection (HTTP 403); {allow}")),
        (
            cut_off,
            "",
            "could not connect to TikTok Shop (HTTP 502); check the proxy's name resolution and its way out".to_owned(),
        ),
        (
            no_proxy,
            "",
            "does not speak HTTP; correct its address, which must be the address of an HTTP proxy".to_owned(),
        ),
        (broken, "", "opened a tunnel in which TikTok Shop does not answer; check the proxy's way out".to_owned()),
    ] {
        // All these calls use the same callback, which works because a failed call does not spend the callback's state.
        let (status, error, log) = waiting.connect(&format!("http://{credentials}{address}"));
        let detail = format!("Nothing was sent to TikTok Shop: the proxy http://{address} {expected}.");
        assert_eq!(error["detail"], detail, "{log}");
        let found = (status, &error["case"], &error["code"], &error["retry_after_ms"]);
        assert_eq!(found, (Some(10), &json!("retry-after"), &json!("tiktok-unreachable"), &json!(5000)));
        assert!(log.contains(&format!("http://{address}")), "{log}");
    }
    let head = heads.recv().unwrap();
    assert!(head.starts_with("CONNECT auth.tiktok-shops.com:443 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(BASIC), "{head}");

    let mut command = waiting.command("connect");
    command.env("TIKTOK_SHOP_PROXY", format!("http://{closed}"));
    let Run { stderr, .. } = run(command, &waiting.callback);
    let expected = format!(
        "error: retry-after: tiktok-unreachable: Nothing was sent to TikTok Shop: the proxy http://{closed} refuses \
         connections; start it, or correct its address. Next: run the same command again, but not within the next \
         5.0 s; docs/errors.md explains tiktok-unreachable\n"
    );
    assert_eq!(stderr, expected);
}

#[test]
fn a_variable_wins_over_the_file_and_the_usual_variables_count_for_nothing() {
    let waiting = Waiting::new();
    let (of_file, heads_of_file) = proxy("HTTP/1.1 502 Bad Gateway\r\n\r\n");
    let (of_variable, heads_of_variable) = proxy("HTTP/1.1 502 Bad Gateway\r\n\r\n");
    let config = waiting.home.path().join("config.toml");
    fs::write(&config, format!("[egress]\nproxy = \"http://connector:{PASSWORD}@{of_file}\"\n")).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = waiting.command("connect --config config.toml");
    command.env("HTTPS_PROXY", format!("http://{of_variable}")).env("https_proxy", format!("http://{of_variable}"));
    let Run { status, stderr, .. } = run(command, &waiting.callback);
    assert!(stderr.contains(&format!("the proxy http://{of_file} ")) && !stderr.contains(PASSWORD), "{stderr}");
    assert_eq!(status, Some(10));
    assert!(heads_of_file.recv().unwrap().contains(BASIC));

    let mut command = waiting.command("connect --config config.toml");
    command.env("TIKTOK_SHOP_PROXY", format!("http://{of_variable}"));
    let Run { stderr, .. } = run(command, &waiting.callback);
    assert!(stderr.contains(&format!("the proxy http://{of_variable} ")), "{stderr}");
    let head = heads_of_variable.recv().unwrap();
    assert!(!head.contains("proxy-authorization"), "{head}");
}

#[test]
fn a_proxy_that_can_t_be_configured_is_an_error_and_its_password_is_not_repeated() {
    let waiting = Waiting::new();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = waiting.home.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let no_pem = file("no.pem", "CANARY-of-the-proxy").display().to_string();
    let missing = waiting.home.path().join("missing.pem").display().to_string();
    let not_pem =
        "no certificate authority in PEM for the proxy; the text has lines -----BEGIN CERTIFICATE-----".to_owned();
    let https = format!("https://connector:{PASSWORD}@proxy:3128");
    for (proxy, certificates, status, expected) in [
        (
            format!("proxy:{PASSWORD}@"),
            None,
            2,
            "TIKTOK_SHOP_PROXY: not the address of a proxy; write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT"
                .to_owned(),
        ),
        (
            format!("socks5://connector:{PASSWORD}@proxy:1080"),
            None,
            2,
            "TIKTOK_SHOP_PROXY: the address of a proxy begins with http:// or https://; SOCKS proxies can't be used"
                .to_owned(),
        ),
        (
            format!("http://connector:{PASSWORD}@proxy"),
            None,
            2,
            "TIKTOK_SHOP_PROXY: the address of the proxy has no port; name it, as in http://HOST:3128".to_owned(),
        ),
        (
            format!("http://connector:{PASSWORD}%@proxy:1"),
            None,
            2,
            "TIKTOK_SHOP_PROXY: the credentials of the proxy are not percent-encoded; write % as %25 and @ as %40"
                .to_owned(),
        ),
        (https.clone(), Some(&no_pem), 3, format!("certificates of the proxy: {no_pem}: {not_pem}")),
        (https, Some(&missing), 3, format!("certificates of the proxy: {missing}: there is no such file")),
        (
            format!("http://connector:{PASSWORD}@proxy:1"),
            Some(&no_pem),
            2,
            format!(
                "certificates of the proxy: {no_pem}: certificate authorities of a proxy need an address that begins \
                 with https://"
            ),
        ),
        (
            String::new(),
            Some(&no_pem),
            2,
            "TIKTOK_SHOP_PROXY_CERTIFICATES: there is no proxy that these certificate authorities could belong to; set \
             TIKTOK_SHOP_PROXY, or unset this variable"
                .to_owned(),
        ),
    ] {
        let mut command = waiting.command("refresh customer-7");
        if !proxy.is_empty() {
            command.env("TIKTOK_SHOP_PROXY", &proxy);
        }
        command.envs(certificates.map(|path| ("TIKTOK_SHOP_PROXY_CERTIFICATES", path)));
        let Run { status: ended, stdout, stderr } = run(command, "");
        assert_eq!((ended, &*stdout, stderr), (Some(status), "", format!("error: {expected}\n")));
    }
}

#[test]
fn the_authorities_of_the_proxy_are_read_up_to_a_limit_and_only_by_a_command_that_sends_requests() {
    let waiting = Waiting::new();
    let long = waiting.home.path().join("long.pem");
    fs::write(&long, " ".repeat((1 << 20) + 1)).unwrap();
    let long = long.display().to_string();
    for (certificates, what) in [(&*long, "longer than 1048576 bytes"), ("/dev/zero", "not a regular file")] {
        let with = |arguments: &str| {
            let mut command = waiting.command(arguments);
            command.env("TIKTOK_SHOP_PROXY", "https://proxy:3128").env("TIKTOK_SHOP_PROXY_CERTIFICATES", certificates);
            run(command, "")
        };
        let Run { status, stderr, .. } = with("refresh customer-7");
        let expected = format!("error: certificates of the proxy: {certificates}: {what}\n");
        assert_eq!((status, stderr), (Some(3), expected));
        let nobody = "note: customer-7 is not connected; begin a consent with authorization-url\n";
        for (command, expected) in [("list-connections customer-7", nobody), ("events", ""), ("keys status", "")] {
            let Run { status, stderr, .. } = with(command);
            assert_eq!((status, &*stderr), (Some(0), expected), "{command}");
        }
    }
}

#[test]
fn a_fake_is_reached_without_the_proxy() {
    let stage = Stage::new();
    let (address, heads) = proxy("HTTP/1.1 502 Bad Gateway\r\n\r\n");
    stage.connect("customer-7", "one-shop");
    let mut command = stage.command("refresh customer-7 --force");
    command.env("TIKTOK_SHOP_PROXY", format!("http://{address}"));
    // Even the file of certificate authorities is not read.
    command.env("TIKTOK_SHOP_PROXY_CERTIFICATES", "/no/such/file");
    let Run { status, stderr, .. } = stage.run(command, "");
    assert_eq!((status, &*stderr), (Some(0), ""));
    assert_eq!(heads.try_recv(), Err(TryRecvError::Empty));
}
