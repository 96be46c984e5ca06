//! Tests the commands of the service: `serve`, `check-config` and `api-keys`. README.md shows the steps that
//! `serve --with-fake` prints, and these steps are run in a shell as they are printed.
#![cfg(unix)]

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tiktok_shop_host::events::EventKind;

use crate::gate::send;
use crate::stage::{Stage, at_home};
use crate::{PROGRAM, Run, command, run};

const README: &str = include_str!("../../../../README.md");
const GUIDE: &str = include_str!("../../../../docs/service.md");
const STEPS: &str = include_str!("../../src/command/serve/steps.sh");

/// A service with a fake, in its own process.
struct Service {
    child: Child,
    /// The lines for the shell that the program has printed.
    steps: String,
    home: TempDir,
}

impl Service {
    /// Starts a service on a free port, and waits until it has printed its steps.
    fn start() -> Self {
        Self::start_with("")
    }

    /// Starts a service with this text in its configuration file.
    fn start_with(config: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("service.toml");
        fs::write(&file, config).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let mut program = command(PROGRAM);
        program.args(["serve", "--with-fake", "--listen", "127.0.0.1:0"]);
        at_home(&mut program, home.path());
        program.env("TIKTOK_SHOP_CONFIG", &file);
        program.env("TIKTOK_SHOP_COMPONENT", xtask::component().unwrap());
        // The log is discarded, because nobody reads it, and a full pipe would stop the service.
        let mut child = program.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut steps = String::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if line.starts_with("SERVICE=") || !steps.is_empty() {
                steps += &format!("{line}\n");
            }
            if steps.ends_with(STEPS) {
                return Self { child, steps, home };
            }
        }
        let _already_ended = child.kill();
        let status = child.wait();
        panic!("the program has ended with {status:?}: {steps}");
    }

    /// Returns the value of a line such as `SERVICE=…`.
    fn value(&self, name: &str) -> &str {
        self.steps.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap()
    }

    /// Gets this path, and returns the answer.
    fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\n"), "")
    }

    /// Sends a request that begins with these lines of its head, and returns the answer.
    fn ask(&self, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.value("SERVICE").strip_prefix("http://").unwrap()).unwrap();
        let request = format!("{head}host: a\r\nconnection: close\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Ends the service with SIGTERM, and returns its exit status.
    fn end(mut self) -> Option<i32> {
        send("TERM", &self.child);
        self.child.wait().unwrap().code()
    }
}

impl Drop for Service {
    /// Ends the process also after a failed assertion.
    fn drop(&mut self) {
        let _already_ended = self.child.kill();
        let _status = self.child.wait();
    }
}

#[test]
fn the_steps_of_readme_connect_use_refresh_and_end_a_connection() {
    let block = format!("```sh\n{STEPS}```\n");
    assert!(README.contains(&block), "README.md must show src/command/serve/steps.sh");
    assert!(GUIDE.contains(&block), "docs/service.md must show src/command/serve/steps.sh");
    let curl = command("curl").arg("--version").output();
    if curl.is_err() {
        #[expect(clippy::disallowed_methods, reason = "the environment says whether it is CI")]
        let is_ci = std::env::var("CI").as_deref() == Ok("true");
        assert!(!is_ci, "CI must try everything, but curl is missing");
        println!("the steps of README.md were not tried: curl is missing");
        return;
    }
    let service = Service::start();
    let mut shell = command("bash");
    at_home(&mut shell, service.home.path());
    shell.args(["-euo", "pipefail", "-c", &service.steps]);
    let Run { status, stdout, stderr } = run(shell, "");
    assert_eq!((status, &*stderr), (Some(0), ""), "{stdout}");
    for expected in [
        "\"address\":\"http://127.0.0.1:",
        "/open/authorize?service_id=7480000000000000001&state=",
        "<h1>Connected</h1>",
        "/healthz?outcome=connected&amp;session=cs_",
        "\"shops\":[{\"id\":\"7490000000000000001\"",
        "{\"code\":0,",
        "\"effect\":\"renewed\"",
        "\"found\":[{\"customer\":\"customer-7\"",
        "\"event\":\"disconnected\"",
    ] {
        assert!(stdout.contains(expected), "{expected}\n{stdout}");
    }
    assert_eq!(stdout.matches("<h1>Connected</h1>").count(), 2, "{stdout}");
    let mut lines = stdout.lines().rev();
    let received: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    let types: Vec<_> = received.as_array().unwrap().iter().map(|body| body["type"].clone()).collect();
    let (connected, linked) = ("connection.connected", "connection.shops_linked");
    assert_eq!(types, [connected, linked, "connection.disconnected", connected, linked]);
    let events: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    let kinds: Vec<_> = events["events"].as_array().unwrap().iter().map(|event| event["event"].clone()).collect();
    assert_eq!(kinds, ["connected", "shops-linked", "disconnected", "connected", "shops-linked"]);
    assert_eq!(service.end(), Some(0));
}

