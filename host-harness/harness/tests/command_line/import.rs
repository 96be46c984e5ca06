//! Tests the command `import`: a file of the tokens that another system holds.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};

use fake_tiktok_shop::{Decision, Fault};
use serde_json::{Value, json};

use crate::Run;
use crate::gate::{Gate, REFRESH, send};
use crate::opening::execute_sqlite;
use crate::stage::Stage;

const TOKEN_REFRESH: &str = "/api/v2/token/refresh";
const HEADER: &str = "customer,refresh_token,account";

/// Another system, with a home folder and a database of its own.
struct OtherSystem<'a> {
    stage: &'a Stage,
    database: String,
}

/// The tokens of one seller in the other system.
struct Held {
    account: String,
    refresh_token: String,
}

impl<'a> OtherSystem<'a> {
    fn new(stage: &'a Stage) -> Self {
        let database = format!("sqlite:{}", stage.home().join("other-system.sqlite").display());
        stage.ok(&format!("migrate --storage {database}"), "");
        Self { stage, database }
    }

    /// Connects a seller in the other system, and returns the tokens that this system holds.
    fn held(&self, seller: &str) -> Held {
        let Self { stage, database } = self;
        let link = stage.link(&format!("{seller} --storage {database}"));
        let callback = stage.decide(&link, seller, Decision::Allow);
        stage.ok(&format!("connect --storage {database}"), &callback);
        let issued = stage.fake.issued(&stage.app().service_id, seller).unwrap();
        let refresh_token = issued.refresh_tokens.last().unwrap().token.clone();
        Held { account: issued.open_id.unwrap(), refresh_token }
    }
}

