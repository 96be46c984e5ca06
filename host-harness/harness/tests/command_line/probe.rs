//! Runs the command `probe` against a fake: with a seller who decides at once, and with a person who pastes callbacks.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};

use fake_tiktok_shop::{
    Decision, RefreshTokenField, ReplacedRefreshToken, TokenPrefix, TokensAfterRemoval, WebhookDelay, WebhookTimestamp,
};
use serde_json::{Value, json};

use crate::Run;
use crate::gate::send;
use crate::stage::Stage;

/// Returns the two reports in the home folder of a stage.
fn reports(stage: &Stage) -> (Value, String) {
    let json = fs::read_to_string(stage.home().join("probe.json")).unwrap();
    let page = fs::read_to_string(stage.home().join("probe.md")).unwrap();
    (serde_json::from_str(&json).unwrap(), page)
}

/// Reads standard error until the command asks for a decision. Returns the link.
fn asked(child: &mut Child, decision: &str) -> String {
    let beginning = format!("note: {decision} the app as the seller on this page: ");
    let stderr = child.stderr.as_mut().unwrap();
    let mut reader = BufReader::with_capacity(1, stderr);
    let mut line = String::new();
    while !line.starts_with(&beginning) {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "the command ended");
    }
    line[beginning.len()..].trim().to_owned()
}

#[test]
fn a_probe_that_may_end_the_consent_writes_what_it_has_seen() {
    let stage = Stage::new();
    stage.fake.update_switches(|switches| {
        switches.replaced_refresh_token = ReplacedRefreshToken::HonouredForSeconds(30);
        switches.refresh_token_field = RefreshTokenField::Present;
        switches.token_prefix = TokenPrefix::Gcp;
        switches.tokens_after_removal = TokensAfterRemoval::HonouredForSeconds(7);
        switches.webhook_delay = WebhookDelay::Seconds(40);
        switches.webhook_timestamp = WebhookTimestamp::Text;
    });
    let arguments = "probe --consent-as cross-border --yes --end-the-consent --wait 10d --webhooks 127.0.0.1:0";
    let printed = stage.json(arguments, "").remove(0);
    let (json, page) = reports(&stage);
    assert_eq!(printed, json);
    assert_eq!(json["end"], json!({ "ended": "complete" }));
    let switches = &json["switches"];
    for (name, value) in [
        ("replaced_refresh_token", json!({ "honoured-for-seconds": 30 })),
        ("refresh_token_field", json!("present")),
        ("token_prefix", json!("gcp")),
        ("status_105002", json!("unauthorized")),
        ("deauthorize_shop", json!("shop")),
        ("last_shop_removed", json!("removes-grant")),
        ("tokens_after_removal", json!({ "honoured-for-seconds": 7 })),
        ("webhook_delay", json!({ "seconds": 40 })),
        ("webhook_timestamp", json!("text")),
        ("webhook_body", json!("as-signed")),
        ("webhook_copies", json!("one")),
        ("refused_webhook", json!("delivered")),
    ] {
        assert_eq!(switches[name], value, "{name}");
    }
    assert_eq!(switches.get("webhook_order"), None);
    assert!(page.starts_with("# Probe of a fake TikTok Shop\n\nThe probe ended because every step was taken.\n"));
    for secret in stage.fake.issued_secrets() {
        assert!(!page.contains(&secret.value) && !json.to_string().contains(&secret.value), "{secret:?}");
    }
    assert!(fs::read_dir(stage.home().join(".local")).is_err(), "no database and no key file");

    let exists = "./probe.json exists; name another folder with --report".to_owned();
    assert_eq!(stage.error(stage.command("probe --consent-as one-shop --yes"), ""), (Some(2), exists));
}

#[test]
fn a_fake_that_was_used_before_is_told_if_it_still_sends_webhooks() {
    let stage = Stage::new();
    stage.fake.queue_webhook(&stage.app().service_id, 6, Some("7490000000000000001"), json!({})).unwrap();
    let used = "note: the fake was used before: it still sends 1 webhook of earlier events, and they reach this probe, \
                too; to see only the webhooks of this run, start a new fake\n";
    let probe = "probe --consent-as one-shop --yes";
    let Run { status, stdout, stderr } = stage.run(stage.command(&format!("{probe} --webhooks 127.0.0.1:0")), "");
    assert!(status == Some(0) && stderr.contains(used), "{stderr}");
    assert!(stdout.contains(" of 40 questions are answered\n"), "{stdout}");
    let folder = tempfile::tempdir().unwrap();
    let without = stage.run(stage.command(&format!("{probe} --report {}", folder.path().display())), "");
    assert!(without.status == Some(0) && !without.stderr.contains("was used before"), "{}", without.stderr);
    let unit = "--wait <TIME>: a time without a unit; write 8s, 8m, 8h or 8d; see --help".to_owned();
    assert_eq!(stage.error(stage.command(&format!("{probe} --wait 8")), ""), (Some(2), unit));
}

