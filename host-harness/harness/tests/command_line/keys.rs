//! Tests the commands `keys status`, `keys rotate`, `keys retire` and `keys erase` on one machine.

use std::fs;

use fake_tiktok_shop::Decision;
use serde_json::json;
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use tokio::runtime::Runtime;

use crate::stage::{ACTOR, Stage};
use crate::{Run, lines};

/// Returns the names of the keys in the key file. The current key comes first.
pub(crate) fn ids(stage: &Stage) -> Vec<String> {
    let file = fs::read_to_string(stage.data("fake-host-keys")).unwrap();
    file.lines().map(|line| line.split_once(':').unwrap().0.to_owned()).collect()
}

#[test]
fn a_host_key_is_replaced_and_retired_and_connections_continue() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    let [first] = &*ids(&stage) else { panic!() };
    let status = stage.json("keys status", "").remove(0);
    let key = &status["keys"][0];
    assert_eq!(key, &json!({ "tenant": "default", "key": key["key"], "host_key": first, "records": 2 }));
    assert_eq!((&status["current"], &status["rotation_needed"]), (&json!(first), &json!(false)));
    assert_eq!(status["missing"], json!([]));

    let refused = format!(
        "host key {first} is the current one: promote another host key and rotate first, with keys promote and keys \
         rotate"
    );
    assert_eq!(stage.error(stage.command(&format!("keys retire {first}")), ""), (Some(1), refused));
    let printed = stage.ok("keys rotate --single-machine --wait 0", "");
    let [second, _] = &*ids(&stage) else { panic!() };
    let expected = lines([
        &*format!("the current host key is {second}"),
        "1 tenant, 2 records sealed again, 1 data key removed",
        &format!("    next    keys retire {first}"),
    ]);
    assert_eq!(printed, expected);
    let printed = stage.ok("keys status", "");
    assert!(printed.contains(&format!("{second}  1          2        current\n")), "{printed}");
    assert!(printed.contains(&format!("{first}  0          0        unused\n")), "{printed}");
    assert!(printed.ends_with("\nevery data key is wrapped by the current host key\n"), "{printed}");

    let file = stage.data("fake-host-keys");
    let next =
        format!("    next    if keys status names no missing host key, copy {} to the other machines", file.display());
    let then = "            then delete the host key from the backups of the key file";
    let retired = format!("host key {first} is retired");
    assert_eq!(stage.ok(&format!("keys retire {first}"), ""), lines([&*retired, &next, then]));
    assert_eq!(ids(&stage), vec![second.clone()]);
    let events = stage.json("events --all", "");
    let of_tenant = events.iter().filter(|event| event["customer"].is_null() && event["actor"] == ACTOR);
    let of_tenant: Vec<_> = of_tenant.map(|event| (event["event"].clone(), event["host_key"].clone())).collect();
    let expected = [
        ("host-key-added", second),
        ("host-key-promoted", second),
        ("keys-rotated", second),
        ("host-key-retired", first),
    ];
    assert_eq!(of_tenant, expected.map(|(event, host_key)| (json!(event), json!(host_key))));
    let gone = format!("there is no host key {first}");
    let error = format!("{gone}; keys status shows the host keys");
    assert_eq!(stage.error(stage.command(&format!("keys retire {first}")), ""), (Some(5), error));
    assert_eq!(stage.ok(&format!("keys retire {first} --allow-absent"), ""), lines([&*gone]));
    let retired = stage.json(&format!("keys retire {first} --allow-absent"), "");
    assert_eq!(retired, [json!({ "retired": null })]);

    let elsewhere = |arguments: &str| {
        let mut command = stage.command(arguments);
        command.env("TIKTOK_SHOP_HOST_KEYS", format!("other:{:064}", 7));
        let Run { status, stdout, .. } = stage.run(command, "");
        assert_eq!(status, Some(16), "a missing host key is a failure: {stdout}");
        stdout
    };
    let printed = elsewhere("keys status");
    assert!(printed.contains(&format!("{second}  1          2        missing\n")), "{printed}");
    let advice =
        format!("\nhost key {second} is missing; put it into the key file or the environment to open its 1 data key\n");
    assert!(printed.ends_with(&advice), "{printed}");
    let printed: serde_json::Value = serde_json::from_str(&elsewhere("keys status --json")).unwrap();
    assert_eq!(printed["missing"], json!([second]));
    stage.ok("refresh customer-7 --force", "");
    assert_eq!(stage.json("list-shops customer-7", "")[0]["cipher"], "present");
}