/// Writes a private file into the home folder of the stage.
fn write(stage: &Stage, lines: &[String]) -> PathBuf {
    let path = stage.home().join("sellers.csv");
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// Runs `import` with these arguments. Returns the exit status and the lines that it prints.
fn import(stage: &Stage, file: &Path, arguments: &str) -> (Option<i32>, Vec<String>) {
    let command = stage.command(&format!("import {} --per-second 100 {arguments}", file.display()));
    let Run { status, stdout, .. } = stage.run(command, "");
    (status, stdout.lines().map(str::to_owned).collect())
}

fn requests(stage: &Stage) -> usize {
    stage.fake.requests().iter().filter(|request| request.path == TOKEN_REFRESH).count()
}

#[test]
fn the_sellers_of_a_file_are_connected_once() {
    let stage = Stage::new();
    let other = OtherSystem::new(&stage);
    let (first, second) = (other.held("one-shop"), other.held("several-regions"));
    let line = |customer: &str, held: &Held| format!("{customer},{},{}", held.refresh_token, held.account);
    let file = write(&stage, &[HEADER.to_owned(), line("customer-1", &first), line("customer-2", &second)]);

    let (status, printed) = import(&stage, &file, "--dry-run");
    let checked = "2 to import, 0 of them without an account, 0 rejected, 0 in doubt, 0 malformed; nothing was sent";
    assert_eq!((status, printed), (Some(0), vec![checked.to_owned()]));
    assert_eq!(requests(&stage), 0);

    let (status, mut printed) = import(&stage, &file, "");
    let summary = printed.pop().unwrap();
    printed.sort();
    assert_eq!(
        (status, printed),
        (Some(0), vec!["line 2: customer-1: connected".to_owned(), "line 3: customer-2: connected".to_owned()])
    );
    let counts = "2 connected, 0 account changed, 0 already connected, 0 rejected, 0 later, 0 in doubt, 0 malformed";
    assert_eq!((summary.as_str(), requests(&stage)), (counts, 2));
    assert_eq!(stage.json("list-shops customer-2", "").len(), 3);
    let event = stage.json("events", "").remove(0);
    assert_eq!((&event["event"], &event["cause"]), (&json!("connected"), &json!("import")));

    let (status, printed) = import(&stage, &file, "");
    let counts = "0 connected, 0 account changed, 2 already connected, 0 rejected, 0 later, 0 in doubt, 0 malformed";
    assert_eq!((status, printed.last().unwrap().as_str(), requests(&stage)), (Some(0), counts, 2));
    assert!(!file.with_file_name("sellers.csv.journal").exists(), "every line has an account");
}

#[test]
fn each_line_is_reported_and_a_bad_line_stops_nothing() {
    let stage = Stage::new();
    let other = OtherSystem::new(&stage);
    let held = other.held("one-shop");
    let good = json!({"customer": "customer-1", "refresh_token": held.refresh_token, "account": held.account});
    let rejected = json!({"customer": "customer-2", "refresh_token": "ROW_never-issued", "account": "x"});
    let file = write(
        &stage,
        &[
            rejected.to_string(),
            "{\"customer\":\"customer-3\"}".to_owned(),
            "y".repeat(1 << 20),
            good.to_string(),
            good.to_string(),
        ],
    );
    let (status, printed) = import(&stage, &file, "--json");
    assert_eq!(status, Some(1));
    let mut lines: Vec<Value> = printed.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.pop().unwrap();
    let expected = json!({
        "connected": 1, "account_changed": 0, "already_connected": 0, "rejected": 1, "later": 0, "in_doubt": 0, "malformed": 3,
        "stopped": false,
    });
    assert_eq!(summary, expected);
    lines.sort_by_key(|line| line["line"].as_u64());
    let outcomes: Vec<_> = lines.iter().map(|line| (&line["outcome"], &line["customer"])).collect();
    let (malformed, null) = (json!("malformed"), json!(null));
    assert_eq!(
        outcomes,
        [
            (&json!("rejected"), &json!("customer-2")),
            (&malformed, &json!("customer-3")),
            (&malformed, &null),
            (&json!("connected"), &json!("customer-1")),
            (&malformed, &json!("customer-1")),
        ]
    );
    assert_eq!(lines[0]["code"], json!("authorization-revoked"));
    let why: Vec<_> = [1, 2, 4].iter().map(|at: &usize| lines[*at]["why"].as_str().unwrap()).collect();
    let expected = ["refresh_token is missing", "the line is longer than 64 KiB", "line 4 has the same refresh token"];
    assert_eq!(why, expected);
    assert_eq!(lines[3]["account"], json!(held.account));
}

/// Returns the refresh token of a creator, who has tried to connect in the other system.
fn token_of_a_creator(stage: &Stage) -> Held {
    let callback = stage.decide(&stage.link("somebody"), "creator", Decision::Allow);
    assert_eq!(stage.run(stage.command("connect"), &callback).status, Some(13));
    let issued = stage.fake.issued(&stage.app().service_id, "creator").unwrap();
    Held { account: issued.open_id.unwrap(), refresh_token: issued.refresh_tokens.last().unwrap().token.clone() }
}

/// A seller of another system of the app.
fn invented(stage: &Stage, service_id: &str) -> Value {
    serde_json::from_str(stage.fake.connect_in_another_system(service_id, 1).unwrap().trim_end()).unwrap()
}

#[test]
fn each_kind_of_bad_line_is_one_clear_line_and_the_rest_goes_on() {
    let stage = Stage::new();
    let apps = stage.fake.apps();
    let (own, other) = (apps[0].clone(), apps[1].clone());
    let creator = token_of_a_creator(&stage);
    let (good, expired) = (invented(&stage, &own.service_id), invented(&stage, &own.service_id));
    stage.fake.end_authorization(expired["customer"].as_str().unwrap()).unwrap();
    let of_other_app = invented(&stage, &other.service_id);
    let line = |customer: &str, held: &Value, app: &str| {
        let (token, account) = (held["refresh_token"].as_str().unwrap(), held["account"].as_str().unwrap());
        format!("{customer},{token},{account},{app}").into_bytes()
    };
    let lines = [
        b"customer,refresh_token,account,app".to_vec(),
        format!("creator,{},{},", creator.refresh_token, creator.account).into_bytes(),
        line("expired", &expired, ""),
        line("of-another-app", &of_other_app, ""),
        line("names-another-app", &of_other_app, &other.app_key),
        b"latin-1\xe4,R,a,".to_vec(),
        vec![b'x'; 1 << 20],
        line("good", &good, &own.app_key),
        line("duplicate", &good, ""),
    ];
    let file = stage.home().join("sellers.csv");
    fs::write(&file, lines.join(&b'\n')).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let outcomes = |stage: &Stage| -> Vec<String> {
        let (status, printed) = import(stage, &file, "--json");
        assert_eq!(status, Some(1));
        let mut lines: Vec<Value> = printed.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines.pop();
        lines.sort_by_key(|line| line["line"].as_u64());
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let describe = |line: &Value| {
            let why = if line["outcome"] == "malformed" { text(&line["why"]) } else { text(&line["code"]) };
            format!("{} {} {} {why}", line["line"], text(&line["customer"]), text(&line["outcome"]))
        };
        lines.iter().map(describe).collect()
    };
    let mut expected = [
        "2 creator rejected not-a-seller",
        "3 expired rejected authorization-expired",
        "4 of-another-app rejected authorization-revoked",
        "5 names-another-app malformed line 4 has the same refresh token",
        "6 - malformed the line is not UTF-8; save the file as UTF-8",
        "7 - malformed the line is longer than 64 KiB",
        "8 good connected -",
        "9 duplicate malformed line 8 has the same refresh token",
    ];
    assert_eq!(outcomes(&stage), expected);
    // The token of the creator is spent now. The journal keeps the first reason, and the token is not sent again.
    let sent = requests(&stage);
    expected[6] = "8 good already-connected already-connected";
    assert_eq!(outcomes(&stage), expected);
    assert_eq!(requests(&stage), sent + 2, "only the expired token and the one of another app are sent again");

    let utf_16: Vec<u8> = "customer,refresh_token\nc,R\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [[&[0xff, 0xfe][..], &utf_16].concat(), utf_16] {
        let (status, line) = stage.error(stage.command("import - --dry-run"), &bytes);
        assert_eq!((status, line.as_str()), (Some(2), "the file is not UTF-8; save it as UTF-8"));
    }
}

