//! Tests host keys in a key service: a real OpenBao server.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use fake_tiktok_shop::App;
use serde_json::{Value, json};
use tiktok_shop_test_key_service::Server;

use crate::gate::{Gate, REFRESH};
use crate::keys::ids;
use crate::stage::Stage;
use crate::{Run, lines};

const RULES: &str = r#"
    path "transit/keys/tiktok-shop-fake.*" { capabilities = ["read", "update"] }
    path "transit/encrypt/tiktok-shop-fake.*" { capabilities = ["update"] }
    path "transit/decrypt/tiktok-shop-fake.*" { capabilities = ["update"] }
"#;
const ERASE: &str = r#"path "transit/keys/tiktok-shop-fake.*" { capabilities = ["read", "update", "delete"] }"#;

/// A stage whose commands use host keys in a key service.
struct Service {
    server: Server,
    token: String,
    stage: Stage,
}

impl Service {
    fn start() -> Option<Self> {
        let server = Server::start()?;
        server.write_policy("connector", RULES);
        server.write_policy("erase", ERASE);
        let token = server.create_token(&json!({ "policies": ["connector"], "period": "1h" }));
        let (service, stage) = (format!("address = '{}'\nauth = 'token'", server.address()), Stage::new());
        let this = Self { server, token, stage };
        this.configure(&format!("[key-service]\n{service}\n"));
        Some(this)
    }

    /// Writes the configuration file: `text`, and the fake's app for each of two tenants.
    fn configure(&self, text: &str) {
        let path = self.stage.home().join("config.toml");
        let App { app_key, app_secret, service_id, .. } = self.stage.app();
        let app = |tenant| {
            format!(
                "[tenants.{tenant}]\napp-key = '{app_key}'\napp-secret = '{app_secret}'\n\
                 authorization-link = 'https://services.tiktokshop.com/open/authorize?service_id={service_id}'\n"
            )
        };
        fs::write(&path, format!("{text}{}{}", app("acme"), app("other"))).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }

    fn furnish(&self, command: &mut Command, token: &str) {
        command.env("TIKTOK_SHOP_CONFIG", self.stage.home().join("config.toml"));
        command.env("TIKTOK_SHOP_KEY_SERVICE_TOKEN", token);
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = self.stage.command(arguments);
        self.furnish(&mut command, &self.token);
        command
    }

    fn run(&self, arguments: &str, input: &str) -> Run {
        let run = self.stage.run(self.command(arguments), input);
        assert!(!format!("{}{}", run.stdout, run.stderr).contains(&self.token), "{arguments}");
        run
    }

    #[track_caller]
    fn ok(&self, arguments: &str, input: &str) -> String {
        let Run { status, stdout, stderr } = self.run(arguments, input);
        assert_eq!(status, Some(0), "{arguments}: {stdout}{stderr}");
        stdout
    }

    fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(self.ok(&format!("{arguments} --json"), "").lines().next().unwrap()).unwrap()
    }

    /// Runs a command that must fail. Returns its exit status and its error line.
    fn error(&self, arguments: &str) -> (Option<i32>, String) {
        self.stage.error(self.command(arguments), "")
    }

    fn connect(&self, tenant: &str) {
        let mut consent =
            self.command(&format!("authorization-url customer-7 --tenant {tenant} --consent-as one-shop"));
        consent.stderr(Stdio::null());
        let callback = crate::run(consent, "").stdout;
        self.ok(&format!("connect --tenant {tenant}"), &callback);
    }
}

