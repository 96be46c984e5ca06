//! Tests that a mistake in the configuration is an error: variables that are empty or mistyped, host keys that are
//! missing or do not fit, unknown tenants, invisible characters, and files that a container mounts.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fake_tiktok_shop::Decision;
use serde_json::{Value, json};

use crate::stage::Stage;
use crate::{Run, run};

/// Every variable of the program.
pub(crate) const VARIABLES: [&str; 21] = [
    "TIKTOK_SHOP_STORAGE",
    "TIKTOK_SHOP_CONTRACT_STORAGE",
    "TIKTOK_SHOP_HOST_KEYS",
    "TIKTOK_SHOP_KEY_SERVICE_TOKEN",
    "TIKTOK_SHOP_KEY_SERVICE_SECRET_ID",
    "TIKTOK_SHOP_PROXY",
    "TIKTOK_SHOP_PROXY_CERTIFICATES",
    "TIKTOK_SHOP_APP_KEY",
    "TIKTOK_SHOP_APP_SECRET",
    "TIKTOK_SHOP_PREVIOUS_APP_SECRET",
    "TIKTOK_SHOP_AUTHORIZATION_LINK",
    "TIKTOK_SHOP_TENANT",
    "TIKTOK_SHOP_KEY_FILE",
    "TIKTOK_SHOP_FILE_ACCESS",
    "TIKTOK_SHOP_CONFIG",
    "TIKTOK_SHOP_FAKE",
    "TIKTOK_SHOP_LISTEN",
    "TIKTOK_SHOP_PUBLIC_ADDRESS",
    "TIKTOK_SHOP_ACTOR",
    "TIKTOK_SHOP_COMPONENT",
    "TIKTOK_SHOP_COMPONENT_SHA256",
];

fn with(mut command: Command, name: &str, value: &str) -> Command {
    command.env(name, value);
    command
}

fn host_key(id: &str) -> String {
    format!("{id}:{:064x}", id.len())
}