/// The connection works, but its account is wrong. A status of 0 would hide that from a script.
#[test]
fn a_wrong_account_has_an_outcome_of_its_own() {
    let stage = Stage::new();
    let held = OtherSystem::new(&stage).held("one-shop");
    let file =
        write(&stage, &[HEADER.to_owned(), format!("customer-1,{},an-account-that-was-mixed-up", held.refresh_token)]);
    let (status, printed) = import(&stage, &file, "");
    let counts = "0 connected, 1 account changed, 0 already connected, 0 rejected, 0 later, 0 in doubt, 0 malformed";
    assert_eq!((status, printed[1].as_str()), (Some(1), counts));
    assert!(printed[0].starts_with("line 2: customer-1: account-changed: account-changed: TikTok"), "{printed:?}");
    assert_eq!(stage.json("list-shops customer-1", "").len(), 1, "the connection works");
}

#[test]
fn a_dry_run_checks_the_apps_and_the_journal() {
    let stage = Stage::new();
    let other = OtherSystem::new(&stage);
    let held = other.held("one-shop");
    let app = stage.app().app_key;
    let lines = [
        "customer,refresh_token,account,app".to_owned(),
        "customer-1,ROW_one,x,no-such-app".to_owned(),
        format!("customer-2,ROW_two,y,{app}"),
        format!("customer-3,{},,", held.refresh_token),
    ];
    let file = write(&stage, &lines);
    let (status, printed) = import(&stage, &file, "--dry-run");
    let unknown = format!(
        "line 2: customer-1: rejected: the tenant has no app no-such-app; its apps are: {app}. Next: correct the app of \
         the line, or put this app into the configuration file"
    );
    let counts = "2 to import, 1 of them without an account, 1 rejected, 0 in doubt, 0 malformed; nothing was sent";
    assert_eq!((status, printed), (Some(1), vec![unknown, counts.to_owned()]));
    assert!(!file.with_file_name("sellers.csv.journal").exists(), "a dry run creates nothing");

    // The answer to the token without an account is lost, so the journal has the line in doubt.
    let file = write(&stage, &[lines[0].clone(), lines[3].clone()]);
    let name = "reply lost: TikTok acted, then reset";
    stage.fake.fault_next(TOKEN_REFRESH, name, Fault::named(name).unwrap());
    assert_eq!(import(&stage, &file, "").0, Some(1));
    let (status, printed) = import(&stage, &file, "--dry-run");
    let counts = "0 to import, 0 of them without an account, 0 rejected, 1 in doubt, 0 malformed; nothing was sent";
    assert_eq!((status, printed[1].as_str()), (Some(1), counts));
    assert!(printed[0].starts_with("line 2: customer-3: in-doubt: an earlier run sent the token"), "{printed:?}");
    let (status, printed) = import(&stage, &file, "--dry-run --retry-in-doubt");
    let counts = "1 to import, 1 of them without an account, 0 rejected, 0 in doubt, 0 malformed; nothing was sent";
    assert_eq!((status, printed), (Some(0), vec![counts.to_owned()]));
    let (status, line) = stage.error(stage.command("import - --dry-run"), "customer,refresh_token\nc,R\n");
    let expected = "standard input has a line without an account; name a journal with --journal FILE";
    assert_eq!((status, line.as_str()), (Some(2), expected));
}