#[test]
fn a_person_opens_the_links_and_pastes_the_callbacks() {
    let stage = Stage::new();
    let mut command = stage.command("probe --yes");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut paste = |text: &str| writeln!(input, "{text}").unwrap();
    let first = asked(&mut child, "REFUSE");
    assert!(first.starts_with(&format!("http://{}/open/authorize?", stage.fake.address())), "{first}");
    paste("");
    for _ in 0..2 {
        let link = asked(&mut child, "ALLOW");
        paste("this is no callback");
        paste(&format!("https://platform.example/cb?{}", stage.decide(&link, "one-shop", Decision::Allow)));
    }
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    let stdout = String::from_utf8(ended.stdout).unwrap();
    assert!(stdout.ends_with("\n./probe.json and ./probe.md are written\n"), "{stdout}");
    let (json, _) = reports(&stage);
    assert_eq!(json["switches"]["access_token_after_consent"], "honoured");
    assert_eq!(json["switches"].get("refusal_error"), None);
    // Steps that may end the consent need their flag.
    assert_eq!(json["switches"].get("replaced_refresh_token"), None);
    assert_eq!(stage.fake.grants()[0].consents, 2);
}

#[test]
fn a_probe_that_gets_a_signal_writes_a_partial_report() {
    for signal in ["INT", "TERM", "HUP"] {
        let stage = Stage::new();
        let mut command = stage.command("probe --yes --no-refusal");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let _open = child.stdin.take().unwrap();
        asked(&mut child, "ALLOW");
        send(signal, &child);
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(7), "{signal}");
        let stderr = String::from_utf8(ended.stderr).unwrap();
        let error = "error: stopped by a signal: ./probe.json and ./probe.md are written with what was found before\n";
        assert!(stderr.ends_with(error), "{signal}: {stderr}");
        let (json, _) = reports(&stage);
        assert_eq!(json["end"], json!({ "ended": "stopped" }));
        assert_eq!(json["switches"], json!({ "token_failure": "recorded", "wrong_secret": "ok" }));
    }
}

#[test]
fn a_probe_without_a_confirmation_an_app_or_a_consent_says_so_in_one_line() {
    let stage = Stage::new();
    let nobody = "nobody can be asked, because standard input is not a terminal; read the plan, and confirm with --yes";
    assert_eq!(stage.error(stage.command("probe --consent-as one-shop"), ""), (Some(2), nobody.to_owned()));
    assert_eq!(stage.fake.requests().len(), 0);

    let (status, error) = stage.error(stage.command_without_a_fake("probe --yes"), "");
    assert_eq!(status, Some(2));
    assert!(error.starts_with("tenant default has no app; set TIKTOK_SHOP_APP_KEY"), "{error}");

    let (status, error) = stage.error(stage.command("probe --yes --no-refusal"), "");
    let expected = "there is no consent: standard input has ended without a callback; ./probe.json and ./probe.md are \
                    written with what was found before";
    assert_eq!((status, error), (Some(4), expected.to_owned()));
}

#[test]
fn a_network_that_is_away_and_a_wrong_secret_have_their_exit_statuses() {
    let stage = Stage::new();
    let fault = fake_tiktok_shop::Fault::named("HTTP 200, code 36009033").unwrap();
    stage.fake.fault_every("/api/v2/token/get", "allow list", fault);
    let (status, error) = stage.error(stage.command("probe --yes --consent-as one-shop"), "");
    assert_eq!(status, Some(12));
    assert!(
        error.starts_with("TikTok Shop refuses the IP address of this machine: HTTP 200, code 36009033"),
        "{error}"
    );
    assert_eq!(reports(&stage).0["end"]["ended"], "allow-list");

    let stage = Stage::new();
    let fault = fake_tiktok_shop::Fault { acts: false, sends: Vec::new(), then: fake_tiktok_shop::Ending::Close };
    stage.fake.fault_every("/api/v2/token/get", "away", fault);
    let Run { status, stdout, stderr } = stage.run(stage.command("probe --yes --consent-as one-shop --json"), "");
    assert_eq!(status, Some(14), "{stderr}");
    let error: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&error["error"]["status"], &error["error"]["case"]), (&json!(14), &json!("upstream")));
}