#[test]
fn a_service_answers_until_a_signal_ends_it() {
    for signal in ["INT", "TERM", "HUP"] {
        let mut service = Service::start();
        let answer = service.get("/readyz");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        send(signal, &service.child);
        assert_eq!(service.child.wait().unwrap().code(), Some(0), "{signal}");
    }
}

#[test]
fn a_service_runs_as_many_calls_at_the_same_time_as_its_settings_say() {
    for (config, calls) in [("", 100), ("[serve]\nconcurrent-calls = 7\ntenant-percent = 50\n", 7)] {
        let service = Service::start_with(config);
        let metrics = service.get("/metrics");
        let expected = format!("tiktok_shop_instances_max{{lane=\"calls\"}} {calls}\n");
        assert!(metrics.contains(&expected), "{metrics}");
        assert_eq!(service.end(), Some(0));
    }
}

/// The fake leads browsers back to the address of the listener, so no consent could end at another address.
#[test]
fn a_service_with_a_fake_does_not_use_the_public_address_of_the_configuration() {
    let service = Service::start_with("[serve]\npublic-address = \"https://connect.example\"\n");
    let own = service.value("SERVICE");
    assert!(own.starts_with("http://127.0.0.1:"), "{own}");
    let head = format!(
        "POST /v1/customers/customer-7/connect-sessions HTTP/1.1\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 2\r\n",
        service.value("KEY")
    );
    let begun = service.ask(&head, "{}");
    assert!(begun.contains(&format!("\"address\":\"{own}/connect/")), "{begun}");
}