#[test]
fn an_unusable_file_is_refused_before_anything_is_opened() {
    let stage = Stage::new();
    let file = write(&stage, &[HEADER.to_owned()]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let command = || stage.command(&format!("import {}", file.display()));
    let (status, line) = stage.error(command(), "");
    assert_eq!(status, Some(3));
    assert!(line.ends_with("other users can read or write it (mode 644); make it private with chmod 600"), "{line}");
    fs::remove_file(&file).unwrap();
    let (status, line) = stage.error(command(), "");
    assert_eq!((status, line), (Some(3), format!("{}: there is no such file", file.display())));

    let dry = || stage.command("import - --dry-run");
    for (input, expected) in [
        ("", "the file is empty"),
        ("a,b\n", "line 1: column 1 of the header has an unknown name; use only these: customer, "),
        ("customer,account\n", "line 1: the header has no column refresh_token"),
    ] {
        let (status, line) = stage.error(dry(), input);
        assert_eq!(status, Some(2), "{input}");
        assert!(line.starts_with(expected), "{line}");
    }
}

#[test]
fn a_line_that_meets_a_rate_limit_is_imported_by_the_next_run() {
    let stage = Stage::new();
    let other = OtherSystem::new(&stage);
    let lines = ["one-shop", "several-regions", "cross-border"].map(|seller| {
        let held = other.held(seller);
        format!("{seller},{},{}", held.refresh_token, held.account)
    });
    let file = write(&stage, &[&[HEADER.to_owned()][..], &lines].concat());
    let name = "HTTP 429, Retry-After: 0";
    stage.fake.fault_next(TOKEN_REFRESH, name, Fault::named(name).unwrap());
    let (status, printed) = import(&stage, &file, "");
    assert_eq!(status, Some(1));
    assert!(printed.iter().any(|line| line.contains(": later: retry-after: rate-limited: ")), "{printed:?}");
    let counts = "2 connected, 0 account changed, 0 already connected, 0 rejected, 1 later, 0 in doubt, 0 malformed";
    assert_eq!(printed.last().unwrap(), counts);
    let (status, printed) = import(&stage, &file, "");
    let counts = "1 connected, 0 account changed, 2 already connected, 0 rejected, 0 later, 0 in doubt, 0 malformed";
    assert_eq!((status, printed.last().unwrap().as_str()), (Some(0), counts));
}

/// The import is killed while TikTok Shop has its requests. Nobody is refreshed twice: with an account, the claim is in
/// the storage. Without one, the line is in the journal.
#[test]
fn a_killed_import_is_continued_without_refreshing_anybody_twice() {
    let stage = Stage::new();
    let other = OtherSystem::new(&stage);
    let (named, unnamed) = (other.held("one-shop"), other.held("several-regions"));
    let file = write(
        &stage,
        &[
            HEADER.to_owned(),
            format!("customer-1,{},{}", named.refresh_token, named.account),
            format!("customer-2,{},", unnamed.refresh_token),
        ],
    );
    stage.ok("migrate", "");
    let gate = Gate::before(&stage, REFRESH);
    let arguments = format!("import {} --per-second 100", file.display());
    let mut killed = gate.command(&stage, &[], &arguments).spawn().unwrap();
    (0..2).for_each(|_| gate.wait_for_request());
    send("KILL", &killed);
    assert_eq!(killed.wait().unwrap().signal(), Some(9));
    // Another seller of the customer consents meanwhile. That says nothing about the line.
    stage.connect("customer-2", "cross-border");

    let (status, mut printed) = import(&stage, &file, "");
    let summary = printed.pop().unwrap();
    printed.sort();
    assert_eq!((status, printed.len()), (Some(1), 2), "{printed:?}");
    assert!(printed[0].starts_with("line 2: customer-1: later: retry-after: refresh-in-progress: "), "{printed:?}");
    let next = ". Next: run the same command again, two minutes later; docs/errors.md explains refresh-in-progress";
    assert!(printed[0].ends_with(next), "{printed:?}");
    assert!(
        printed[1].starts_with("line 3: customer-2: in-doubt: an earlier run sent the token, or was about to"),
        "{printed:?}"
    );
    let counts = "0 connected, 0 account changed, 0 already connected, 0 rejected, 1 later, 1 in doubt, 0 malformed";
    assert_eq!(summary, counts);

    // The claims of an earlier boot have lapsed. Within one boot, the test would have to wait for two minutes.
    let database = stage.data("fake-connections.sqlite");
    execute_sqlite(&database, "UPDATE tiktok_shop_tokens SET written_boot = 'an earlier boot'");
    let (status, printed) = import(&stage, &file, "--retry-in-doubt");
    let counts = "2 connected, 0 account changed, 0 already connected, 0 rejected, 0 later, 0 in doubt, 0 malformed";
    assert_eq!((status, printed.last().unwrap().as_str()), (Some(0), counts), "{printed:?}");
    let journal = file.with_file_name("sellers.csv.journal");
    assert_eq!(fs::metadata(&journal).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&journal).unwrap();
    assert!(!text.contains(&unnamed.refresh_token) && !text.contains("customer"), "the journal has only digests");

    let sent = requests(&stage);
    let (status, printed) = import(&stage, &file, "");
    let counts = "0 connected, 0 account changed, 2 already connected, 0 rejected, 0 later, 0 in doubt, 0 malformed";
    assert_eq!((status, printed.last().unwrap().as_str(), requests(&stage)), (Some(0), counts, sent));
}

/// Nobody knows whether TikTok Shop has acted. With an account, the token is stored. Without one, it is not sent again.
#[test]
fn a_line_whose_outcome_is_unknown_is_not_rejected() {
    let stage = Stage::new();
    let other = OtherSystem::new(&stage);
    let (named, unnamed) = (other.held("one-shop"), other.held("several-regions"));
    let lines = [
        format!("customer-1,{},{}", named.refresh_token, named.account),
        format!("customer-2,{},", unnamed.refresh_token),
    ];
    let file = write(&stage, &[&[HEADER.to_owned()][..], &lines].concat());
    let name = "HTTP 302 without a location";
    (0..2).for_each(|_| stage.fake.fault_next(TOKEN_REFRESH, name, Fault::named(name).unwrap()));
    let (status, mut printed) = import(&stage, &file, "");
    let counts = "0 connected, 0 account changed, 0 already connected, 0 rejected, 2 later, 0 in doubt, 0 malformed";
    assert_eq!((status, printed.pop().unwrap().as_str(), requests(&stage)), (Some(1), counts, 2), "{printed:?}");
    printed.sort();
    assert!(printed[0].starts_with("line 2: customer-1: later: upstream: redirected: "), "{printed:?}");
    assert!(printed[1].starts_with("line 3: customer-2: later: upstream: redirected: "), "{printed:?}");

    let (status, printed) = import(&stage, &file, "");
    let counts = "0 connected, 0 account changed, 0 already connected, 0 rejected, 1 later, 1 in doubt, 0 malformed";
    assert_eq!((status, printed.last().unwrap().as_str(), requests(&stage)), (Some(1), counts, 2), "{printed:?}");
}

/// TikTok Shop certainly did not act, so the next run sends the token of the line without being told to.
#[test]
fn a_line_without_an_account_that_stopped_the_import_is_not_in_doubt() {
    let stage = Stage::new();
    let other = OtherSystem::new(&stage);
    let held = other.held("one-shop");
    let file = write(&stage, &[HEADER.to_owned(), format!("customer-1,{},", held.refresh_token)]);
    let name = "HTTP 400, code 36009004: Invalid app_key";
    stage.fake.fault_next(TOKEN_REFRESH, name, Fault::named(name).unwrap());
    let (status, printed) = import(&stage, &file, "");
    assert!(status != Some(0) && printed[0].contains("misconfigured: app-rejected"), "{status:?} {printed:?}");
    let (status, printed) = import(&stage, &file, "");
    assert_eq!((status, printed[0].as_str()), (Some(0), "line 2: customer-1: connected"));
}

#[test]
fn a_journal_of_another_database_connects_nobody() {
    let stage = Stage::new();
    let other = OtherSystem::new(&stage);
    let held = other.held("one-shop");
    let file = write(&stage, &[HEADER.to_owned(), format!("customer-1,{},", held.refresh_token)]);
    let (status, _) = import(&stage, &file, "");
    assert_eq!((status, requests(&stage)), (Some(0), 1));

    let database = format!("sqlite:{}", stage.home().join("production.sqlite").display());
    stage.ok(&format!("migrate --storage {database}"), "");
    let (status, printed) = import(&stage, &file, &format!("--storage {database}"));
    let counts = "0 connected, 0 account changed, 0 already connected, 0 rejected, 0 later, 1 in doubt, 0 malformed";
    assert_eq!((status, printed[1].as_str(), requests(&stage)), (Some(1), counts, 1));
    let expected = "line 2: customer-1: in-doubt: an earlier run connected this seller, but this database has no ";
    assert!(printed[0].starts_with(expected), "{printed:?}");
}

#[test]
fn standard_input_needs_a_journal_for_a_line_without_an_account() {
    let stage = Stage::new();
    let other = OtherSystem::new(&stage);
    let held = other.held("one-shop");
    let lines = format!("customer,refresh-token\ncustomer-1,{}\n", held.refresh_token);
    let Run { status, stderr, .. } = stage.run(stage.command("import -"), &lines);
    assert_eq!(status, Some(2));
    assert!(stderr.contains("standard input has a line without an account; name a journal with --journal FILE"));
    assert_eq!(requests(&stage), 0);
    let journal = stage.home().join("journal");
    let with_journal = format!("import - --journal {}", journal.display());
    let expected = "line 2: customer-1: connected\n1 connected, 0 account changed, 0 already connected, 0 rejected, 0 later, 0 in doubt, 0 malformed\n";
    assert_eq!(stage.ok(&with_journal, &lines), expected);
    assert_eq!(requests(&stage), 1);
}
