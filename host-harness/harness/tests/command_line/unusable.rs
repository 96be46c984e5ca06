//! Tests inputs, components, configurations, keys, databases and fakes that can't be used. In each case, the program
//! prints one line and ends with the documented status. At the end of each test, an earlier connection still works.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fake_tiktok_shop::Decision;

use crate::stage::Stage;
use crate::{Run, run};

/// Returns a stage with a connection, which the test must not damage.
fn connected() -> Stage {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    stage
}

/// Checks that the connection can be read, that its shop's cipher can be decrypted, and that its tokens can be
/// refreshed.
fn assert_still_works(stage: &Stage) {
    assert_eq!(stage.json("list-shops customer-7", "")[0]["cipher"], "present");
    stage.ok("refresh customer-7 --force", "");
}

/// Writes a file that only its owner can access.
fn private(path: PathBuf, text: impl AsRef<[u8]>) -> PathBuf {
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

/// Each of these commands uses the component, the storage, the keys, the configuration and the fake.
const COMMANDS: [&str; 3] = ["refresh customer-7", "list-connections customer-7", "sweep"];

/// Checks that each of [`COMMANDS`] refuses an option with this status and this error.
fn assert_refused(stage: &Stage, option: &str, status: i32, expected: &str) {
    for command in COMMANDS {
        let (ended, line) = stage.error(stage.command(&format!("{command} {option}")), "");
        assert_eq!((ended, &*line), (Some(status), expected), "{command} {option}");
    }
}

#[test]
fn a_file_that_is_not_a_component_is_refused() {
    let stage = connected();
    let at = |name: &str| stage.home().join(name);
    let text = private(at("text.wasm"), "not wasm at all");
    let sparse = at("sparse.wasm");
    File::create(&sparse).unwrap().set_len(1 << 30).unwrap();
    let module = private(at("module.wasm"), b"\0asm\x01\0\0\0");
    let empty = private(at("empty.wasm"), b"\0asm\x0d\0\x01\0");
    let advice = "; expected the component that cargo xtask dist builds: correct --component or TIKTOK_SHOP_COMPONENT";
    let table: [(&Path, &str, &str); 6] = [
        (Path::new("/no/such"), "there is no such file", advice),
        (Path::new("/"), "not a regular file", advice),
        (Path::new("/dev/zero"), "not a regular file", advice),
        (&sparse, "larger than 4194304 bytes", advice),
        (&text, "not a component: ", advice),
        (&empty, "not a connector: ", advice),
    ];
    for (path, what, advice) in table {
        let (status, line) =
            stage.error(stage.command(&format!("refresh customer-7 --component {}", path.display())), "");
        assert_eq!(status, Some(3), "{line}");
        let expected = format!("component {}: {what}", path.display());
        assert!(line.starts_with(&expected) && line.ends_with(advice), "{line}");
        assert!(what.ends_with(' ') || line == format!("{expected}{advice}"), "{line}");
    }
    for (path, status, expected) in [
        (&text, 1, "not accepted: not a component: "),
        (&module, 1, "not accepted: not a component: "),
        (&empty, 1, "not accepted: not a connector: "),
        (&sparse, 1, "not accepted: component larger than 4194304 bytes\n    size    1073741824 bytes\n"),
        (&xtask::component().unwrap(), 0, "accepted: tiktok-shop:connector@0.2.0\n    size    "),
    ] {
        let Run { status: ended, stdout, stderr } =
            stage.run(stage.command(&format!("inspect {}", path.display())), "");
        assert_eq!((ended, &*stderr), (Some(status), ""));
        assert!(stdout.starts_with(expected), "{stdout}");
        assert!(stdout.lines().skip(1).all(|line| line.starts_with("    ")), "{stdout}");
    }
    let printed = stage.run(stage.command(&format!("inspect --json {}", text.display())), "").stdout;
    let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((printed["accepted"].as_bool(), printed["bytes"].as_u64()), (Some(false), Some(15)));
    assert_still_works(&stage);
}

/// The current folder may contain files of other people, for example if it is a folder below /tmp or an unpacked
/// archive.
#[test]
fn a_component_in_the_current_folder_or_above_it_is_not_used() {
    let stage = connected();
    let deep = stage.home().join("deep/er");
    let (name, planted) =
        ("tiktok_shop_connector.wasm", ["target/dist", "deep/target/dist", "deep/er/target/dist", "deep/er"]);
    fs::create_dir_all(&deep).unwrap();
    for folder in planted.map(|folder| stage.home().join(folder)) {
        fs::create_dir_all(&folder).unwrap();
        private(folder.join(name), "planted");
    }
    // The stage has built the component in the workspace of this program, so the program finds the component there.
    let mut command = stage.command("list-shops customer-7 --json");
    command.env_remove("TIKTOK_SHOP_COMPONENT").current_dir(&deep);
    let Run { status, stderr, .. } = stage.run(command, "");
    assert_eq!((status, &*stderr), (Some(0), ""));
    let mut page = stage.with(&[]);
    page.env_remove("TIKTOK_SHOP_COMPONENT").current_dir(&deep);
    let printed = stage.run(page, "").stdout;
    assert!(!printed.contains(&*stage.home().join("deep").to_string_lossy()), "{printed}");
    assert_still_works(&stage);
}

#[test]
fn a_component_that_is_not_the_pinned_one_is_refused() {
    let stage = connected();
    let inspected = stage.json(&format!("inspect {}", xtask::component().unwrap().display()), "").remove(0);
    let (right, wrong) = (inspected["sha256"].as_str().unwrap(), "0".repeat(64));
    let refused = format!(
        "component {}: not the pinned component: its SHA-256 is {right}, and the pinned SHA-256 is {wrong}; give \
         the host the pinned component, or pin this one",
        xtask::component().unwrap().display()
    );
    assert_refused(&stage, &format!("--component-sha256 {wrong}"), 3, &refused);
    let malformed = "--component-sha256 <HEX>: not a SHA-256 of 64 hexadecimal digits; see --help";
    assert_refused(&stage, "--component-sha256 12", 2, malformed);
    let config = private(stage.home().join("config.toml"), format!("component-sha256 = \"{wrong}\""));
    let option = format!("--config {}", config.display());
    assert_refused(&stage, &option, 3, &refused);
    // The option overrides the configuration file, and so does the environment variable.
    stage.ok(&format!("list-shops customer-7 {option} --component-sha256 {right}"), "");
    let mut pinned = stage.command(&format!("list-shops customer-7 {option}"));
    pinned.env("TIKTOK_SHOP_COMPONENT_SHA256", right);
    assert_eq!(stage.run(pinned, "").status, Some(0));
    assert_still_works(&stage);
}

#[test]
fn a_file_that_another_user_can_replace_is_refused() {
    let stage = connected();
    let folder = stage.home().join("open");
    fs::create_dir(&folder).unwrap();
    let at = |name: &str| folder.join(name);
    private(at("config.toml"), "");
    private(at("keys"), fs::read(stage.data("fake-host-keys")).unwrap());
    fs::copy(xtask::component().unwrap(), at("component.wasm")).unwrap();
    private(at("db"), "");
    fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
    for (option, status, what, file) in [
        ("--config ", 3, "configuration ", "config.toml"),
        ("--key-file ", 3, "host keys: ", "keys"),
        ("--component ", 3, "component ", "component.wasm"),
        ("--storage sqlite:", 3, "storage: ", "db"),
        ("--storage sqlite:", 3, "storage: ", "none/db"),
    ] {
        let file = at(file);
        let expected = format!(
            "{what}{}: other users can replace it, because they can write to the folder {} (mode 777); take this right \
             away with chmod go-w, or use another folder",
            file.display(),
            folder.canonicalize().unwrap().display()
        );
        let (ended, line) = stage.error(stage.command(&format!("refresh customer-7 {option}{}", file.display())), "");
        assert_eq!((ended, line), (Some(status), expected));
    }
    assert_still_works(&stage);
}

#[test]
fn a_configuration_that_is_malformed_or_not_private_is_refused() {
    let stage = connected();
    let path = private(stage.home().join("config.toml"), "");
    let name = path.display();
    let option = format!("--config {name}");
    for (text, expected) in [
        (
            "app-secret = \"CANARY\"",
            "app-secret: there is no such member; correct or remove it; the members are storage, key-file, file-access, \
             key-service, component-sha256, egress, export, unsealed-rows, serve, api-keys, tenants",
        ),
        ("[tenants.default]\napp-secret = CANARY", "not TOML at line 2, column 14; correct the syntax there"),
        ("[tenants.default]\napp-secret = 7", "tenants.default.app-secret: not text; write it in quotes"),
        ("storage = \"CANARY\"", "storage: not sqlite:PATH, postgres://… or memory:"),
    ] {
        fs::write(&path, text).unwrap();
        assert_refused(&stage, &option, 2, &format!("configuration {name}: {expected}"));
    }
    fs::write(&path, "[tenants.default]\napp-key = \"k\"").unwrap();
    let missing = "tenants.default.app-secret: missing; add it, or set TIKTOK_SHOP_APP_SECRET";
    assert_refused(&stage, &option, 2, &format!("configuration {name}: {missing}"));
    fs::write(&path, b"\xff\xfe").unwrap();
    assert_refused(&stage, &option, 2, &format!("configuration {name}: not UTF-8 at byte 1; save the file as UTF-8"));
    fs::write(&path, vec![b'#'; 2 << 20]).unwrap();
    assert_refused(&stage, &option, 2, &format!("configuration {name}: longer than 1048576 bytes"));
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let open = "other users can read or write it (mode 644); make it private with chmod 600; if a container mounts it \
                as a secret, see --file-access";
    // As with every other file, a file that can't be used has status 3, and wrong content has status 2.
    assert_refused(&stage, &option, 3, &format!("configuration {name}: {open}"));
    assert_refused(&stage, "--config /", 3, "configuration /: not a regular file");
    assert_still_works(&stage);
}

#[test]
fn host_keys_that_are_malformed_or_not_private_are_refused() {
    let stage = connected();
    let path = private(stage.home().join("keys"), "CANARY");
    let name = path.display();
    let option = format!("--key-file {name}");
    let malformed = "host key 1: not ID:KEY, where KEY is 64 hexadecimal digits; correct the file, or restore it from a \
                     backup";
    for (text, expected) in [
        ("", "no host key; correct the file, or restore it from a backup"),
        ("CANARY", malformed),
        ("a:12CANARY", malformed),
        (
            &format!("a:{}", "0".repeat(64)),
            "host key a is all zeros; draw 64 random hexadecimal digits, for example with openssl rand -hex 32",
        ),
    ] {
        fs::write(&path, text).unwrap();
        assert_refused(&stage, &option, 3, &format!("host keys: {name}: {expected}"));
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "the file is unchanged");
    }
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let open = "other users can read or write it (mode 640); make it private with chmod 600; if a container mounts it \
                as a secret, see --file-access";
    assert_refused(&stage, &option, 3, &format!("host keys: {name}: {open}"));
    assert_refused(&stage, "--key-file /", 3, "host keys: /: not a regular file");

    let mut listed = stage.command("refresh customer-7");
    listed.env("TIKTOK_SHOP_HOST_KEYS", "CANARY");
    let expected = "TIKTOK_SHOP_HOST_KEYS: host key 1: not ID:KEY, where KEY is 64 hexadecimal digits".to_owned();
    assert_eq!(stage.error(listed, ""), (Some(2), expected));
    let mut both = stage.command("refresh customer-7 --key-file keys");
    both.env("TIKTOK_SHOP_HOST_KEYS", format!("a:{:064}", 7));
    let expected = "TIKTOK_SHOP_HOST_KEYS and --key-file are both given; use only one".to_owned();
    assert_eq!(stage.error(both, ""), (Some(2), expected));
    assert_still_works(&stage);
}