fn write(path: PathBuf, text: impl AsRef<[u8]>, mode: u32) -> PathBuf {
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

/// Returns the key file that the commands with a fake use.
fn fake_key_file(stage: &Stage) -> PathBuf {
    stage.data("fake-host-keys")
}

#[test]
fn a_variable_that_is_set_but_empty_is_an_error_in_every_command() {
    let stage = Stage::new();
    for name in VARIABLES {
        for (value, command) in [
            ("", "list-connections customer-7"),
            (" \r\n", "sweep"),
            ("", "sign"),
            ("", "fake --port 0"),
            ("", "contract memory:"),
            ("", "keys init"),
            // The error names the variable, although the command also contains an unknown option.
            ("", "list-connections customer-7 --no-such-option"),
        ] {
            let expected = format!("{name}: the variable is set but empty; unset it, or give it a value");
            let refused = stage.error(with(stage.command(command), name, value), "{}");
            assert_eq!(refused, (Some(2), expected), "{command}");
        }
        assert_eq!(run(with(stage.command("refresh --help"), name, ""), "").status, Some(0));
        assert_eq!(run(with(stage.with(&[]), name, ""), "").status, Some(0), "the page that shows how to begin");
    }
    let printed = run(with(stage.command("sweep --json"), "TIKTOK_SHOP_STORAGE", ""), "").stdout;
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((&printed["error"]["status"], &printed["error"]["case"]), (&json!(2), &json!("malformed")));
    assert!(!stage.data("").exists(), "no file was made");
}

#[test]
fn a_variable_that_is_no_setting_is_an_error() {
    let stage = Stage::new();
    stage.ok("migrate", "");
    for (name, meant) in [
        ("TIKTOK_SHOP_HOSTKEYS", "TIKTOK_SHOP_HOST_KEYS was probably meant, so "),
        ("TIKTOK_SHOP_DATABASE", ""),
        ("TIKTOK_SHOP_REGION", ""),
    ] {
        for command in ["list-connections customer-7", "sign"] {
            let unknown = with(stage.command(command), name, "CANARY");
            let expected = format!(
                "{name}: there is no such setting; {meant}rename or unset this variable; docs/command-line.md lists \
                 all settings"
            );
            assert_eq!(stage.error(unknown, "{}"), (Some(2), expected));
        }
    }
    // The variables of this project's tests, and those that Kubernetes sets for a service with such a name.
    let mut listed = stage.command("list-connections customer-7");
    listed.env("TIKTOK_SHOP_TEST_POSTGRES", "x").env("TIKTOK_SHOP_CONNECTOR_SERVICE_HOST", "10.0.0.1");
    let Run { status, stderr, .. } = stage.run(listed, "");
    let nobody = "note: customer-7 is not connected; begin a consent with authorization-url\n";
    assert_eq!((status, &*stderr), (Some(0), nobody));
}

#[test]
fn a_wrong_value_of_a_variable_is_told_under_the_name_of_the_variable() {
    let stage = Stage::new();
    let no_server = "not the address of a PostgreSQL database: write postgres://USER:PASSWORD@HOST:PORT/DATABASE, and \
                     encode the characters : / ? # [ ] @ % in the user and the password, for example @ as %40";
    for (name, value, expected) in [
        ("TIKTOK_SHOP_STORAGE", "mysql://CANARY", "not sqlite:PATH, postgres://… or memory:"),
        ("TIKTOK_SHOP_STORAGE", "postgres://u:CANARY@localhost:port/d", no_server),
        ("TIKTOK_SHOP_CONTRACT_STORAGE", "CANARY", "not sqlite:PATH, postgres://… or memory:"),
        ("TIKTOK_SHOP_HOST_KEYS", "CANARY", "host key 1: not ID:KEY, where KEY is 64 hexadecimal digits"),
        ("TIKTOK_SHOP_FILE_ACCESS", "CANARY", "not one of owner, group, mounted"),
        ("TIKTOK_SHOP_FAKE", "CANARY", "not http://127.0.0.1:PORT, http://[::1]:PORT or http://localhost:PORT"),
        ("TIKTOK_SHOP_COMPONENT_SHA256", "CANARY", "not a SHA-256 of 64 hexadecimal digits"),
    ] {
        for command in ["list-connections customer-7", "sweep", "keys init"] {
            let refused = stage.error(with(stage.command(command), name, value), "");
            assert_eq!(refused, (Some(2), format!("{name}: {expected}")), "{command}");
        }
    }
    // The same mistake in an option or in the configuration file is told under that name.
    let option = stage.error(stage.command("sweep --storage mysql://CANARY"), "");
    let expected = "--storage <ADDRESS>: not sqlite:PATH, postgres://… or memory:; see --help";
    assert_eq!(option, (Some(2), expected.to_owned()));
    let config = write(stage.home().join("c.toml"), "storage = \"postgres://u:CANARY@localhost/d#\"\n", 0o600);
    let in_file = stage.error(stage.command(&format!("sweep --config {}", config.display())), "");
    let expected =
        format!("configuration {}: storage: the address contains a #: write %23 in its place", config.display());
    assert_eq!(in_file, (Some(2), expected));

    // The error about two sources of host keys names the one that was used.
    let keys = host_key("a");
    let by_option = with(stage.command("sweep --key-file=k"), "TIKTOK_SHOP_HOST_KEYS", &keys);
    let expected = "TIKTOK_SHOP_HOST_KEYS and --key-file are both given; use only one";
    assert_eq!(stage.error(by_option, ""), (Some(2), expected.to_owned()));
    let by_variable = with(with(stage.command("sweep"), "TIKTOK_SHOP_HOST_KEYS", &keys), "TIKTOK_SHOP_KEY_FILE", "k");
    let expected = "TIKTOK_SHOP_HOST_KEYS and TIKTOK_SHOP_KEY_FILE are both given; use only one";
    assert_eq!(stage.error(by_variable, ""), (Some(2), expected.to_owned()));
}

#[test]
fn a_relative_path_of_the_users_folders_is_an_error() {
    let stage = Stage::new();
    for (name, value) in
        [("HOME", "relative"), ("HOME", ""), ("XDG_DATA_HOME", "./data"), ("XDG_CONFIG_HOME", "config")]
    {
        let expected = format!("{name}: not an absolute path; give the variable a path that begins with /");
        let refused = stage.error(with(stage.command("authorization-url customer-7"), name, value), "");
        assert_eq!(refused, (Some(2), expected));
    }
    assert_eq!(fs::read_dir(stage.home()).unwrap().count(), 0, "nothing was created");
    // An empty XDG variable counts as not set.
    let begun = run(with(stage.command("authorization-url customer-7"), "XDG_DATA_HOME", ""), "");
    assert_eq!(begun.status, Some(0));
    assert!(stage.data("fake-connections.sqlite").exists());
}

#[test]
fn no_command_makes_a_host_key_if_a_database_or_a_key_file_is_named() {
    let stage = Stage::new();
    let database = format!("sqlite:{}", stage.home().join("named.sqlite").display());
    let server = "postgres://user@127.0.0.1:1/db".to_owned();
    let config = write(stage.home().join("c.toml"), format!("storage = \"{database}\"\n"), 0o600);
    let missing_default = format!(
        "host keys: {}: there is no such file, and no other host keys are named: set TIKTOK_SHOP_HOST_KEYS, or \
         name a key file with --key-file; keys init makes one for an empty database",
        stage.data("host-keys").display()
    );
    let missing_named = "host keys: none: there is no such file; put the file there, or make a new one for an empty \
                         database with keys init";
    let unnamed = "host keys: none are named: set TIKTOK_SHOP_HOST_KEYS, or name a key file with --key-file; keys init \
                   makes one for an empty database";
    for command in [
        "authorization-url customer-7",
        "refresh customer-7",
        "sweep",
        "keys add",
        "keys promote k",
        "keys rotate",
        "keys rotate --single-machine",
        "keys retire k",
    ] {
        let plain = || stage.command_without_a_fake(command);
        for (refused, expected) in [
            (stage.command_without_a_fake(&format!("{command} --storage {database}")), &*missing_default),
            (with(plain(), "TIKTOK_SHOP_STORAGE", &database), &missing_default),
            (with(plain(), "TIKTOK_SHOP_CONFIG", config.to_str().unwrap()), &missing_default),
            (stage.command_without_a_fake(&format!("{command} --key-file none")), missing_named),
            (with(plain(), "TIKTOK_SHOP_KEY_FILE", "none"), missing_named),
            // A key file that a setting names must also exist if a fake is used.
            (with(stage.command(command), "TIKTOK_SHOP_KEY_FILE", "none"), missing_named),
            (with(plain(), "TIKTOK_SHOP_STORAGE", &server), unnamed),
        ] {
            assert_eq!(stage.error(refused, ""), (Some(3), expected.to_owned()), "{command}");
        }
    }
    assert!(!stage.home().join("named.sqlite").exists() && !stage.home().join("none").exists());
    assert!(!stage.data("host-keys").exists());

    // A key file in the data folder of one machine or container is not accepted for a server, because several machines
    // use the server.
    stage.run(stage.command_without_a_fake("keys init"), "");
    assert!(stage.data("host-keys").exists());
    let (status, line) = stage.error(with(stage.command_without_a_fake("sweep"), "TIKTOK_SHOP_STORAGE", &server), "");
    assert_eq!(status, Some(3));
    assert!(line.starts_with("host keys: with PostgreSQL, host keys must be named: "), "{line}");
}

#[test]
fn a_new_key_file_beside_an_existing_database_comes_with_a_note() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    fs::remove_file(stage.data("fake-host-keys")).unwrap();
    let Run { status, stderr, .. } = stage.run(stage.command("keys init"), "");
    let expected = format!(
        "note: {} exists already; this is right after migrate; but if it contains connections, the new host key can't \
         open them, so put their key file back instead\n",
        stage.data("fake-connections.sqlite").display()
    );
    assert_eq!((status, stderr), (Some(0), expected));
}

