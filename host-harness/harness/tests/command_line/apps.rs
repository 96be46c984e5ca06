//! Tests of the program for a tenant with two apps in the configuration file: one for the rest of the world, and one for
//! the US.

use std::path::Path;

use fake_tiktok_shop::{App, Decision, Market};
use serde_json::{Value, json};

use crate::settings::{with, write_config};
use crate::stage::Stage;
use crate::{PROGRAM, Run, command};

/// A seller with shops in several regions. One of them is in the US.
const SELLER: &str = "cross-border";
const US_SHOP: &str = "7490000000000000006";
const BRITISH_SHOP: &str = "7490000000000000005";

/// The app for the rest of the world and the app for the US.
fn both(stage: &Stage) -> (App, App) {
    let apps = stage.fake.apps();
    (apps[0].clone(), apps[2].clone())
}

fn listed(apps: &[&App]) -> String {
    let app = |app: &&App| {
        format!(
            "[[tenants.default.apps]]\napp-key = \"{}\"\napp-secret = \"{}\"\nauthorization-link = \"{}\"\n",
            app.app_key,
            app.app_secret,
            app.authorization_link()
        )
    };
    apps.iter().map(app).collect()
}

/// Returns a stage whose configuration file lists two apps for the tenant `default`.
fn stage_of_two_markets() -> Stage {
    let stage = Stage::new();
    stage.fake.update_app(&stage.app().service_id, |app| app.market = Market::OutsideUs).unwrap();
    let (global, us) = both(&stage);
    write_config(&stage, &listed(&[&global, &us]));
    stage
}

/// Connects customer-7 under an app, and returns the connection.
fn connect(stage: &Stage, app: &App) -> Value {
    let link = stage.link(&format!("customer-7 --app {}", app.app_key));
    assert!(link.starts_with(&app.authorization_link()), "{}", app.app_key);
    let state = link.split_once("&state=").unwrap().1;
    let callback = stage.fake.consent(&app.service_id, SELLER, Some(state), Decision::Allow).unwrap();
    stage.json("connect", &callback).remove(0)
}