#[test]
fn check_config_names_the_first_mistake_and_serve_refuses_the_same() {
    let stage = Stage::new();
    stage.ok("keys init", "");
    stage.ok("migrate", "");
    let config = stage.home().join("service.toml");
    let digest = "0a".repeat(32);
    let key = |name: &str| {
        format!("[[api-keys]]\nname = \"{name}\"\ntenant = \"default\"\nscopes = [\"read\"]\nsha256 = \"{digest}\"\n")
    };
    let endpoint = |name: &str| {
        format!(
            "[[serve.webhooks]]\ntenant = \"default\"\nname = \"{name}\"\naddress = \"https://app.example/hooks\"\n\
             secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n"
        )
    };
    let write = |text: &str| {
        fs::write(&config, text).unwrap();
        fs::set_permissions(&config, Permissions::from_mode(0o600)).unwrap();
    };
    let place = config.display();
    for (text, error) in [
        (
            "[serve]\nlisten = \"CANARY\"\n".to_owned(),
            format!("configuration {place}: serve.listen: not an address with a port, such as 127.0.0.1:4020"),
        ),
        (
            "[serve]\nlisten = \"0.0.0.0:4020\"\n".to_owned(),
            "the service listens on 0.0.0.0:4020, which is not loopback, and nothing says by which address browsers \
             reach it; set --public-address or serve.public-address to its https address"
                .to_owned(),
        ),
        (
            key("one").replace("read", "CANARY"),
            format!("configuration {place}: api-keys[0].scopes[0]: not one of: connect, read, call, token, admin"),
        ),
        (
            format!("{}{}", key("one"), key("two")),
            format!(
                "configuration {place}: api-keys: the API keys one and two have the same digest; remove one of them"
            ),
        ),
        (
            format!("{}{}", key("one"), key("one").replace("0a", "0b")),
            format!(
                "configuration {place}: api-keys[1].name: the tenant default has an earlier API key with the name one; \
                 choose another name, because events name the key by it"
            ),
        ),
        (
            endpoint("main").replace("https", "http"),
            format!(
                "configuration {place}: serve.webhooks[0].address: not an address such as https://app.example/webhooks: it \
                 has the scheme https, or http on loopback, no user, no fragment and no dot segment"
            ),
        ),
        (
            format!("{}{}", endpoint("main"), endpoint("main")),
            format!(
                "configuration {place}: serve.webhooks: the tenant default has two endpoints with the name main; rename \
                 one of them"
            ),
        ),
        (
            format!("{}types = [\"connection\", \"tenant.CANARY\"]\n", endpoint("main")),
            format!(
                "configuration {place}: serve.webhooks[0].types[1]: not one of the types of the group tenant: \
                 tenant.host_key_added, tenant.host_key_promoted, tenant.keys_rotated, tenant.host_key_retired, \
                 tenant.tenant_erased"
            ),
        ),
        (
            format!("{}types = [\"tiktok.CANARY\"]\n", endpoint("main")),
            format!(
                "configuration {place}: serve.webhooks[0].types[0]: not tiktok.N, where N is TikTok Shop's number \
                 of a type without leading zeros, such as tiktok.1"
            ),
        ),
        (
            "[serve]\nwebhook-ca-file = \"missing.pem\"\n".to_owned(),
            format!(
                "configuration {place}: serve.webhook-ca-file: {}: there is no such file; correct the file or its path",
                stage.home().join("missing.pem").display()
            ),
        ),
    ] {
        write(&text);
        for name in ["check-config", "serve"] {
            let refused = stage.error(stage.command(&format!("{name} --config {place}")), "");
            assert_eq!(refused, (Some(2), error.clone()), "{name}");
        }
    }
    write(&key("one"));
    let printed = stage.ok(&format!("check-config --config {place}"), "");
    let end = "; API keys: 1; webhook endpoints: 0\n";
    assert!(printed.starts_with("the settings can be used\n") && printed.ends_with(end), "{printed}");
    let listening = "serve --listen 0.0.0.0:0";
    let (status, line) = stage.error(stage.command(&format!("{listening} --config {place}")), "");
    assert_eq!(status, Some(2));
    assert!(line.contains("which is not loopback") && line.contains("--public-address"), "{line}");
    let (status, line) = stage.error(stage.command("serve --with-fake"), "");
    assert_eq!(status, Some(2));
    assert!(line.starts_with("--with-fake starts a fake of its own"), "{line}");
}

#[test]
fn check_config_names_each_app_with_a_wrong_authorization_link() {
    let stage = Stage::new();
    stage.ok("keys init", "");
    stage.ok("migrate", "");
    let (config, app) = (stage.home().join("service.toml"), stage.app());
    let check = |link: &str| {
        let (key, secret) = (&app.app_key, &app.app_secret);
        let of_app = format!("app-key = \"{key}\"\napp-secret = \"{secret}\"\nauthorization-link = \"{link}\"\n");
        fs::write(&config, format!("[tenants.harbour]\n{of_app}")).unwrap();
        fs::set_permissions(&config, Permissions::from_mode(0o600)).unwrap();
        let Run { status, stderr, .. } = run(stage.command(&format!("check-config --config {}", config.display())), "");
        assert_eq!(status, Some(0), "{stderr}");
        stderr
    };
    let note = format!(
        "note: tenant harbour: the authorization link of the app {} is not valid, so this app can begin no consent: it \
         must begin with https:// (of a fake also http://), name a host, consist of at most 2048 visible ASCII \
         characters, and have no `#` and no parameter `state`; copy it from Partner Center into the app's setting \
         authorization-link\n",
        app.app_key
    );
    let without = check(&app.authorization_link());
    assert_eq!(check("https://services.tiktokshop.com/open/authorize?state=1"), note + &without);
}

#[test]
fn check_config_names_each_install_address_of_an_app_that_no_tenant_has() {
    let stage = Stage::new();
    stage.ok("keys init", "");
    stage.ok("migrate", "");
    let config = stage.home().join("service.toml");
    let check = |app: &str| {
        let addresses = format!("[serve]\ninstall-addresses = {{ {app} = \"https://app.example/install\" }}\n");
        fs::write(&config, addresses).unwrap();
        fs::set_permissions(&config, Permissions::from_mode(0o600)).unwrap();
        let Run { status, stderr, .. } = run(stage.command(&format!("check-config --config {}", config.display())), "");
        assert_eq!(status, Some(0), "{stderr}");
        stderr
    };
    let note = "note: serve.install-addresses.6unknown: no tenant has an app with this key, so no seller is led to this \
                address; correct the key, or put the app into a tenant of the configuration file\n";
    let without = check(&stage.app().app_key);
    assert!(!without.contains("install-addresses"), "{without}");
    let with = check("6unknown");
    assert!(with.contains(note), "{with}");
    assert_eq!(with.replace(note, ""), without);
}