#[test]
fn a_missing_or_wrong_authorization_link_is_told_with_its_settings() {
    for (link, code) in [(None, "authorization-link-missing"), (Some("nolink"), "authorization-link-invalid")] {
        let stage = Stage::new();
        stage.run(stage.command_without_a_fake("keys init"), "");
        let mut command = stage.command_without_a_fake("authorization-url customer-7");
        command.env("TIKTOK_SHOP_APP_KEY", "6a1b2c3d4e5f6").env("TIKTOK_SHOP_APP_SECRET", "a-secret-of-this-test");
        if let Some(link) = link {
            command.env("TIKTOK_SHOP_AUTHORIZATION_LINK", link);
        }
        let (status, line) = stage.error(command, "");
        assert_eq!(status, Some(12), "{line}");
        let next = "Next: put the link into TIKTOK_SHOP_AUTHORIZATION_LINK, or into the configuration file";
        assert!(line.contains(code) && line.contains(next), "{line}");
    }
}

#[test]
fn keys_init_makes_a_private_key_file_once() {
    let stage = Stage::new();
    let path = stage.data("host-keys");
    let init = |arguments: &str| stage.command_without_a_fake(&format!("keys init {arguments}"));
    let Run { status, stdout, stderr } = stage.run(init(""), "");
    assert_eq!((status, &*stderr), (Some(0), ""));
    let text = fs::read_to_string(&path).unwrap();
    let id = text.split_once(':').unwrap().0;
    assert!(stdout.starts_with(&format!("host key {id} is in the new file {}\n", path.display())), "{stdout}");
    assert!(!stdout.contains(text.trim().rsplit(':').next().unwrap()), "the key itself is not printed");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let exists = format!(
        "host keys: {}: the file exists already, and stays as it is; keys add appends a host key to it",
        path.display()
    );
    assert_eq!(stage.error(init(""), ""), (Some(1), exists));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    let elsewhere =
        "the host keys come from TIKTOK_SHOP_HOST_KEYS; unset it to make a key file, or keep the keys there";
    let refused = stage.error(with(init(""), "TIKTOK_SHOP_HOST_KEYS", &host_key("a")), "");
    assert_eq!(refused, (Some(2), elsewhere.to_owned()));

    let printed = stage.run(init("--key-file own-keys --json"), "").stdout;
    let printed: Value = serde_json::from_str(&printed).unwrap();
    let own = fs::read_to_string(stage.home().join("own-keys")).unwrap();
    assert_eq!(
        (&printed["host_key"], &printed["key_file"]),
        (&json!(own.split_once(':').unwrap().0), &json!("own-keys"))
    );
    stage.ok("keys init", "");
    assert!(fake_key_file(&stage).exists(), "a fake has a key file of its own");
}