#[test]
fn a_customer_is_connected_under_two_apps_of_the_configuration_file() {
    let stage = stage_of_two_markets();
    let (global, us) = both(&stage);
    let first = connect(&stage, &global);
    let second = connect(&stage, &us);
    assert_eq!((&first["app"], &second["app"]), (&json!(global.app_key), &json!(us.app_key)));
    assert_ne!(first["account"], second["account"]);

    let connections = stage.json("list-connections customer-7", "");
    let mut apps: Vec<_> = connections.iter().map(|connection| connection["app"].as_str().unwrap()).collect();
    apps.sort_unstable();
    assert_eq!(apps, [&global.app_key, &us.app_key]);
    let text = stage.ok("list-connections customer-7", "");
    for app in [&global, &us] {
        assert!(text.contains(&format!("    app     {}\n", app.app_key)), "{text}");
    }

    let shops = stage.json("list-shops customer-7", "");
    let app_of = |id: &str| shops.iter().find(|shop| shop["id"] == id).unwrap()["app"].clone();
    assert_eq!((shops.len(), app_of(BRITISH_SHOP), app_of(US_SHOP)), (5, json!(global.app_key), json!(us.app_key)));
    let table = stage.ok("list-shops customer-7", "");
    let row = table.lines().find(|line| line.starts_with(US_SHOP)).unwrap();
    assert!(row.contains(&us.app_key), "{row}");

    for shop in [BRITISH_SHOP, US_SHOP] {
        let call = format!("call customer-7 POST /order/202309/orders/search --shop {shop} --query page_size=1");
        assert_eq!(stage.json(&call, "{}")[0]["code"], "0", "{shop}");
    }

    // A webhook of each app reaches the connection under this app, with and without the name of the app.
    let body = format!(r#"{{"type":1,"shop_id":"{US_SHOP}","timestamp":{},"data":{{}}}}"#, stage.fake.now());
    let authorization = stage.fake.webhook_signature(&us.service_id, body.as_bytes()).unwrap();
    let accepted = stage.json(&format!("webhook --authorization {authorization}"), &body).remove(0);
    assert_eq!((&accepted["outcome"], &accepted["event"]["app"]), (&json!("handled"), &json!(us.app_key)));
    assert_eq!(accepted["event"]["owners"][0]["account"], second["account"]);
    let named = |app: &App| stage.command(&format!("webhook --authorization {authorization} --app {}", app.app_key));
    let repeated = stage.run(named(&us), &body);
    assert_eq!((repeated.status, &*repeated.stdout), (Some(0), "answer 200: repeated\n"));
    let forged = stage.run(named(&global), &body);
    assert_eq!((forged.status, &*forged.stdout), (Some(1), "answer 401: forged\n"));

    // Without the app for the US, its connection fails and the other one works.
    write_config(&stage, &listed(&[&global]));
    let account = second["account"].as_str().unwrap();
    let refresh = stage.command(&format!("refresh customer-7 --force --account {account}"));
    let (status, line) = stage.error(refresh, "");
    assert_eq!(status, Some(12), "{line}");
    assert!(line.starts_with("misconfigured: app-unknown: ") && line.contains(&global.app_key), "{line}");
    stage.ok(&format!("refresh customer-7 --force --account {}", first["account"].as_str().unwrap()), "");
}

#[test]
fn a_consent_that_grants_no_shop_is_told_in_a_note() {
    let stage = stage_of_two_markets();
    let (_, us) = both(&stage);
    let note = format!(
        "this consent grants no shop to app {}: the account has no shop, or its shops are in another market than the \
         app; for another market, begin a consent to the app of that market with authorization-url customer-7 --app \
         KEY; if the account gets a shop later, run refresh",
        us.app_key
    );
    let callback = || {
        let link = stage.link(&format!("customer-7 --app {}", us.app_key));
        let state = link.split_once("&state=").unwrap().1;
        stage.fake.consent(&us.service_id, "one-shop", Some(state), Decision::Allow).unwrap()
    };
    let Run { status, stdout, stderr } = stage.run(stage.command("connect"), callback());
    assert_eq!((status, stderr), (Some(0), format!("note: {note}\n")));
    let shops = "    shops   none is granted to this app\n";
    assert!(stdout.starts_with("customer-7: Teapot Corner (GB), active\n") && stdout.contains(shops), "{stdout}");
    assert!(stage.ok("list-connections customer-7", "").contains(shops));
    let Run { status, stdout, stderr } = stage.run(stage.command("connect --json"), callback());
    assert_eq!((status, stderr), (Some(0), format!("note: {note}\n")));
    let connected: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (&connected["note"], &connected["shops"], &connected["status"]),
        (&json!(note), &json!([]), &json!("active"))
    );
    // A consent that grants a shop has no note.
    let granted = connect(&stage, &us);
    assert_eq!((granted.get("note"), granted["shops"][0]["id"].as_str()), (None, Some(US_SHOP)));
}