#[test]
fn a_database_that_can_t_be_opened_is_refused() {
    let stage = connected();
    let text =
        private(stage.home().join("text"), "this is no database, but it is long enough to be looked at".repeat(40));
    let open = private(stage.home().join("open"), "");
    fs::set_permissions(&open, Permissions::from_mode(0o644)).unwrap();
    let address = |path: &Path| format!("--storage sqlite:{}", path.display());
    assert_refused(
        &stage,
        &address(stage.home()),
        3,
        &format!("storage: {}: not a regular file", stage.home().display()),
    );
    let expected = format!(
        "storage: {}: other users can read or write it (mode 644); make it private with chmod 600",
        open.display()
    );
    assert_refused(&stage, &address(&open), 3, &expected);
    fs::set_permissions(&open, Permissions::from_mode(0o600)).unwrap();
    let log = private(stage.home().join("open-wal"), "");
    fs::set_permissions(&log, Permissions::from_mode(0o644)).unwrap();
    let expected = format!(
        "storage: {}: other users can read or write it (mode 644); make it private with chmod 600",
        log.display()
    );
    assert_refused(&stage, &address(&open), 3, &expected);
    let expected = format!(
        "storage: {}: not an SQLite database: correct the path, or restore the file from a backup",
        text.canonicalize().unwrap().display()
    );
    assert_refused(&stage, &address(&text), 3, &expected);
    assert!(fs::read_to_string(&text).unwrap().starts_with("this is no database"), "the file is unchanged");

    let mut unreachable = stage.command("refresh customer-7");
    unreachable.env("TIKTOK_SHOP_STORAGE", "postgres://user:CANARY@127.0.0.1:1/db");
    let expected = "storage: the database can't be opened: no connection to 127.0.0.1:1: Connection refused (os \
                    error 111): check that the server runs, and correct the host and the port in the address";
    assert_eq!(stage.error(unreachable, ""), (Some(3), expected.to_owned()));
    let mut unverified = stage.command("refresh customer-7");
    unverified.env("TIKTOK_SHOP_STORAGE", "postgres://user:CANARY@db.example/db?sslmode=require");
    let (status, line) = stage.error(unverified, "");
    assert_eq!(status, Some(2), "{line}");
    assert!(
        line.starts_with("TIKTOK_SHOP_STORAGE: the server is in a network, ") && !line.contains("CANARY"),
        "{line}"
    );
    let mut mistyped = stage.command("refresh customer-7");
    mistyped.env("TIKTOK_SHOP_STORAGE", "postgres://user:CANARY@127.0.0.1:1/db?ssl_mode=verify-full&CANARY");
    let (status, line) = stage.error(mistyped, "");
    assert_eq!(status, Some(2), "{line}");
    assert!(
        line.starts_with("TIKTOK_SHOP_STORAGE: the address has an unknown parameter ssl_mode (similar: ssl-mode)")
            && !line.contains("CANARY"),
        "{line}"
    );
    let mut malformed = stage.command("refresh customer-7");
    malformed.env("TIKTOK_SHOP_STORAGE", "postgres://user:CANARY@127.0.0.1:port/db");
    let (status, line) = stage.error(malformed, "");
    assert_eq!(status, Some(2), "{line}");
    let expected = "TIKTOK_SHOP_STORAGE: not the address of a PostgreSQL database: write \
                    postgres://USER:PASSWORD@HOST:PORT/DATABASE";
    assert!(line.starts_with(expected) && !line.contains("CANARY"), "{line}");
    assert_still_works(&stage);
}