#[test]
fn the_first_run_on_the_local_default_makes_a_key_and_says_loudly_what_to_back_up() {
    let stage = Stage::new();
    // Without an authorization link, no consent can begin, so the command sends nothing.
    let begin = || {
        let mut command = stage.command_without_a_fake("authorization-url customer-7");
        command.env("TIKTOK_SHOP_APP_KEY", "6a1b2c3d4e5f6").env("TIKTOK_SHOP_APP_SECRET", "a-secret-of-this-test");
        command
    };
    let first = stage.run(begin(), "");
    assert_eq!(first.status, Some(12));
    let key_file = stage.data("host-keys");
    let id = fs::read_to_string(&key_file).unwrap().split_once(':').unwrap().0.to_owned();
    let warning = format!(
        "warning: created the host key {id} in {}; BACK THIS FILE UP NOW, apart from the database: without it, every \
         connection is lost and every seller must consent again\n",
        key_file.display()
    );
    assert!(first.stderr.starts_with(&warning), "{}", first.stderr);
    let second = stage.run(begin(), "");
    assert!(!second.stderr.contains("warning"), "{}", second.stderr);
}

#[test]
fn a_lost_key_file_is_not_replaced_and_connections_can_be_listed_and_ended_without_it() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    stage.connect("customer-8", "several-regions");
    let path = fake_key_file(&stage);
    let text = fs::read_to_string(&path).unwrap();
    let id = text.split_once(':').unwrap().0;
    fs::remove_file(&path).unwrap();
    stage.fake.clear_requests();
    for command in ["authorization-url customer-9", "refresh customer-7 --force", "sweep", "keys rotate --wait 0"] {
        let (status, line) = stage.error(stage.command(command), "");
        let expected = format!(
            "storage-failed: key-unavailable: {}: there is no such file, but the stored data keys need host key {id}; no \
             new key is made, because it would open none of them. Next: ",
            path.display()
        );
        assert!(status == Some(16) && line.starts_with(&expected), "{command}: {status:?} {line}");
    }
    assert!(!path.exists());

    let listed = stage.json("list-connections customer-7", "");
    assert_eq!((&listed[0]["status"], &listed[0]["shops"][0]["cipher"]), (&json!("active"), &json!("none")));
    assert!(!stage.json("events --all", "").is_empty());
    let Run { status, stdout, stderr } = stage.run(stage.command("keys status"), "");
    assert_eq!(status, Some(3), "{stderr}");
    assert!(stdout.contains(&format!("{id}  1          4        missing\n")), "{stdout}");
    let advice =
        format!("\n\nhost key {id} is missing; put it into the key file or the environment to open its 1 data key\n");
    assert!(stdout.ends_with(&advice), "{stdout}");
    let Run { stdout, .. } = stage.run(stage.command("keys status --json"), "");
    let shown: Value = serde_json::from_str(stdout.lines().next().unwrap()).unwrap();
    let expected = (&json!(null), &json!(null), &json!([id]));
    assert_eq!((&shown["current"], &shown["rotation_needed"], &shown["missing"]), expected, "{shown}");
    let host_key = json!({ "host_key": id, "data_keys": 1, "records": 4, "here": false });
    assert_eq!((&shown["host_keys"], &shown["keys"][0]["records"]), (&json!([host_key]), &json!(4)), "{shown}");

    assert_eq!(stage.ok("disconnect customer-7", ""), "customer-7 is disconnected\n");
    let (status, _) = stage.error(stage.command("disconnect customer-8 --revoke"), "");
    assert_eq!(status, Some(16), "a revocation needs the cipher of the shop");
    assert_eq!(stage.fake.requests(), []);
    write(path, text, 0o600);
    assert_eq!(stage.ok("list-connections customer-7", ""), "");
    stage.ok("refresh customer-8 --force", "");
}