#[test]
fn keys_are_rotated_in_the_service_and_erased_there() {
    let Some(service) = Service::start() else { return };
    service.connect("acme");
    assert!(!service.stage.data("fake-host-keys").exists(), "no key file is created");
    let printed = service.ok("keys status", "");
    assert!(printed.contains("tiktok-shop-fake.acme:v1  1          2        current\n"), "{printed}");
    let rotated = "\nevery data key is wrapped by the newest version of its tenant's key\n";
    assert!(printed.ends_with(rotated), "{printed}");

    service.server.ok("POST", "transit/keys/tiktok-shop-fake.acme/rotate", &Value::Null);
    let status = service.json("keys status");
    assert_eq!(status["rotation_needed"], true);
    assert_eq!(
        service.ok("keys rotate --wait 0", ""),
        lines([
            "the newest versions of the keys tiktok-shop-fake.* wrap the data keys",
            "1 tenant, 2 records sealed again, 1 data key removed",
            "    next    raise min_decryption_version of the keys in the key service, as docs/keys.md says",
        ])
    );
    let status = service.json("keys status");
    assert_eq!(
        (&status["rotation_needed"], &status["keys"][0]["host_key"]),
        (&json!(false), &json!("tiktok-shop-fake.acme:v2"))
    );
    assert_eq!(
        service.ok("keys rotate --wait 0", ""),
        lines([
            "the newest versions of the keys tiktok-shop-fake.* wrap the data keys",
            "nothing to rotate: the newest version of its tenant's key wraps every data key",
            "    next    to rotate, first rotate the keys in the key service, for example with bao write -f \
             transit/keys/tiktok-shop-fake.acme/rotate",
        ])
    );
    for (arguments, how) in [
        ("keys add", "rotate the keys there, then run keys rotate"),
        (
            "keys promote tiktok-shop-fake.acme:v2",
            "the newest version of a tenant's key is always the current one; run keys rotate",
        ),
        (
            "keys rotate --single-machine --retire",
            "rotate the keys there, then run keys rotate without --single-machine",
        ),
        ("keys retire tiktok-shop-fake.acme:v1", "to retire earlier versions, raise min_decryption_version there"),
    ] {
        let refused = format!("the host keys are in a key service; {how}");
        assert_eq!(service.error(arguments), (Some(2), refused), "{arguments}");
    }
    let earliest = json!({ "min_decryption_version": 2 });
    service.server.ok("POST", "transit/keys/tiktok-shop-fake.acme/config", &earliest);
    service.ok("refresh customer-7 --tenant acme --force", "");

    let Run { status, stdout, .. } = service.run("keys erase --tenant acme --yes", "");
    assert_eq!(status, Some(1), "the key in the service is left");
    let open = "who has an older copy of the database can open it with host key transit/keys/tiktok-shop-fake.acme";
    let next = "an administrator of the key service must run: bao write transit/keys/tiktok-shop-fake.acme/config \
                deletion_allowed=true, then bao delete transit/keys/tiktok-shop-fake.acme";
    assert!(stdout.ends_with(&lines([&*format!("    open    {open}"), &format!("    next    {next}")])), "{stdout}");
    // A second `keys erase` does not delete the key in the service. This database no longer has a data key that the key
    // wraps, so the key may belong to another database.
    let token = service.server.create_token(&json!({ "policies": ["connector", "erase"] }));
    let erase = || {
        let mut erase = service.stage.command("keys erase --tenant acme --yes");
        service.furnish(&mut erase, &token);
        service.stage.run(erase, "")
    };
    let Run { status, stdout, .. } = erase();
    let next =
        "    next    this database has no data key under transit/keys/tiktok-shop-fake.acme; if no other database ";
    assert!(status == Some(1) && stdout.contains(next), "{stdout}");
    service.connect("acme");
    let Run { status, stdout, .. } = erase();
    let gone = "the key service has no key of the tenant any more: no copy and no backup can be opened\n";
    assert!(status == Some(0) && stdout.ends_with(gone), "{stdout}");
    assert_eq!(service.server.request("GET", "transit/keys/tiktok-shop-fake.acme", &Value::Null).0, 404);
    service.connect("acme");
}

#[test]
fn a_key_that_was_deleted_in_the_service_is_told_and_not_made_again() {
    let Some(service) = Service::start() else { return };
    service.connect("acme");
    service.connect("other");
    service.server.ok("POST", "transit/keys/tiktok-shop-fake.acme/config", &json!({ "deletion_allowed": true }));
    service.server.ok("DELETE", "transit/keys/tiktok-shop-fake.acme", &Value::Null);
    let Run { status, stdout: printed, .. } = service.run("keys status", "");
    assert_eq!(status, Some(16), "a missing host key is a failure: {printed}");
    assert!(printed.contains("tiktok-shop-fake.acme:v1   1          2        missing\n"), "{printed}");
    let advice = "the key service has no key transit/keys/tiktok-shop-fake.acme; if it was deleted to erase the tenant, run \
                  keys erase --tenant acme, else restore it there\n";
    assert!(printed.ends_with(advice), "{printed}");
    let absent = "nothing is stored of tenant acmee; check the name, or use --allow-absent".to_owned();
    assert_eq!(service.error("keys erase --tenant acmee --yes"), (Some(5), absent));
    for arguments in ["refresh customer-7 --tenant acme --force", "keys rotate --wait 0"] {
        let (status, line) = service.error(arguments);
        assert_eq!(status, Some(16), "{line}");
        assert!(line.contains("key-unavailable(tiktok-shop-fake.acme:v1): no host key of that name is here"), "{line}");
    }
    assert_eq!(service.server.request("GET", "transit/keys/tiktok-shop-fake.acme", &Value::Null).0, 404);
    service.ok("refresh customer-7 --tenant other --force", "");
}