#[test]
fn an_unfinished_rotation_is_finished_without_another_new_key() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    let [first] = &*ids(&stage) else { panic!() };
    // This is the state after a crash: the key file contains a new key, but no tenant was rotated.
    let file = fs::read_to_string(stage.data("fake-host-keys")).unwrap();
    fs::write(stage.data("fake-host-keys"), format!("{}{file}", HostKey("second").line())).unwrap();
    let printed = stage.ok("keys status", "");
    assert!(printed.ends_with("\na rotation is needed or unfinished; run keys rotate\n"), "{printed}");
    let in_use =
        format!("host key {first} is in use: it wraps 1 data keys with 2 records; rotate first, with keys rotate");
    assert_eq!(stage.error(stage.command(&format!("keys retire {first}")), ""), (Some(1), in_use));

    let printed = stage.json("keys rotate --wait 0", "").remove(0);
    let expected = json!({
        "host_key": "second", "tenants": 1, "added": 1, "rewrapped": 0, "resealed": 2, "removed": 1, "unopened": 0,
        "retired": [], "unused": [first],
    });
    assert_eq!(printed, expected);
    assert_eq!(ids(&stage), ["second", first]);
    // A repetition of the same command changes nothing.
    let printed = stage.ok("keys rotate --wait 0", "");
    let expected = lines([
        "the current host key is second",
        "nothing to rotate: the current host key wraps every data key",
        &format!("    next    keys promote {first} if it is new and every machine has it, or keys retire {first}"),
    ]);
    assert_eq!(printed, expected);
    assert_eq!(ids(&stage), ["second", first]);
}

#[test]
fn a_tenant_is_erased_only_if_it_is_named_and_confirmed() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    let unnamed = "no tenant named; name it with --tenant".to_owned();
    assert_eq!(stage.error(stage.command("keys erase --yes"), ""), (Some(2), unnamed));
    let unconfirmed = "tenant default: 1 data key with 2 records would be lost forever; confirm with --yes".to_owned();
    assert_eq!(stage.error(stage.command("keys erase --tenant default"), ""), (Some(2), unconfirmed));
    stage.ok("refresh customer-7", "");

    // The tenant also gets a remembered webhook and a consent that has begun.
    let body = r#"{"type":1,"tts_notification_id":"1","shop_id":"1","timestamp":1767225600,"data":{}}"#;
    let signed = stage.fake.webhook_signature(&stage.app().service_id, body.as_bytes()).unwrap();
    let accept = format!("webhook --authorization {signed}");
    assert!(stage.ok(&accept, body).starts_with("answer 200: handled\n"));
    let link = stage.link("customer-8");

    let printed = stage.ok("keys erase --tenant default --yes", "");
    let [host_key] = &*ids(&stage) else { panic!() };
    let expected = lines([
        // The five other entries are the event of the connection, the event of its shop, a webhook, the state of the
        // connection's consent, and the state of the consent that has begun.
        "tenant default: erased 1 data key, 1 connection and 5 other entries",
        &format!("    open    who has an older copy of the database can open it with host key {host_key}"),
        "    next    keys rotate --single-machine --retire, or keys add if other machines have the key file",
    ]);
    assert_eq!(printed, expected);
    assert_eq!(stage.ok("list-connections customer-7", ""), "");
    let event = |position| format!("{position}  2026-01-01T00:00:00Z  -  -  tenant-erased  by {ACTOR}\n");
    assert_eq!(stage.ok("events", ""), event(3));
    let erased = stage.json("keys erase --tenant default --yes", "");
    // The second erasure deletes the event of the first erasure, and the digest that prevents a second copy of that
    // event.
    let nothing = json!({
        "tenant": "default", "keys": 0, "connections": 0, "others": 2, "older_copies_open_with": [host_key],
    });
    assert_eq!(erased, [nothing]);
    // The second erasure has its own event.
    assert_eq!(stage.ok("events", ""), event(4));
    // The webhook is unknown again, and so is the state of the consent.
    assert!(stage.ok(&accept, body).starts_with("answer 200: handled\n"));
    let late = stage.decide(&link, "one-shop", Decision::Allow);
    let (status, line) = stage.error(stage.command("connect"), &late);
    assert_eq!(status, Some(4), "{line}");
    stage.connect("customer-7", "one-shop");
}

/// The database may have millions of entries of other tenants, so the question reads none of them. Here an entry of
/// another tenant can't even be read.
#[test]
fn the_question_before_an_erasure_counts_only_entries_of_the_tenant() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    let damage = async {
        let address = format!("sqlite:{}", stage.data("fake-connections.sqlite").display());
        let mut database = SqliteConnection::connect(&address).await.unwrap();
        let sql = "INSERT INTO tiktok_shop_tenant_keys (tenant, id, number, host_key, wrapped) \
                   VALUES ('another', 'k', 1, '', x'00'), ('zebra', 'k', 1, '', x'00')";
        assert_eq!(database.execute(sql).await.unwrap().rows_affected(), 2);
        database.close().await.unwrap();
    };
    Runtime::new().unwrap().block_on(damage);
    let unconfirmed = "tenant default: 1 data key with 2 records would be lost forever; confirm with --yes".to_owned();
    assert_eq!(stage.error(stage.command("keys erase --tenant default"), ""), (Some(2), unconfirmed));
    let nothing =
        "tenant nobody: no data key is stored; check the name, or erase everything else with --yes".to_owned();
    assert_eq!(stage.error(stage.command("keys erase --tenant nobody"), ""), (Some(2), nothing));
}