#[test]
fn a_host_key_that_opens_no_stored_data_key_is_an_error_before_any_call() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    let text = fs::read_to_string(fake_key_file(&stage)).unwrap();
    let right = text.split_once(':').unwrap().0;
    stage.fake.clear_requests();
    let other_tenant = stage.fake.apps()[1].app_key.clone();
    let wrong_key = format!("{right}:{:064x}", 7);
    let missing = format!("key-unavailable({right}): no host key of that name is here");
    let mismatch = format!("key-unavailable({right}): the host key of that name does not unwrap this data key");
    for (keys, here, why) in [(host_key("other"), "other", missing), (wrong_key, right, mismatch)] {
        for command in [
            "authorization-url customer-8",
            &format!("authorization-url customer-8 --tenant {other_tenant}"),
            "list-shops customer-7",
            "refresh customer-7 --force",
            "sweep",
            "keys rotate --wait 0",
        ] {
            let (status, line) = stage.error(with(stage.command(command), "TIKTOK_SHOP_HOST_KEYS", &keys), "");
            let expected = format!(
                "storage-failed: key-unavailable: none of the host keys here ({here}) opens a stored data key: {why}; \
                 nothing was sent or changed. Next: "
            );
            assert!(status == Some(16) && line.starts_with(&expected), "{command}: {status:?} {line}");
        }
    }
    assert_eq!(stage.fake.requests(), []);
}

#[test]
fn if_some_host_keys_are_missing_the_command_goes_on_and_says_so() {
    let stage = Stage::new();
    let (keys, tenant) = (format!("{},{}", host_key("newer"), host_key("old")), stage.fake.apps()[1].app_key.clone());
    let keyed = |arguments: &str, keys: &str| with(stage.command(arguments), "TIKTOK_SHOP_HOST_KEYS", keys);
    for (arguments, keys) in [("", &host_key("old")), (&*format!("--tenant {tenant}"), &keys)] {
        let begin = format!("authorization-url customer-7 --consent-as one-shop {arguments}");
        let callback = run(keyed(&begin, keys), "").stdout;
        let connected = run(keyed(&format!("connect {arguments}"), keys), &callback);
        assert_eq!((connected.status, &*connected.stderr), (Some(0), ""));
    }
    let swept = stage.run(keyed("sweep", &host_key("newer")), "");
    let note = "note: some stored data keys can't be opened: key-unavailable(old): no host key of that name is here; keys \
                status shows which records need them\n";
    assert_eq!((swept.status, &*swept.stderr), (Some(0), note));
    assert_eq!(stage.run(keyed("sweep", &keys), "").stderr, "");
}