#[test]
fn check_config_names_each_endpoint_whose_tenant_has_no_app() {
    let stage = Stage::new();
    stage.ok("keys init", "");
    stage.ok("migrate", "");
    let config = stage.home().join("service.toml");
    let check = |tenant: &str| {
        let endpoint = format!(
            "[[serve.webhooks]]\ntenant = \"{tenant}\"\nname = \"main\"\naddress = \"https://app.example/hooks\"\n\
             secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n"
        );
        fs::write(&config, endpoint).unwrap();
        fs::set_permissions(&config, Permissions::from_mode(0o600)).unwrap();
        let Run { status, stderr, .. } = run(stage.command(&format!("check-config --config {}", config.display())), "");
        assert_eq!(status, Some(0), "{stderr}");
        stderr
    };
    let note = "note: webhook endpoint main: the tenant harbour has no app, so its customers cause no events; correct \
                the tenant of the endpoint, or put the app into tenants.harbour of the configuration file\n";
    let (with_app, without_app) = (check("default"), check("harbour"));
    assert!(!with_app.contains("webhook endpoint"), "{with_app}");
    assert_eq!(without_app, with_app + note);
}

#[test]
fn the_guide_lists_every_type_of_lifecycle_event() {
    for (group, names) in [("connection", EventKind::CONNECTION_NAMES), ("tenant", EventKind::TENANT_NAMES)] {
        for name in names {
            let row = format!("\n| `{group}.{}` |", name.replace('-', "_"));
            assert!(GUIDE.contains(&row), "docs/service.md must explain {group}: {name}");
        }
    }
}

#[test]
fn a_new_api_key_fits_into_the_configuration_file() {
    let stage = Stage::new();
    let create = "api-keys create --name billing --tenant default --scopes call,read,read";
    let Run { status, stdout, stderr } = run(stage.command(create), "");
    assert_eq!((status, &*stderr), (Some(0), ""));
    let (key, lines) = stdout.split_once("\n\n").unwrap();
    assert!(key.starts_with("ttsk_") && key.len() == 77, "{key}");
    assert!(
        lines.starts_with("[[api-keys]]\nname = \"billing\"\ntenant = \"default\"\nscopes = [\"read\", \"call\"]\n")
    );
    let config = stage.home().join("service.toml");
    fs::write(&config, lines).unwrap();
    fs::set_permissions(&config, Permissions::from_mode(0o600)).unwrap();
    stage.ok("keys init", "");
    stage.ok("migrate", "");
    let printed = stage.ok(&format!("check-config --config {}", config.display()), "");
    assert!(printed.ends_with("; API keys: 1; webhook endpoints: 0\n"), "{printed}");
    let again = run(stage.command(create), "").stdout;
    assert_ne!(again, stdout, "every key is new");
}

#[test]
fn a_new_webhook_secret_fits_into_the_configuration_file() {
    let stage = Stage::new();
    let create = "webhook-secret --name main --address https://app.example/webhooks?a=b";
    let Run { status, stdout, stderr } = run(stage.command(create), "");
    assert_eq!((status, &*stderr), (Some(0), ""));
    let (secret, lines) = stdout.split_once("\n\n").unwrap();
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
    let expected =
        "[[serve.webhooks]]\ntenant = \"default\"\nname = \"main\"\naddress = \"https://app.example/webhooks?a=b\"\n";
    assert_eq!(lines, format!("{expected}secret = \"{secret}\"\n"));
    let config = stage.home().join("service.toml");
    fs::write(&config, lines).unwrap();
    fs::set_permissions(&config, Permissions::from_mode(0o600)).unwrap();
    stage.ok("keys init", "");
    stage.ok("migrate", "");
    let printed = stage.ok(&format!("check-config --config {}", config.display()), "");
    assert!(printed.ends_with("; API keys: 0; webhook endpoints: 1\n"), "{printed}");
    assert_ne!(run(stage.command(create), "").stdout, stdout, "every secret is new");
}