/// The page shows the fake's apps with their invented secrets, so that a reader can copy them.
#[test]
fn the_example_of_the_documentation_works_when_copied() {
    let page = include_str!("../../../../docs/apps.md");
    let (_, section) = page.split_once("\n## Try it with the fake\n").unwrap();
    let (_, rest) = section.split_once("```toml\n").unwrap();
    let (file, rest) = rest.split_once("```\n").unwrap();
    let stage = Stage::new();
    let (global, us) = both(&stage);
    assert_eq!(file.trim_end(), listed(&[&global, &us]).replace("\n[[", "\n\n[[").trim_end());
    let config = write_config(&stage, file);
    let (_, rest) = rest.split_once("```sh\nexport TIKTOK_SHOP_FAKE=http://127.0.0.1:4010\n").unwrap();
    let (_, rest) = rest.split_once("export TIKTOK_SHOP_CONFIG=$PWD/two-apps.toml\n").unwrap();
    let (commands, _) = rest.split_once("```").unwrap();
    let folder = Path::new(PROGRAM).parent().unwrap().display();
    let mut shell = command("sh");
    stage.furnish(&mut shell);
    shell.env("TIKTOK_SHOP_CONFIG", config);
    shell.args(["-c", &format!("set -e\nPATH='{folder}':$PATH\n{commands}")]);
    let Run { status, stdout, stderr } = stage.run(shell, "");
    assert_eq!(status, Some(0), "{stderr}");
    assert!(stdout.contains("customer-7: Yunhe Trading (CN), active\n"), "{stdout}");
    let shop = stdout.lines().find(|line| line.starts_with(US_SHOP)).unwrap();
    assert!(shop.contains(&us.app_key), "{shop}");
    assert!(stderr.contains("HTTP 200, code 0") && stderr.contains("this consent grants no shop to app"), "{stderr}");
}

#[test]
fn a_command_that_needs_an_app_names_the_apps_that_there_are() {
    let stage = stage_of_two_markets();
    let (global, us) = both(&stage);
    let install = stage.fake.consent(&us.service_id, SELLER, None, Decision::Allow).unwrap();
    let there_are = format!("[apps: {}, {}]", global.app_key, us.app_key);
    for (command, code, status, next) in [
        ("authorization-url customer-7", "app-required", 13, "name one of these apps with --app"),
        ("connect --app-store customer-7", "app-required", 13, "name one of these apps with --app"),
        ("authorization-url customer-7 --app nope", "app-unknown", 12, "if the command has --app, name another app"),
        ("connect --app-store customer-7 --app nope", "app-unknown", 12, "if the command has --app, name another app"),
    ] {
        let (exit, line) = stage.error(stage.command(command), &install);
        assert_eq!(exit, Some(status), "{command}: {line}");
        assert!(line.contains(code) && line.contains(&there_are) && line.contains(next), "{command}: {line}");
    }
    let command = format!("connect --app-store customer-7 --app {}", us.app_key);
    let pending = stage.json(&command, &install).remove(0);
    assert_eq!(pending["app"], us.app_key);
    let confirm = format!("connect --app-store customer-7 --confirm {}", pending["pending_install"].as_str().unwrap());
    assert_eq!(stage.json(&confirm, "")[0]["app"], us.app_key);
    let (status, line) = stage.error(stage.command("connect --app x"), "");
    assert_eq!(status, Some(2), "{line}");
    assert!(line.contains("--app-store"), "{line}");
}

/// One app needs no list, and one app in a list is used like an app without a list.
#[test]
fn a_list_of_one_app_is_the_only_app() {
    let stage = Stage::new();
    let (_, us) = both(&stage);
    write_config(&stage, &listed(&[&us]));
    assert!(stage.link("customer-7").starts_with("https://services.us.tiktokshop.com/"));
    let secret = [("TIKTOK_SHOP_APP_SECRET", us.app_secret.as_str())];
    let events = stage.run(with(stage.command("list-connections customer-7"), &secret), "");
    assert_eq!(events.status, Some(0), "a variable describes the only app: {}", events.stderr);
}