#[test]
fn an_address_without_a_fake_is_refused() {
    let stage = connected();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = silent.local_addr().unwrap();
    drop(silent);
    let port = free.port();
    let expected =
        format!("no fake TikTok Shop answers at {free}; start one with tiktok-shop-harness fake --port {port}");
    assert_refused(&stage, &format!("--fake http://{free}"), 3, &expected);
    assert_still_works(&stage);
}

const NOT_A_CALLBACK: &str = "standard input: not a callback: it needs a query such as code=…&state=…, with one code or one error; the consent can still be finished";

#[test]
fn input_that_is_not_a_callback_or_not_a_webhook_is_refused() {
    let stage = connected();
    let endless = vec![b'a'; 20 << 20];
    let table: [(&[u8], &str); 9] = [
        (b"", "standard input: empty; expected the address to which the browser was sent back"),
        (b" \n\n", "standard input: empty; expected the address to which the browser was sent back"),
        (b"CANARY", NOT_A_CALLBACK),
        (b"https://p.example/CANARY", NOT_A_CALLBACK),
        (b"https://p.example/cb?state=CANARY", NOT_A_CALLBACK),
        (
            b"code=CANARY\ncode=CANARY",
            "standard input has more than one line; expected only the address to which the browser was sent back",
        ),
        (b"code=CANARY\0&state=s", "standard input: not a callback: it contains a space or a control character"),
        (
            b"code=CANARY\xff",
            "standard input is not UTF-8 at byte 12; expected only the address to which the browser was sent back",
        ),
        (
            &endless,
            "standard input is longer than 64 KiB; expected only the address to which the browser was sent back",
        ),
    ];
    for (input, expected) in table {
        for command in ["connect", "connect --app-store customer-8"] {
            assert_eq!(stage.error(stage.command(command), input), (Some(2), expected.to_owned()), "{command}");
        }
    }
    for (input, status, expected) in [
        (b"".as_slice(), 1, "answer 401: forged\n"),
        (b"\xff\xfe\0", 1, "answer 401: forged\n"),
        (&[b' '; 256 << 10], 1, "answer 401: forged\n"),
        (&[b' '; (256 << 10) + 1], 1, "answer 413: too-large\n    why     the body is larger than 256 KiB\n"),
    ] {
        let printed = stage.run(stage.command("webhook --authorization 00"), input);
        assert_eq!((printed.status, &*printed.stdout), (Some(status), expected));
    }
    let expected = "standard input is longer than 16 MiB".to_owned();
    assert_eq!(stage.error(stage.command("webhook --authorization 00"), &endless), (Some(2), expected.clone()));
    assert_eq!(
        stage.error(stage.command("call customer-7 POST /a/202309/b --body-file -"), &endless),
        (Some(2), expected)
    );
    let malformed = b"no json";
    let signed = stage.fake.webhook_signature(&stage.app().service_id, malformed).unwrap();
    let printed = stage.run(stage.command(&format!("webhook --authorization {signed}")), malformed);
    assert_eq!(printed.status, Some(1));
    assert!(printed.stdout.starts_with("answer 500: malformed\n    why     webhook-malformed: "), "{}", printed.stdout);
    let mut empty = stage.with(&["webhook", "--authorization", ""]);
    empty.env("TIKTOK_SHOP_TENANT", "default");
    assert_eq!(stage.run(empty, "{}").stdout, "answer 401: forged\n");
    assert_still_works(&stage);
}