#[test]
fn a_service_that_is_away_sealed_or_refuses_is_named_and_nothing_is_lost() {
    let Some(mut service) = Service::start() else { return };
    service.connect("acme");
    let expect = |service: &Service, why: &str| {
        for arguments in ["refresh customer-7 --tenant acme --force", "keys rotate --wait 0"] {
            let (status, line) = service.error(arguments);
            assert_eq!(status, Some(16), "{line}");
            assert!(line.contains(why), "{arguments}: {line}");
        }
    };
    service.server.seal();
    expect(&service, "is sealed; unseal it");
    service.server.unseal();
    service.ok("refresh customer-7 --tenant acme --force", "");
    service.server.stop();
    expect(&service, "can't be reached: Connection refused (os error 111)");
    service.server.start_again();
    service.ok("refresh customer-7 --tenant acme --force", "");
    let right = std::mem::replace(&mut service.token, "s.CANARY-forged-token".to_owned());
    expect(&service, "allow it in the policy of the token");
    service.token = right;
    service.ok("refresh customer-7 --tenant acme --force", "");
}

#[test]
fn a_restart_of_the_service_in_the_middle_of_a_sweep_loses_no_token() {
    let Some(mut service) = Service::start() else { return };
    service.connect("acme");
    service.connect("other");
    service.stage.advance(7 * 86_400 - 3_600);
    let gate = Gate::before(&service.stage, REFRESH);
    let mut sweep = gate.command(&service.stage, &[], "sweep --concurrency 1");
    service.furnish(&mut sweep, &service.token);
    let sweep = sweep.spawn().unwrap();
    gate.wait_for_request();

    // The key service stops while the request for the first tenant's new tokens waits at the gate.
    service.server.stop();
    gate.release();
    let ended = sweep.wait_with_output().unwrap();
    let printed = String::from_utf8(ended.stdout).unwrap();
    assert!(printed.contains("1 refreshed, 1 failed"), "{printed}");
    service.server.start_again();
    assert!(service.ok("sweep", "").contains("1 refreshed, 0 failed"), "the other tenant is still due");
    for tenant in ["acme", "other"] {
        service.ok(&format!("refresh customer-7 --tenant {tenant} --force"), "");
    }
}

#[test]
fn a_database_moves_from_a_key_file_to_the_service() {
    let Some(service) = Service::start() else { return };
    service.stage.connect("customer-7", "one-shop");
    let table = format!("[key-service]\naddress = '{}'\nauth = 'token'\n", service.server.address());
    service.configure(&format!("key-file = '{}'\n{table}", service.stage.data("fake-host-keys").display()));
    service.ok("refresh customer-7 --force", "");
    assert_eq!(service.json("keys status")["rotation_needed"], true);
    let [earlier] = &*ids(&service.stage) else { panic!() };
    let printed = service.ok("keys rotate --wait 0", "");
    let next = format!(
        "    next    remove {earlier} on every machine; the key service has replaced it, and only earlier backups need \
         it\n"
    );
    assert!(printed.ends_with(&next), "{printed}");
    assert!(service.ok("keys status", "").contains(&format!("{earlier}        0          0        unused\n")));
    let status = service.json("keys status");
    assert_eq!(
        (&status["rotation_needed"], &status["keys"][0]["host_key"]),
        (&json!(false), &json!("tiktok-shop-fake.default:v1"))
    );
    service.configure(&table);
    service.ok("refresh customer-7 --force", "");

    service.configure(&format!("key-file = 'nowhere'\n{table}"));
    let missing = "/nowhere: there is no such file; with a key service, a key file only opens earlier data";
    let (status, line) = service.error("refresh customer-7 --force");
    assert!(status == Some(3) && line.ends_with(missing), "{line}");
    // `keys status` opens no sealed value. So it succeeds, and reports the missing key file on standard error.
    let Run { status, stderr, .. } = service.run("keys status", "");
    assert!(status == Some(0) && stderr.ends_with(&format!("{missing}\n")), "{stderr}");
    assert!(!service.stage.home().join("nowhere").exists());
}

