//! Tests the change of the host key over several machines, step by step: with copies of a key file, and with keys in
//! the environment. Also tests that a missing step is refused or reported, and the erasure of a tenant that does not
//! exist.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::keys::{HostKey, ids};
use crate::stage::Stage;
use crate::{Run, lines};

/// Another machine: it uses the same database as the stage, and a copy of the stage's key file.
struct Machine<'a> {
    stage: &'a Stage,
    key_file: PathBuf,
}

impl<'a> Machine<'a> {
    fn new(stage: &'a Stage, name: &str) -> Self {
        let machine = Self { stage, key_file: stage.home().join(name) };
        machine.copy_key_file();
        machine
    }

    /// Replaces this machine's key file by a copy of the stage's key file.
    fn copy_key_file(&self) {
        fs::copy(self.stage.data("fake-host-keys"), &self.key_file).unwrap();
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = self.stage.command(arguments);
        command.env("TIKTOK_SHOP_KEY_FILE", &self.key_file);
        command
    }

    fn ok(&self, arguments: &str) -> String {
        let Run { status, stdout, stderr } = self.stage.run(self.command(arguments), "");
        assert_eq!((status, &*stderr), (Some(0), ""), "{arguments}: {stdout}");
        stdout
    }
}

/// Returns the line below a result that says what the user should do next.
fn next(text: impl std::fmt::Display) -> String {
    format!("    next    {text}")
}

fn then(text: impl std::fmt::Display) -> String {
    format!("            {text}")
}

fn copy_to_others(path: &Path) -> String {
    next(format!("copy {} to every other machine that has a copy of it", path.display()))
}

#[test]
fn copies_of_a_key_file_get_a_new_host_key_step_by_step_and_every_machine_works_all_the_time() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    let path = stage.data("fake-host-keys");
    let other = Machine::new(&stage, "other");
    let both_work = || {
        stage.ok("refresh customer-7 --force", "");
        other.ok("refresh customer-7 --force");
    };
    let [first] = &*ids(&stage) else { panic!() };

    // 1. The new host key is appended. It wraps nothing.
    let printed = stage.ok("keys add", "");
    let [current, second] = &*ids(&stage) else { panic!("{printed}") };
    assert_eq!(current, first);
    let expected = lines([
        &*format!("host key {second} is added; the current host key is still {first}"),
        &copy_to_others(&path),
        &then(format!("then, if keys status there lists {second}: keys promote {second}")),
    ]);
    assert_eq!(printed, expected);
    both_work();
    assert!(!other.ok("keys status").contains(second), "the other machine has no copy yet, and its status shows it");
    other.copy_key_file();
    assert!(other.ok("keys status").contains(&format!("{second}  0          0        unused\n")));

    // Without step 2, nothing can be rotated or retired.
    let printed = stage.ok("keys rotate --wait 0", "");
    let expected = lines([
        &*format!("the current host key is {first}"),
        "nothing to rotate: the current host key wraps every data key",
        &next(format!("keys promote {second} if it is new and every machine has it, or keys retire {second}")),
    ]);
    assert_eq!(printed, expected);
    let refused = format!(
        "host key {first} is the current one: promote another host key and rotate first, with keys promote and keys \
         rotate"
    );
    assert_eq!(stage.error(stage.command(&format!("keys retire {first}")), ""), (Some(1), refused));
    assert_eq!(ids(&stage), [first.clone(), second.clone()], "keys rotate draws no host key");

    // 2. The new host key becomes the current one.
    let printed = stage.ok(&format!("keys promote {second}"), "");
    assert_eq!(ids(&stage), [second.clone(), first.clone()]);
    let expected = lines([
        &*format!("the current host key is {second}; it was {first} before"),
        &copy_to_others(&path),
        &then(format!("then, if {second} is current in keys status there: keys rotate")),
    ]);
    assert_eq!(printed, expected);
    both_work();
    other.copy_key_file();

    // Without step 3, the earlier host key can't be retired.
    let in_use =
        format!("host key {first} is in use: it wraps 1 data keys with 2 records; rotate first, with keys rotate");
    assert_eq!(stage.error(stage.command(&format!("keys retire {first}")), ""), (Some(1), in_use));

    // 3. The rotation.
    let printed = stage.ok("keys rotate --wait 0", "");
    let expected = lines([
        &*format!("the current host key is {second}"),
        "1 tenant, 2 records sealed again, 1 data key removed",
        &next(format!("keys retire {first}")),
    ]);
    assert_eq!(printed, expected);
    both_work();

    // 4. The earlier host key is removed.
    stage.ok(&format!("keys retire {first}"), "");
    both_work();
    other.copy_key_file();
    both_work();
    assert_eq!(ids(&stage), std::slice::from_ref(second));
}