/// A person may first paste something other than the address to which TikTok sent the browser back.
#[test]
fn a_wrong_paste_does_not_use_up_the_consent_and_a_bent_one_is_read() {
    for bend in [
        (|callback: &str| callback.replacen("https://", "/", 1)) as fn(&str) -> String,
        |callback| callback.replacen("https://", "", 1),
        |callback| callback.replacen("https://", "HTTPS://", 1),
        |callback| callback.replacen("https://", "myapp://", 1),
        |callback| format!("\u{feff}{callback}"),
        |callback| format!("  \"{callback}\" "),
        |callback| callback.replace('&', "&amp;"),
    ] {
        let stage = Stage::new();
        let query = stage.decide(&stage.link("customer-7"), "one-shop", Decision::Allow);
        let state = query.split('&').find(|parameter| parameter.starts_with("state=")).unwrap();
        let (status, line) = stage.error(stage.command("connect"), format!("https://p.example/cb?{state}"));
        assert_eq!((status, line.as_str()), (Some(2), NOT_A_CALLBACK));
        let callback = bend(&format!("https://p.example/cb?{query}"));
        let printed = stage.ok("connect", &callback);
        assert!(printed.starts_with("customer-7: Teapot Corner (GB), active\n"), "{callback}: {printed}");
    }
}