#[test]
fn an_unknown_tenant_is_an_error_with_a_fake_as_with_tiktok_shop() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    stage.fake.clear_requests();
    let apps: Vec<_> = stage.fake.apps().into_iter().map(|app| app.app_key).collect();
    for command in [
        "authorization-url customer-7",
        "refresh customer-7",
        "list-connections customer-7",
        "list-shops customer-7",
        "disconnect customer-7",
        "events",
        "webhook --authorization 00",
    ] {
        for unknown in [
            stage.command(&format!("{command} --tenant defualt")),
            with(stage.command(command), "TIKTOK_SHOP_TENANT", "defualt"),
        ] {
            let (status, line) = stage.error(unknown, "");
            let expected =
                "tenant defualt is unknown: it has no app, and nothing is stored of it; apps are configured for ";
            assert!(status == Some(2) && line.starts_with(expected), "{command}: {line}");
            assert!(
                apps.iter().all(|app| line.contains(app)) && line.contains(", default; correct --tenant"),
                "{line}"
            );
        }
    }
    assert_eq!(stage.fake.requests(), []);

    // A tenant may have the name of an app of the fake. Such a tenant uses this app.
    let second = stage.fake.apps().remove(1);
    let link = stage.link(&format!("customer-7 --tenant {}", second.app_key));
    assert!(link.contains(&format!("service_id={}&", second.service_id)), "{link}");

    // The app in the environment belongs to the tenant that the environment names.
    let config = write(stage.home().join("none.toml"), "", 0o600);
    let mut elsewhere = stage.command("refresh customer-7 --tenant acne");
    elsewhere.env("TIKTOK_SHOP_TENANT", "acme").env("TIKTOK_SHOP_CONFIG", &config);
    elsewhere.env("TIKTOK_SHOP_APP_KEY", stage.app().app_key).env("TIKTOK_SHOP_APP_SECRET", stage.app().app_secret);
    let (status, line) = stage.error(elsewhere, "");
    assert!(status == Some(2) && line.starts_with("tenant acne is unknown: ") && line.contains("acme"), "{line}");
}

#[test]
fn without_a_fake_a_tenant_that_is_forgotten_is_an_error_if_others_are_configured() {
    let stage = Stage::new();
    let tenants: String =
        (1..=7).map(|number| format!("[tenants.t{number}]\napp-key = \"k\"\napp-secret = \"s\"\n")).collect();
    let config = write(stage.home().join("config.toml"), tenants, 0o600);
    let listed = format!("list-connections customer-7 --config {}", config.display());
    assert_eq!(stage.run(stage.command_without_a_fake("migrate"), "").status, Some(0));
    let expected = format!(
        "tenant default is unknown: it has no app, and nothing is stored of it; apps are configured for t1, t2, t3, t4, t5 \
         and 2 others; correct --tenant or TIKTOK_SHOP_TENANT, or put the app into tenants.default of the configuration \
         file {}",
        config.display()
    );
    assert_eq!(stage.error(stage.command_without_a_fake(&listed), ""), (Some(2), expected));
    let Run { status, stderr, .. } = stage.run(stage.command_without_a_fake(&format!("{listed} --tenant t7")), "");
    assert_eq!(status, Some(0), "{stderr}");
}

#[test]
fn a_command_that_works_with_all_tenants_has_no_option_for_a_tenant() {
    let stage = Stage::new();
    for command in ["sweep", "keys status", "keys rotate", "keys retire k", "keys init", "contract memory:"] {
        let (status, line) = stage.error(stage.command(&format!("{command} --tenant us")), "");
        assert!(status == Some(2) && line.starts_with("unknown option --tenant"), "{command}: {line}");
    }
    // A user could believe that TIKTOK_SHOP_TENANT limits such a command to one tenant. So the command refuses to run.
    stage.ok("migrate", "");
    for command in ["sweep", "keys status", "keys add", "keys promote k", "keys rotate", "keys retire k"] {
        let refused = stage.error(with(stage.command(command), "TIKTOK_SHOP_TENANT", "us"), "");
        let why = "TIKTOK_SHOP_TENANT names tenant us, but this command works with all tenants; unset the variable";
        assert_eq!(refused, (Some(2), why.to_owned()), "{command}");
    }
    // A container that contains the app of one tenant has the variable for all its commands.
    let app = stage.app();
    let mut sweep = with(stage.command("sweep"), "TIKTOK_SHOP_TENANT", "us");
    sweep.env("TIKTOK_SHOP_APP_KEY", app.app_key).env("TIKTOK_SHOP_APP_SECRET", app.app_secret);
    let Run { status, stderr, .. } = stage.run(sweep, "");
    let note = "note: this command works with all tenants; TIKTOK_SHOP_TENANT only says that the app of \
                TIKTOK_SHOP_APP_KEY belongs to tenant us\n";
    assert!(status == Some(0) && stderr.starts_with(note), "{stderr}");
}

