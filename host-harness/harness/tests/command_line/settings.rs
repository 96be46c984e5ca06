//! Tests the settings: options win over environment variables, and variables win over the configuration file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use fake_tiktok_shop::Decision;
use serde_json::json;

use crate::schema::new_schema;
use crate::stage::Stage;
use crate::{Run, command, run};

/// Writes the private configuration file of the stage's user.
pub(crate) fn write_config(stage: &Stage, text: &str) -> PathBuf {
    let path = stage.home().join(".config/tiktok-shop-harness/config.toml");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

pub(crate) fn with(mut command: Command, variables: &[(&str, &str)]) -> Command {
    command.envs(variables.iter().copied());
    command
}

#[test]
fn files_that_are_created_on_first_use_are_private_and_a_note_names_the_key_file() {
    let stage = Stage::new();
    let Run { stderr, .. } = run(stage.command("authorization-url customer-7"), "");
    let path = stage.data("fake-host-keys");
    assert_eq!(stderr, format!("note: created a host key for fakes in {}\n", path.display()));
    assert_eq!(run(stage.command("authorization-url customer-7"), "").stderr, "");
    for name in ["fake-host-keys", "browser-session", "fake-connections.sqlite"] {
        assert_eq!(fs::metadata(stage.data(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    assert_eq!(fs::metadata(stage.data("")).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(!stage.data("connections.sqlite").exists(), "a fake has its own database");
}

#[test]
fn an_option_wins_over_a_variable_and_a_variable_wins_over_the_file() {
    let stage = Stage::new();
    let path = |name: &str| stage.home().join(format!("{name}.sqlite"));
    let address = |name: &str| format!("sqlite:{}", path(name).display());
    // Relative paths in the configuration file start at the folder of that file.
    let config = write_config(&stage, "storage = \"sqlite:file.sqlite\"\nkey-file = \"keys-of-file\"\n");
    let folder = config.parent().unwrap();
    stage.ok("keys init", "");
    stage.ok("migrate", "");
    stage.ok("events", "");
    assert!(folder.join("file.sqlite").exists() && folder.join("keys-of-file").exists());

    let variable = [("TIKTOK_SHOP_STORAGE", &*address("variable"))];
    stage.run(with(stage.command("migrate"), &variable), "");
    assert!(path("variable").exists() && !path("argument").exists());
    let argument = format!("migrate --storage {}", address("argument"));
    stage.run(with(stage.command(&argument), &variable), "");
    assert!(path("argument").exists());
    let variable = [("TIKTOK_SHOP_KEY_FILE", "keys-of-variable")];
    stage.run(with(stage.command("keys init"), &variable), "");
    assert!(stage.home().join("keys-of-variable").exists());
    stage.run(with(stage.command("keys init --key-file keys-of-argument"), &variable), "");
    assert!(stage.home().join("keys-of-argument").exists());

    let elsewhere = stage.home().join("other.toml");
    fs::copy(&config, &elsewhere).unwrap();
    stage.run(with(stage.command("migrate"), &[("TIKTOK_SHOP_CONFIG", elsewhere.to_str().unwrap())]), "");
    assert!(path("file").exists());
}

#[test]
fn each_member_of_an_app_comes_from_a_variable_or_from_the_file() {
    let stage = Stage::new();
    let app = stage.fake.apps().remove(1);
    let link = format!("https://services.tiktokshop.com/open/authorize?service_id={}", app.service_id);
    let members = format!("app-key = \"{}\"\napp-secret = \"{}\"\n", app.app_key, app.app_secret);
    write_config(&stage, &format!("[tenants.harbour]\n{members}authorization-link = \"{link}\"\n"));
    // The default tenant has no app in the file, so it uses the fake's first app.
    assert!(stage.link("customer-7").contains("service_id=7480000000000000001&"));
    assert!(stage.link("customer-7 --tenant harbour").starts_with(&link));
    let callback = |link: &str| {
        let state = link.split_once("&state=").unwrap().1;
        stage.fake.consent(&app.service_id, "one-shop", Some(state), Decision::Allow).unwrap()
    };
    let connected = stage.json("connect --tenant harbour", &callback(&stage.link("customer-7 --tenant harbour")));
    assert_eq!(connected[0]["customer"], "customer-7");
    assert_eq!(
        stage.json("list-connections customer-7", ""),
        [json!(null); 0],
        "the default tenant does not see the connection"
    );

    let secret = [("TIKTOK_SHOP_APP_SECRET", "a-secret-that-is-none-of-the-apps")];
    let wrong = with(stage.command("refresh customer-7 --force --tenant harbour"), &secret);
    let (status, line) = stage.error(wrong, "");
    assert_eq!(status, Some(2), "{line}");
    let told = line.starts_with("TIKTOK_SHOP_APP_SECRET: the configured app ")
        && line.contains(" has another secret at the fake ");
    assert!(told && !line.contains(secret[0].1), "{line}");

    let incomplete =
        "tenant default: no app-key; set TIKTOK_SHOP_APP_KEY, or tenants.default.app-key in the configuration file";
    let (status, line) = stage.error(with(stage.command("events"), &secret), "");
    assert_eq!((status, &*line), (Some(2), incomplete));

    // A sweep uses the apps of all tenants.
    stage.connect("customer-8", "several-regions");
    stage.advance(7 * 86_400 - 3_600);
    let swept = stage.json("sweep", "");
    let tenants: Vec<_> = swept.iter().map(|line| line["tenant"].as_str().unwrap_or("all")).collect();
    assert!(tenants.contains(&"harbour") && tenants.contains(&"default") && tenants.ends_with(&["all"]), "{swept:?}");
    assert_eq!(
        swept[2],
        json!({
            "refreshed": 2, "ended": 0, "no_longer_due": 0, "held": 0, "backing_off": 0, "unusable": 0, "failed": 0,
            "notices": 0, "stopped": false, "left": 0,
        })
    );
}

#[test]
fn a_fake_gets_no_secret_that_it_has_not_shown() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    stage.fake.clear_requests();
    let key = stage.app().app_key;
    let secret = "a-secret-of-a-real-app";
    let of_variables = |app_key| [("TIKTOK_SHOP_APP_KEY", app_key), ("TIKTOK_SHOP_APP_SECRET", secret)];
    let advice = |next: &str| {
        format!(", and its secret is not sent to a fake; {next}, or use neither --fake nor TIKTOK_SHOP_FAKE")
    };
    let of_variables_advice = advice("unset TIKTOK_SHOP_APP_KEY and TIKTOK_SHOP_APP_SECRET");
    let address = stage.fake.address();
    let unknown = format!("TIKTOK_SHOP_APP_KEY: the configured app is not an app of the fake at {address}");
    let other = format!("the configured app {key} has another secret at the fake at {address}");
    let other_secret = format!("TIKTOK_SHOP_APP_SECRET: {other}");
    // The first configured app is unknown to the fake. The second one is the fake's app, but with another secret.
    for (app_key, what) in [("6realapp00001", &unknown), (&key, &other_secret)] {
        for command in ["refresh customer-7 --force", "authorization-url customer-8", "call customer-7 GET /a/202309/b"]
        {
            let refused = stage.error(with(stage.command(command), &of_variables(app_key)), "");
            assert_eq!(refused, (Some(2), format!("{what}{of_variables_advice}")), "{command}");
        }
    }
    // A sweep would use the app of every tenant.
    let path = write_config(&stage, &format!("[tenants.acme]\napp-key = \"{key}\"\napp-secret = \"{secret}\"\n"));
    let of_file_advice = advice("copy the app from the fake's page, or name another configuration file with --config");
    let expected = format!("configuration {}: tenants.acme.app-secret: {other}{of_file_advice}", path.display());
    assert_eq!(stage.error(stage.command("sweep"), ""), (Some(2), expected));
    assert_eq!(stage.fake.requests(), []);
}

#[test]
fn a_database_belongs_to_a_fake_or_to_tiktok_shop() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    stage.fake.clear_requests();
    // Without a fake, a command that names its database must also name its host keys.
    let keys = format!("--key-file {}", stage.data("fake-host-keys").display());
    let without_a_fake = |arguments: &str| stage.command_without_a_fake(&format!("{arguments} {keys}"));
    let real = format!("--storage sqlite:{}", stage.home().join("real.sqlite").display());
    let migrate = stage.command_without_a_fake(&format!("migrate {real}"));
    assert_eq!(stage.run(migrate, "").status, Some(0));
    assert_eq!(stage.run(without_a_fake(&format!("events {real}")), "").status, Some(0));
    let of_fake = format!("--storage sqlite:{}", stage.data("fake-connections.sqlite").display());
    for command in ["refresh customer-7 --force", "list-connections customer-7", "sweep", "events", "keys status"] {
        let expected = "storage: this database belongs to TikTok Shop, so a fake must not get its tokens; name another \
                        database with --storage, or use neither --fake nor TIKTOK_SHOP_FAKE";
        let refused = stage.error(stage.command(&format!("{command} {real}")), "");
        assert_eq!(refused, (Some(3), expected.to_owned()), "{command}");
        let expected = "storage: this database belongs to a fake; name another database with --storage, or name the fake \
                        with --fake";
        let refused = stage.error(without_a_fake(&format!("{command} {of_fake}")), "");
        assert_eq!(refused, (Some(3), expected.to_owned()), "{command}");
    }
    assert_eq!(stage.fake.requests(), []);
    stage.ok("refresh customer-7 --force", "");
}

#[test]
fn the_older_form_of_the_consent_link_works_with_a_fake() {
    let stage = Stage::new();
    let key = stage.app().app_key;
    let link = format!("https://auth.tiktok-shops.com/oauth/authorize?app_key={key}");
    let secret = stage.app().app_secret;
    let members = format!("app-key = \"{key}\"\napp-secret = \"{secret}\"\nauthorization-link = \"{link}\"\n");
    write_config(&stage, &format!("[tenants.default]\n{members}"));
    let begun = run(stage.command("authorization-url customer-7"), "").stdout;
    assert!(begun.starts_with(&link), "{begun}");
    assert!(begun.contains(&format!("http://{}/oauth/authorize?app_key={key}", stage.fake.address())), "{begun}");
    let callback = run(stage.command("authorization-url customer-7 --consent-as one-shop"), "").stdout;
    assert_eq!(stage.json("connect", &callback)[0]["customer"], "customer-7");
}

#[test]
fn without_an_app_and_without_a_fake_the_error_says_where_to_name_the_app() {
    let stage = Stage::new();
    let file = stage.home().join(".config/tiktok-shop-harness/config.toml");
    let no_app = format!(
        "tenant default has no app; set TIKTOK_SHOP_APP_KEY and TIKTOK_SHOP_APP_SECRET, or put the app into \
         tenants.default of the configuration file {}",
        file.display()
    );
    let unknown = format!(
        "tenant typo is unknown: it has no app, and nothing is stored of it; correct --tenant or TIKTOK_SHOP_TENANT, or \
         put the app into tenants.typo of the configuration file {}",
        file.display()
    );
    for (arguments, input, expected) in [
        ("authorization-url customer-7", "", &no_app),
        ("import -", "customer,refresh_token,account\nc,R,a\n", &no_app),
        ("connect --app-store customer-7", "code=c", &no_app),
        ("authorization-url customer-7 --tenant typo", "", &unknown),
        ("import - --tenant typo", "customer,refresh_token,account\nc,R,a\n", &unknown),
    ] {
        let (status, line) = stage.error(stage.command_without_a_fake(arguments), input);
        assert_eq!((status, line.as_str()), (Some(2), expected.as_str()), "{arguments}");
        // A mistake must not leave a database and a host key behind.
        assert!(!stage.data("connections.sqlite").exists() && !stage.data("host-keys").exists(), "{arguments}");
    }
}

#[test]
fn the_address_of_postgresql_comes_from_a_variable() {
    let Some(address) = tiktok_shop_test_postgres::test_postgres() else { return };
    let stage = Stage::new();
    // A database belongs to one environment, and other tests use this database without a fake. So this test uses a
    // schema of its own.
    let address = new_schema(&address);
    let tenant = stage.app().app_key;
    let with = |arguments: &str, input: &str| {
        let variables = [("TIKTOK_SHOP_STORAGE", &*address), ("TIKTOK_SHOP_TENANT", &*tenant)];
        let Run { status, stdout, stderr } = run(with(stage.command(arguments), &variables), input);
        assert_eq!(status, Some(0), "{arguments}: {stderr}");
        stdout
    };
    assert_eq!(with("migrate", ""), "created the tables, schema version 12\n");
    let callback = with("authorization-url customer-7 --consent-as one-shop", "");
    assert!(with("connect", &callback).starts_with("customer-7: Teapot Corner (GB), active\n"));
    with("refresh customer-7 --force", "");
    // The three events are the connection, its shop, and the forced refresh. Below, `keys erase` counts four other
    // entries: these events, and the state of the consent.
    assert_eq!(with("events", "").lines().count(), 3);
    let erased = with(&format!("keys erase --tenant {tenant} --yes"), "");
    let first = format!("tenant {tenant}: erased 1 data key, 1 connection and 4 other entries\n");
    assert!(erased.starts_with(&first), "{erased}");
    assert!(!stage.data("fake-connections.sqlite").exists());
}

#[test]
fn an_event_names_the_actor_of_the_option_or_the_variable_or_else_the_user_of_the_machine() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    let origin = |options: &[&str], variables: &[(&str, &str)]| {
        let mut command = stage.with(&[["access-token", "customer-7"].as_slice(), options].concat());
        for name in ["TIKTOK_SHOP_ACTOR", "USER", "LOGNAME", "USERNAME"] {
            command.env_remove(name);
        }
        let Run { status, stderr, .. } = stage.run(with(command, variables), "");
        assert_eq!(status, Some(0), "{stderr}");
        let event = stage.json("events --all", "").pop().unwrap();
        assert_eq!((&event["event"], &event["cause"]), (&json!("token-shown"), &json!("access-token")));
        (event["actor"].clone(), event["stated_reason"].clone())
    };
    let variable = ("TIKTOK_SHOP_ACTOR", "ben");
    let all = [variable, ("USER", "chris"), ("LOGNAME", "dana")];
    let reason = ["--reason", "support case 4711"];
    assert_eq!(origin(&["--actor", "ana"], &all), (json!("ana"), json!(null)));
    assert_eq!(origin(&reason, &all), (json!("ben"), json!("support case 4711")));
    assert_eq!(origin(&[], &all[1..]), (json!("chris"), json!(null)));
    assert_eq!(origin(&[], &all[2..]), (json!("dana"), json!(null)));
    assert_eq!(origin(&[], &[("USER", "\u{202e}chris"), ("USERNAME", "erin")]), (json!("erin"), json!(null)));
    let mut id = command("id");
    id.arg("-u");
    let id = format!("uid:{}", run(id, "").stdout.trim());
    assert_eq!(origin(&[], &[]), (json!(id), json!(null)), "as in a container or in a job of cron");
}

#[test]
fn memory_storage_keeps_nothing_and_a_note_says_so() {
    let stage = Stage::new();
    let Run { status, stdout, stderr } = stage.run(stage.command("events --storage memory:"), "");
    assert_eq!((status, &*stdout), (Some(0), ""));
    assert!(
        stderr.ends_with("note: storage memory: everything is in memory, and ends with this command\n"),
        "{stderr}"
    );
}

#[test]
fn verbose_shows_the_log_which_contains_no_secret() {
    let stage = Stage::new();
    let callback = stage.decide(&stage.link("customer-7"), "one-shop", Decision::Allow);
    let Run { status, stderr, .. } = stage.run(stage.command("connect --verbose"), callback);
    assert_eq!(status, Some(0));
    assert!(stderr.contains(" INFO call{operation=\"connect\" ") && stderr.contains("outcome=\"done\""), "{stderr}");
    assert!(stderr.contains("DEBUG") && stderr.contains("host=\"auth.tiktok-shops.com\""), "{stderr}");
}