#[test]
fn a_host_key_that_is_missing_or_current_already_is_not_promoted() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    let [first] = &*ids(&stage) else { panic!() };
    let absent = "there is no host key host-1 here; keys add adds a new one".to_owned();
    assert_eq!(stage.error(stage.command("keys promote host-1"), ""), (Some(5), absent));
    let current = format!("host key {first} is the current one already; the next step is keys rotate");
    assert_eq!(stage.error(stage.command(&format!("keys promote {first}")), ""), (Some(1), current));

    let added = stage.json("keys add", "").remove(0);
    let second = added["added"].as_str().unwrap();
    assert_eq!(added, json!({ "added": second, "current": first, "unused": [second] }));
    let promoted = stage.json(&format!("keys promote {second}"), "").remove(0);
    assert_eq!(promoted, json!({ "current": second, "earlier": first }));
}

/// A second key that was added by mistake can be removed. A note names it.
#[test]
fn a_note_names_a_host_key_that_waits_already() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    stage.ok("keys add", "");
    let [_, second] = &*ids(&stage) else { panic!() };
    let Run { status, stderr, .. } = stage.run(stage.command("keys add"), "");
    let note = "wraps no data key, too; if no machine needs it any more, run keys retire";
    assert_eq!((status, stderr), (Some(0), format!("note: host key {second} {note} {second}\n")));
    stage.ok(&format!("keys retire {second}"), "");
    assert_eq!(ids(&stage).len(), 2);
}

/// If this machine's key file were copied to the others, it would replace the only copies of the current host key.
#[test]
fn a_key_file_that_is_not_the_newest_copy_is_not_changed() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    let [first] = &*ids(&stage) else { panic!() };
    let old = Machine::new(&stage, "old");
    stage.ok("keys rotate --single-machine --wait 0", "");
    let [second, _] = &*ids(&stage) else { panic!() };
    // The copy contains another key, too, so that it can be named.
    let mut text = fs::read_to_string(&old.key_file).unwrap();
    text += &format!("{}\n", HostKey("waiting").text());
    fs::write(&old.key_file, &text).unwrap();

    let why = "is not in the key file, so nothing was changed; copy the newest key file here, or erase the tenants \
               that keys status lists under this host key";
    let refused = (Some(16), format!("host key {second} wraps 1 data key and {why}"));
    for arguments in ["keys add", "keys promote waiting", "keys rotate --single-machine --wait 0"] {
        assert_eq!(stage.error(old.command(arguments), ""), refused, "{arguments}");
        assert_eq!(fs::read_to_string(&old.key_file).unwrap(), text, "{arguments}");
    }
    let Run { status, stdout, .. } = stage.run(old.command("keys status"), "");
    assert_eq!(status, Some(16));
    assert!(stdout.contains(&format!("{second}  1          2        missing\n")), "{stdout}");
    assert!(stdout.contains(&format!("{first}  0          0        current\n")), "{stdout}");
}

/// The file has the right name of the current host key, but another key.
#[test]
fn a_key_file_with_a_wrong_key_is_not_changed() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    let [first] = &*ids(&stage) else { panic!() };
    let wrong = Machine::new(&stage, "wrong");
    let text = format!("{}\n{}\n", HostKey(first).text(), HostKey("waiting").text());
    fs::write(&wrong.key_file, &text).unwrap();
    let why = format!("key-unavailable({first}): the host key of that name does not unwrap this data key");
    let commands = ["keys add", "keys promote waiting", "keys retire waiting", "keys rotate --single-machine --wait 0"];
    for arguments in commands {
        let (status, line) = stage.error(wrong.command(arguments), "");
        assert!(status == Some(16) && line.contains(&why), "{arguments}: {status:?} {line}");
        assert_eq!(fs::read_to_string(&wrong.key_file).unwrap(), text, "{arguments}");
    }
}