#[test]
fn line_breaks_and_blanks_at_the_ends_of_configured_values_are_trimmed() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    let app = stage.app();
    let keys = format!(" {}\n", fs::read_to_string(fake_key_file(&stage)).unwrap());
    let mut spaced = stage.command("refresh customer-7 --force");
    spaced
        .env("TIKTOK_SHOP_APP_KEY", format!(" {}\r\n", app.app_key))
        .env("TIKTOK_SHOP_APP_SECRET", format!("{}\n", app.app_secret))
        .env("TIKTOK_SHOP_STORAGE", format!("sqlite:{}\n", stage.data("fake-connections.sqlite").display()))
        .env("TIKTOK_SHOP_HOST_KEYS", keys)
        .env("TIKTOK_SHOP_TENANT", "default\n")
        .env("TIKTOK_SHOP_FAKE", format!(" http://{} ", stage.fake.address()))
        .env("TIKTOK_SHOP_ACTOR", "ana\n");
    let Run { status, stderr, .. } = stage.run(spaced, "");
    assert_eq!(status, Some(0), "{stderr}");
    assert_eq!(stage.json("events --all", "").pop().unwrap()["actor"], "ana");
    let mut in_file = stage.command("refresh customer-7 --force --tenant default --reason case-1 --config");
    let text = format!("[tenants.default]\napp-key = \"{} \"\napp-secret = \"{}\\n\"\n", app.app_key, app.app_secret);
    in_file.arg(write(stage.home().join("config.toml"), text, 0o600));
    assert_eq!(stage.run(in_file, "").status, Some(0));

    let link = "https://services.tiktokshop.com/open/authorize?service_id=7480000000000000001";
    let mut begun = stage.command("authorization-url customer-8");
    begun.env("TIKTOK_SHOP_APP_KEY", &app.app_key).env("TIKTOK_SHOP_APP_SECRET", &app.app_secret);
    begun.env("TIKTOK_SHOP_AUTHORIZATION_LINK", format!("{link}\n"));
    let printed = run(begun, "");
    assert!(printed.stdout.starts_with(&format!("{link}&state=")), "{}{}", printed.stdout, printed.stderr);
}

#[test]
fn an_invisible_character_in_a_configured_value_is_named_and_the_value_is_not_shown() {
    let stage = Stage::new();
    for (name, value, expected) in [
        ("TIKTOK_SHOP_APP_SECRET", "CAN\nARY", "contains a line break (U+000A) as character 4; remove it"),
        ("TIKTOK_SHOP_APP_SECRET", "CAN ARY", "contains a space (U+0020) as character 4; remove it"),
        ("TIKTOK_SHOP_APP_SECRET", "\u{feff}CANARY", "contains a byte order mark (U+FEFF) as character 1; remove it"),
        ("TIKTOK_SHOP_APP_KEY", "CANARY\u{200b}", "contains a zero-width space (U+200B) as character 7; remove it"),
        (
            "TIKTOK_SHOP_PREVIOUS_APP_SECRET",
            "CANARÝ",
            "contains a character that is not ASCII as character 6; copy the value again",
        ),
        ("TIKTOK_SHOP_STORAGE", "sqlite:CAN\nARY", "contains a line break (U+000A) as character 11; remove it"),
        ("TIKTOK_SHOP_CONTRACT_STORAGE", "sqlite:CAN\tARY", "contains a tab (U+0009) as character 11; remove it"),
        ("TIKTOK_SHOP_HOST_KEYS", "a:\u{a0}CANARY", "contains a no-break space (U+00A0) as character 3; remove it"),
        ("TIKTOK_SHOP_TENANT", "CAN\u{200d}ARY", "contains a zero-width joiner (U+200D) as character 4; remove it"),
        ("TIKTOK_SHOP_KEY_FILE", "/CAN\nARY", "contains a line break (U+000A) as character 5; remove it"),
    ] {
        for command in ["list-connections customer-7", "sweep"] {
            let refused = stage.error(with(stage.command(command), name, value), "");
            assert_eq!(refused, (Some(2), format!("{name}: {expected}")), "{command}");
        }
    }
    let mut argument = stage.command("events --tenant");
    argument.arg("CAN\u{200b}ARY");
    let expected = "--tenant <ID>: contains a zero-width space (U+200B) as character 4; remove it; see --help";
    assert_eq!(stage.error(argument, ""), (Some(2), expected.to_owned()));
    let text = "[tenants.default]\napp-key = \"k\"\napp-secret = \"CAN\\u00a0ARY\"\n";
    let config = write(stage.home().join("config.toml"), text, 0o600);
    let expected = format!(
        "configuration {}: tenants.default.app-secret: contains a no-break space (U+00A0) as character 4; remove it",
        config.display()
    );
    let refused = stage.command(&format!("sweep --config {}", config.display()));
    assert_eq!(stage.error(refused, ""), (Some(2), expected));
}