#[test]
fn a_mistake_in_the_list_of_apps_is_told_with_its_place() {
    let stage = Stage::new();
    let (global, us) = both(&stage);
    let entry = |key: &str| format!("[[tenants.default.apps]]\napp-key = \"{key}\"\napp-secret = \"CANARY-secret\"\n");
    let long = "k".repeat(65);
    let many: String = (0..17).map(|number| entry(&format!("6app{number:02}"))).collect();
    let file = |what: &str| format!("configuration PATH: {what}");
    let two = "tenants.default.apps: the tenant has several apps, and TIKTOK_SHOP_APP_SECRET does not say which of them \
               it describes; unset TIKTOK_SHOP_APP_SECRET";
    let wrong =
        |place: &str, rule: &str| file(&format!("{place}.app-key: {rule}; correct this key, or remove this app"));
    let of_one_app = "app-key = \"6a\"\n";
    let only_in_file = |key: &str| format!("[tenants.{key}]\n{of_one_app}");
    // The content of the configuration file, further variables, and the error.
    type Mistake<'a> = (String, &'a [(&'a str, &'a str)], String);
    let table: [Mistake<'_>; 13] = [
        (
            "tenants.default.apps = []".to_owned(),
            &[],
            file("tenants.default.apps: the list is empty; add an app, or remove the list"),
        ),
        (
            entry("6a") + &entry("6b") + &entry("6a"),
            &[],
            wrong("tenants.default.apps[2]", "the tenant has the same app twice"),
        ),
        (
            many,
            &[],
            file(
                "tenants.default.apps: the tenant has more than 16 apps; remove some of them, or give them to another \
                 tenant",
            ),
        ),
        (
            entry("6a") + &entry(&"k".repeat(65)),
            &[],
            wrong("tenants.default.apps[1]", "the key of an app has 1 to 64 bytes"),
        ),
        (
            "[tenants.default]\napp-key = \"".to_owned() + &"k".repeat(65) + "\"\napp-secret = \"CANARY-secret\"\n",
            &[],
            wrong("tenants.default", "the key of an app has 1 to 64 bytes"),
        ),
        (
            String::new(),
            &[("TIKTOK_SHOP_APP_KEY", &*long), ("TIKTOK_SHOP_APP_SECRET", "CANARY-secret")],
            "TIKTOK_SHOP_APP_KEY: the key of an app has 1 to 64 bytes; correct this key, or remove this app".to_owned(),
        ),
        (
            entry("6a") + "[[tenants.default.apps]]\napp-secret = \"CANARY-secret\"\n",
            &[],
            file("tenants.default.apps[1].app-key: missing; add it"),
        ),
        (
            entry("6a") + "[[tenants.default.apps]]\napp-key = \"6b\"\n",
            &[],
            file("tenants.default.apps[1].app-secret: missing; add it"),
        ),
        (
            only_in_file("default"),
            &[],
            file("tenants.default.app-secret: missing; add it, or set TIKTOK_SHOP_APP_SECRET"),
        ),
        // The variables describe the app of the tenant `default` only.
        (only_in_file("acme"), &[], file("tenants.acme.app-secret: missing; add it")),
        (listed(&[&global, &us]), &[("TIKTOK_SHOP_APP_SECRET", "CANARY-secret")], file(two)),
        (
            listed(&[&global]),
            &[("TIKTOK_SHOP_APP_SECRET", "CANARY-secret")],
            format!(
                "TIKTOK_SHOP_APP_SECRET: the configured app {} has another secret at the fake at {}, and its secret is \
                 not sent to a fake; unset TIKTOK_SHOP_APP_KEY and TIKTOK_SHOP_APP_SECRET, or use neither --fake nor \
                 TIKTOK_SHOP_FAKE",
                global.app_key,
                stage.fake.address()
            ),
        ),
        (
            entry("6a"),
            &[],
            file(&format!(
                "tenants.default.apps[0].app-key: the configured app is not an app of the fake at {}, and its secret is \
                 not sent to a fake; copy the app from the fake's page, or name another configuration file with \
                 --config, or use neither --fake nor TIKTOK_SHOP_FAKE",
                stage.fake.address()
            )),
        ),
    ];
    for (text, variables, expected) in table {
        let path = write_config(&stage, &text);
        let (status, line) = stage.error(with(stage.command("list-connections customer-7"), variables), "");
        assert_eq!((status, line), (Some(2), expected.replace("PATH", path.to_str().unwrap())), "{text}");
    }
}