#[test]
fn an_erasure_is_final_after_the_host_key_was_replaced_and_retired() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    let [first] = &*ids(&stage) else { panic!() };
    let printed = stage.ok("keys rotate --single-machine --wait 0 --retire", "");
    let [second] = &*ids(&stage) else { panic!("{:?}", ids(&stage)) };
    let expected = lines([
        &*format!("the current host key is {second}"),
        "1 tenant, 2 records sealed again, 1 data key removed",
        &format!("host key {first} is retired"),
    ]);
    assert_eq!(printed, expected);
    stage.ok("refresh customer-7 --force", "");

    stage.ok("keys erase --tenant default --yes", "");
    let printed = stage.json("keys rotate --single-machine --wait 0 --retire", "").remove(0);
    let [third] = &*ids(&stage) else { panic!("{:?}", ids(&stage)) };
    let expected = json!({
        "host_key": third, "tenants": 0, "added": 0, "rewrapped": 0, "resealed": 0, "removed": 0, "unopened": 0,
        "retired": [second], "unused": [],
    });
    assert_eq!(printed, expected);
    stage.connect("customer-7", "one-shop");

    let mut elsewhere = stage.command("keys rotate --single-machine --wait 0 --retire");
    elsewhere.env("TIKTOK_SHOP_HOST_KEYS", fs::read_to_string(stage.data("fake-host-keys")).unwrap());
    let refused = "the host keys come from TIKTOK_SHOP_HOST_KEYS, which this program can't change; run keys rotate \
                   without --single-machine";
    assert_eq!(stage.error(elsewhere, ""), (Some(2), refused.to_owned()));
}

#[test]
fn a_damaged_record_does_not_stop_the_removal_of_earlier_host_keys() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    stage.connect("customer-8", "several-regions");
    let [first] = &*ids(&stage) else { panic!() };
    let damage = async {
        let address = format!("sqlite:{}", stage.data("fake-connections.sqlite").display());
        let mut database = SqliteConnection::connect(&address).await.unwrap();
        let sql = "UPDATE tiktok_shop_tokens SET sealed = x'00' WHERE customer = 'customer-7'";
        assert_eq!(database.execute(sql).await.unwrap().rows_affected(), 1);
        database.close().await.unwrap();
    };
    Runtime::new().unwrap().block_on(damage);

    let done = stage.run(stage.command("keys rotate --single-machine --wait 0 --retire"), "");
    let [second] = &*ids(&stage) else { panic!("{:?}", ids(&stage)) };
    let expected = lines([
        &*format!("the current host key is {second}"),
        "1 tenant, 3 records sealed again, 0 data keys removed",
        "can't open 1 record: damaged, or copied from another place; keys status shows the data keys",
        &format!("host key {first} is retired"),
    ]);
    assert_eq!((done.status, &*done.stdout), (Some(1), &*expected));
    stage.ok("refresh customer-8 --force", "");
}

#[test]
fn without_the_right_host_key_nothing_changes_and_the_error_names_the_missing_key() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    let (path, [first]) = (stage.data("fake-host-keys"), &*ids(&stage)) else { panic!() };
    let right = fs::read_to_string(&path).unwrap();
    let missing = format!("key-unavailable({first}): no host key of that name is here");
    let mismatch = format!("key-unavailable({first}): the host key of that name does not unwrap this data key");
    for (wrong, expected) in [(HostKey("other").line(), &missing), (HostKey(first).line(), &mismatch)] {
        fs::write(&path, wrong).unwrap();
        for arguments in [
            "refresh customer-7",
            "access-token customer-7 --reveal",
            "call customer-7 GET /a/202309/b",
            "keys rotate --wait 0",
            "keys rotate --single-machine --wait 0",
        ] {
            let (status, line) = stage.error(stage.command(arguments), "");
            assert_eq!(status, Some(16), "{arguments}: {line}");
            if arguments.contains("--single-machine") && *expected == missing {
                assert!(line.starts_with(&format!("host key {first} wraps 1 data key and is not in")), "{line}");
                continue;
            }
            assert!(line.starts_with("storage-failed: ") && line.contains(expected), "{arguments}: {line}");
        }
        assert_eq!(ids(&stage).len(), 1, "no key is added");
        assert_eq!(stage.json("list-connections customer-7", "")[0]["shops"][0]["cipher"], "none");
    }
    fs::write(&path, right).unwrap();
    assert_eq!(stage.json("list-shops customer-7", "")[0]["cipher"], "present");
    stage.ok("refresh customer-7 --force", "");
}

/// A host key with this name. The key itself is the length of the name, written with 64 hexadecimal digits.
pub(crate) struct HostKey<'a>(pub(crate) &'a str);

impl HostKey<'_> {
    pub(crate) fn text(&self) -> String {
        let Self(id) = self;
        format!("{id}:{:064x}", id.len())
    }

    fn line(&self) -> String {
        format!("{}\n", self.text())
    }
}