#[test]
fn a_mounted_file_that_a_group_can_read_is_accepted_only_by_choice() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    let keys = write(stage.home().join("keys"), fs::read(fake_key_file(&stage)).unwrap(), 0o440);
    let config = write(stage.home().join("config.toml"), format!("key-file = \"{}\"\n", keys.display()), 0o440);
    let by_option = format!("list-shops customer-7 --key-file {}", keys.display());
    let shows_cipher = |command: Command| {
        let Run { status, stdout, stderr } = stage.run(command, "");
        assert_eq!(status, Some(0), "{stderr}");
        assert!(stdout.trim_end().ends_with("present"), "{stdout}");
    };
    let refusal = |mode: &str| {
        format!(
            "{}: other users can read or write it (mode {mode}); make it private with chmod 600; if a container mounts \
             it as a secret, see --file-access",
            keys.display()
        )
    };
    assert_eq!(stage.error(stage.command(&by_option), ""), (Some(3), format!("host keys: {}", refusal("440"))));
    for access in ["group", "mounted"] {
        shows_cipher(stage.command(&format!("{by_option} --file-access {access}")));
        shows_cipher(with(stage.command(&by_option), "TIKTOK_SHOP_FILE_ACCESS", access));
        // `--file-access` also applies to the configuration file.
        let by_file = format!("list-shops customer-7 --config {} --file-access {access}", config.display());
        shows_cipher(stage.command(&by_file));
    }
    // The member `file-access` of the configuration file applies to the key file, but not to the configuration file
    // itself.
    let choice = format!("file-access = \"group\"\n{}", fs::read_to_string(&config).unwrap());
    let chosen = write(stage.home().join("chosen.toml"), choice, 0o600);
    shows_cipher(stage.command(&format!("list-shops customer-7 --config {}", chosen.display())));
    fs::set_permissions(&chosen, Permissions::from_mode(0o440)).unwrap();
    let (status, line) =
        stage.error(stage.command(&format!("list-shops customer-7 --config {}", chosen.display())), "");
    assert!(status == Some(3) && line.ends_with("see --file-access"), "{line}");

    fs::set_permissions(&keys, Permissions::from_mode(0o444)).unwrap();
    for (access, why) in [
        ("group", "every user can read it, and access by group does not allow that; "),
        ("mounted", "every user can read it, and it is not on a read-only mount; "),
    ] {
        let (status, line) = stage.error(stage.command(&format!("{by_option} --file-access {access}")), "");
        let expected = format!("host keys: {}: {why}", keys.display());
        assert!(status == Some(3) && line.starts_with(&expected) && line.ends_with("(mode 444)"), "{line}");
    }
    let wrong = stage.error(stage.command(&format!("{by_option} --file-access all")), "");
    assert_eq!(wrong, (Some(2), "--file-access <WHO>: not one of owner, group, mounted; see --help".to_owned()));
}

/// Finishes the consent without the stage's own commands, so that the test can set the variables of each command.
#[test]
fn a_secret_with_a_line_break_does_not_make_webhooks_forged() {
    let stage = Stage::new();
    let callback = stage.decide(&stage.link("customer-7"), "one-shop", Decision::Allow);
    let app = stage.app();
    let spaced = |arguments: &str| {
        let mut command = stage.command(arguments);
        command.env("TIKTOK_SHOP_APP_KEY", &app.app_key).env("TIKTOK_SHOP_APP_SECRET", format!("{}\n", app.app_secret));
        command
    };
    assert_eq!(stage.run(spaced("connect"), &callback).status, Some(0));
    let body = r#"{"type":1,"tts_notification_id":"1","shop_id":"1","timestamp":1767225600,"data":{}}"#;
    let signed = stage.fake.webhook_signature(&app.service_id, body.as_bytes()).unwrap();
    let answer = stage.run(spaced(&format!("webhook --authorization {signed}")), body).stdout;
    assert!(answer.starts_with("answer 200: handled\n"), "{answer}");
    assert!(Path::new(&fake_key_file(&stage)).exists());
}