#[test]
fn the_contract_is_checked_only_on_an_empty_database() {
    let stage = connected();
    let used = stage.data("fake-connections.sqlite");
    let expected = "this database contains connections; use an empty one".to_owned();
    assert_eq!(stage.error(stage.command(&format!("contract sqlite:{}", used.display())), ""), (Some(2), expected));
    let (status, line) = stage.error(stage.command("contract postgres://127.0.0.1:1/db"), "");
    assert_eq!(status, Some(3), "{line}");

    let fresh = stage.home().join("fresh.sqlite");
    let (status, line) = stage.error(stage.command(&format!("contract sqlite:{}", fresh.display())), "");
    assert_eq!((status, fresh.exists()), (Some(3), false), "{line}");
    let create = format!("contract sqlite:{} --create", fresh.display());
    let Run { status, stdout, stderr } = run(stage.command(&create), "");
    assert_eq!((status, &*stderr), (Some(0), ""), "{stdout}");
    let (checks, summary) = stdout.trim_end().rsplit_once('\n').unwrap_or_else(|| ("", stdout.trim_end()));
    assert!(checks.lines().all(|line| line.starts_with("kept ")), "{stdout}");
    assert_eq!(summary, format!("{} checks, 0 broken", checks.lines().count()));
    for line in stage.json("contract memory:", "") {
        let mut members: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!((members, line["kept"].as_bool()), (vec!["check", "kept", "promise", "took_ms"], Some(true)));
    }
    assert_still_works(&stage);
}