#[test]
fn a_mistake_in_the_settings_of_the_service_is_an_error_and_quotes_no_value() {
    let stage = Stage::new();
    let path = stage.home().join("config.toml");
    let known = "the members are address, mount, prefix, namespace, ca-file, auth, and with this auth";
    let local = "address = 'http://127.0.0.1:1'";
    for (table, token, error) in [
        (
            "address = 'https://bao'".to_owned(),
            "t",
            "key-service.auth: missing; set it to token, token-file, approle or kubernetes".to_owned(),
        ),
        (
            "auth = 'CANARY'".to_owned(),
            "t",
            "key-service.auth: not token, token-file, approle or kubernetes".to_owned(),
        ),
        ("auth = 'token'".to_owned(), "t", "key-service.address: missing; add it".to_owned()),
        (
            format!("auth = 'token'\n{local}\nrole = 'CANARY'"),
            "t",
            format!("key-service.role: there is no such member; correct or remove it; {known} token"),
        ),
        (
            format!("auth = 'token'\n{local}"),
            "",
            "TIKTOK_SHOP_KEY_SERVICE_TOKEN: the variable is set but empty; unset it, or give it a value".to_owned(),
        ),
        (
            format!("auth = 'token'\n{local}\ntoken = \"CAN\\nARY\""),
            "t",
            "key-service.token: contains a line break (U+000A) as character 4; remove it".to_owned(),
        ),
        (
            format!("auth = 'token'\n{local}"),
            "CAN\u{200b}ARY\n",
            "TIKTOK_SHOP_KEY_SERVICE_TOKEN: contains a zero-width space (U+200B) as character 4; remove it".to_owned(),
        ),
        (
            "auth = 'token'\naddress = 'http://CANARY'".to_owned(),
            "t",
            "config.toml: key-service: address: http is only allowed on loopback, because anybody on the way could \
             read the keys"
                .to_owned(),
        ),
        (
            format!("auth = 'token'\n{local}\nmount = '../CANARY'"),
            "t",
            "key-service: mount: not a path of letters, digits, -, _, . and /".to_owned(),
        ),
        (
            format!("auth = 'token'\n{local}\nprefix = 'CANARY.'"),
            "t",
            "key-service: prefix: not 1 to 64 letters, digits, - and _ that begin with a letter or a digit".to_owned(),
        ),
        (format!("auth = 'kubernetes'\n{local}"), "t", "key-service.role: missing; add it".to_owned()),
        (
            format!("auth = 'approle'\n{local}\nrole-id = 'r'"),
            "t",
            "key-service.secret-id: missing; set TIKTOK_SHOP_KEY_SERVICE_SECRET_ID, or add it".to_owned(),
        ),
        (format!("auth = 'token-file'\n{local}"), "t", "key-service.token-file: missing; add it".to_owned()),
    ] {
        fs::write(&path, format!("[key-service]\n{table}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let mut command = stage.command("keys status");
        command.env("TIKTOK_SHOP_CONFIG", &path).env("TIKTOK_SHOP_KEY_SERVICE_TOKEN", token);
        let (status, line) = stage.error(command, "");
        assert_eq!(status, Some(2), "{table}: {line}");
        assert!(line.ends_with(&error) && !line.contains("CANARY"), "{table}: {line}");
    }
    fs::write(&path, format!("[key-service]\nauth = 'token'\n{local}\n")).unwrap();
    let mut command = stage.command("keys status");
    command.env("TIKTOK_SHOP_CONFIG", &path);
    let file = format!("configuration {}", path.display());
    let missing = "key-service.token: missing; set TIKTOK_SHOP_KEY_SERVICE_TOKEN, or add it";
    assert_eq!(stage.error(command, ""), (Some(2), format!("{file}: {missing}")));
    let mut command = stage.command("keys init");
    command.env("TIKTOK_SHOP_CONFIG", &path);
    let needless =
        "key-service: the key service makes the host keys itself, so no key file is needed; go on with migrate";
    assert_eq!(stage.error(command, ""), (Some(2), format!("{file}: {needless}")));
    for name in ["TIKTOK_SHOP_KEY_SERVICE_TOKEN", "TIKTOK_SHOP_KEY_SERVICE_SECRET_ID"] {
        let mut command = stage.command("authorization-url customer-7");
        command.env(name, "CANARY");
        let lost = "is set, but no key service is configured; add [key-service] to the configuration file, or unset the \
                    variable";
        assert_eq!(stage.error(command, ""), (Some(2), format!("{name} {lost}")));
    }
    assert!(!stage.data("fake-host-keys").exists());
}