#[test]
fn keys_of_the_environment_are_appended_then_put_first_then_rotated_and_every_machine_works_all_the_time() {
    let stage = Stage::new();
    let (old, new) = (HostKey("old").text(), HostKey("new").text());
    let (appended, first) = (format!("{old},{new}"), format!("{new},{old}"));
    let with = |arguments: &str, keys: &str, input: &str| {
        let mut command = stage.command(arguments);
        command.env("TIKTOK_SHOP_HOST_KEYS", keys);
        stage.run(command, input)
    };
    let mut consent = stage.command("authorization-url customer-7 --consent-as one-shop");
    consent.env("TIKTOK_SHOP_HOST_KEYS", &old);
    let callback = crate::run(consent, "");
    let Run { status, stderr, .. } = with("connect", &old, &callback.stdout);
    assert_eq!((status, &*stderr), (Some(0), ""), "no key file is created, and no note mentions one");
    assert!(!stage.data("fake-host-keys").exists());
    let work = |machines: [&str; 2]| {
        for keys in machines {
            let Run { status, stderr, .. } = with("refresh customer-7 --force", keys, "");
            assert_eq!((status, &*stderr), (Some(0), ""));
        }
    };
    let printed = |arguments: &str, keys: &str| {
        let Run { status, stdout, stderr } = with(arguments, keys, "");
        assert_eq!((status, &*stderr), (Some(0), ""), "{arguments}: {stdout}");
        stdout
    };

    let nothing = "nothing to rotate: the current host key wraps every data key";
    let how = "to change the host key, append a new ID:HEX with 64 random hexadecimal digits in TIKTOK_SHOP_HOST_KEYS \
               on every machine; then put it before the others on every machine; then keys rotate";
    let expected = lines(["the current host key is old", nothing, &next(how)]);
    assert_eq!(printed("keys rotate --wait 0", &old), expected);

    work([&old, &appended]);
    let how = "put new before the others in TIKTOK_SHOP_HOST_KEYS if every machine has it, or remove it";
    let expected = lines(["the current host key is old", nothing, &next(how)]);
    assert_eq!(printed("keys rotate --wait 0", &appended), expected);

    work([&appended, &first]);
    let expected = lines([
        "the current host key is new",
        "1 tenant, 2 records sealed again, 1 data key removed",
        &next("remove old from TIKTOK_SHOP_HOST_KEYS on every machine"),
    ]);
    assert_eq!(printed("keys rotate --wait 0", &first), expected);
    work([&first, &new]);

    for (arguments, how) in [
        (
            "keys add",
            "append a new ID:HEX with 64 random hexadecimal digits behind the others in TIKTOK_SHOP_HOST_KEYS",
        ),
        ("keys promote old", "if every machine has old there, put it before the others in TIKTOK_SHOP_HOST_KEYS"),
        ("keys rotate --single-machine --wait 0", "run keys rotate without --single-machine"),
        ("keys retire old", "if keys status counts no data key under old, remove it from TIKTOK_SHOP_HOST_KEYS"),
    ] {
        let mut command = stage.command(arguments);
        command.env("TIKTOK_SHOP_HOST_KEYS", &first);
        let refused = format!("the host keys come from TIKTOK_SHOP_HOST_KEYS, which this program can't change; {how}");
        assert_eq!(stage.error(command, ""), (Some(2), refused), "{arguments}");
    }
}

#[test]
fn the_erasure_of_a_tenant_that_is_not_there_says_so_and_writes_no_event() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    let absent = "nothing is stored of tenant typo; check the name, or use --allow-absent".to_owned();
    assert_eq!(stage.error(stage.command("keys erase --tenant typo --yes"), ""), (Some(5), absent));
    let (status, line) = stage.error(stage.command("events --tenant typo"), "");
    assert_eq!(status, Some(2));
    assert!(line.starts_with("tenant typo is unknown: it has no app, and nothing is stored of it; "), "{line}");
    assert_eq!(stage.json("list-connections customer-7", "").len(), 1);

    let erased = stage.json("keys erase --tenant typo --yes --allow-absent", "").remove(0);
    assert_eq!((&erased["keys"], &erased["connections"], &erased["others"]), (&json!(0), &json!(0), &json!(0)));
    assert!(stage.ok("events --tenant typo", "").contains("  tenant-erased  "));
}
