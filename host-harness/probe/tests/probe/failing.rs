//! Runs that end early: each has a reason in one line, and a report about the steps before.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use fake_tiktok_shop::{Ending, Fault, Piece, ReplacedRefreshToken, WrongSecret};
use tiktok_shop_connector_core::secret::AppSecret;
use tiktok_shop_probe::finding::Finding;
use tiktok_shop_probe::http::Route;
use tiktok_shop_probe::report::{Ended, Report};
use tiktok_shop_probe::run::run;
use tiktok_shop_probe::settings::Risk;
use tiktok_shop_probe::switch::Switch;

use crate::world::FakeWorld;

const START: u64 = 1_767_225_600;
/// The path of Deauthorize Shop.
const REMOVE_SHOP: &str = "/authorization/202403/shops";

fn world() -> FakeWorld {
    FakeWorld::new(START, 0, "one-shop")
}

/// Returns the number of questions whose value the report names.
fn named(report: &Report) -> usize {
    assert_eq!(report.findings.len(), Switch::ALL.len(), "every question has a finding");
    report.findings.values().filter(|finding| matches!(finding, Finding::Seen { .. })).count()
}

#[tokio::test]
async fn without_the_network_the_report_is_empty_and_says_so() {
    let mut world = world();
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let mut settings = world.settings();
    settings.route = Route::Fake(SocketAddr::from((Ipv4Addr::LOCALHOST, free.port())));
    let report = run(settings, &mut world).await.unwrap();
    assert_eq!(report.ended.to_string(), "TikTok Shop does not answer: Connection refused (os error 111)");
    assert_eq!(named(&report), 0);
    assert_eq!(report.switches().len(), 0);
    assert_eq!(report.still_valid, Vec::<String>::new());
}

#[tokio::test]
async fn a_wrong_secret_ends_the_run_before_the_consent() {
    for (answer, ended) in [
        (WrongSecret::Ok, "HTTP 200, code 36009004, “Invalid app_key or app_secret”"),
        (WrongSecret::BadRequest, "HTTP 400, code 36009004, “Invalid app_key or app_secret”"),
        (WrongSecret::Unauthorized, "HTTP 401, code 36009004, “Invalid app_key or app_secret”"),
    ] {
        let mut world = world();
        world.control.update_switches(|switches| switches.wrong_secret = answer);
        let mut settings = world.settings();
        settings.app.app_secret = AppSecret::new("a-wrong-secret-of-an-operator".to_owned());
        let report = run(settings, &mut world).await.unwrap();
        assert_eq!(report.ended, Ended::WrongSecret(ended.to_owned()));
        assert_eq!((named(&report), world.control.requests().len()), (0, 1));
    }
}

#[tokio::test]
async fn a_wrong_secret_that_looks_like_a_wrong_code_ends_the_run_at_the_exchange() {
    let mut world = world();
    world.control.update_switches(|switches| switches.wrong_secret = WrongSecret::BadGrant);
    let mut settings = world.settings();
    settings.app.app_secret = AppSecret::new("a-wrong-secret-of-an-operator".to_owned());
    let report = run(settings, &mut world).await.unwrap();
    let ended = "TikTok Shop refused: the code of the consent gets HTTP 200, code 36004004, “invalid auth code”; the code \
                 was used or is too old, or the app secret is wrong";
    assert_eq!(report.ended.to_string(), ended);
    // The failure of the token host, the error of a refusal, and the callback.
    assert_eq!(named(&report), 3);
}

#[tokio::test]
async fn an_allow_list_ends_the_run_wherever_it_is_enforced() {
    for path in ["/api/v2/token/get", "/api/v2/token/refresh", "/authorization/202309/shops"] {
        let mut world = world();
        let fault = Fault::named("HTTP 200, code 36009033").unwrap();
        world.control.fault_every(path, "allow list", fault);
        let settings = world.settings();
        let report = run(settings, &mut world).await.unwrap();
        let ended = "HTTP 200, code 36009033, “The IP address is not on the list of the app. For more details: [link]”";
        assert_eq!(report.ended, Ended::AllowList(ended.to_owned()), "{path}");
        let valid = report.still_valid.first().map(|what| what.starts_with("The authorization"));
        assert_eq!(valid, (path != "/api/v2/token/get").then_some(true), "{path}");
    }
}

#[tokio::test]
async fn a_stopped_run_says_what_may_still_be_valid() {
    let mut world = world();
    // The refusal, then the first consent.
    world.decisions_left = 2;
    let settings = world.settings();
    let report = run(settings, &mut world).await.unwrap();
    assert_eq!(report.ended, Ended::Stopped);
    let code = "The code of the consent, which works once within 30 minutes. It was not stored.";
    assert_eq!(report.still_valid, [code]);
    assert_eq!(report.findings[&Switch::RefusalError].value().unwrap(), "auth_denied");
    assert!(
        report.page().starts_with("# Probe of a fake TikTok Shop\n\nThe probe ended because the command was stopped.")
    );
}

#[tokio::test]
async fn a_run_that_loses_the_network_keeps_what_it_has_found() {
    let mut world = world();
    let fault = Fault::named("HTTP 502, HTML").unwrap();
    world.control.fault_every("/api/v2/token/refresh", "gateway", fault);
    let settings = world.settings();
    let report = run(settings, &mut world).await.unwrap();
    let ended = "TikTok Shop refused: a refresh gets HTTP 502, no envelope and no access token";
    assert_eq!(report.ended.to_string(), ended);
    assert_eq!(report.findings[&Switch::InvalidAccessToken].value().unwrap(), "105001");
    let Finding::NotObservable { why } = &report.findings[&Switch::RefreshTokenField] else { panic!("no refresh") };
    assert_eq!(*why, format!("the run ended before: {ended}"));
    assert_eq!(report.still_valid.len(), 1);
    let warnings = world.said.iter().filter(|said| said.contains("also if this command is killed")).count();
    assert_eq!(warnings, 1, "a killed command could not say it any more");
    let until = "2124-12-08T00:00:00Z";
    assert!(report.still_valid[0].starts_with(&format!("The authorization that this run has got, until {until} ")));
}

#[tokio::test]
async fn an_answer_that_repeats_secrets_puts_none_into_the_report() {
    let mut world = world();
    let (key, secret) = (world.app.app_key.clone(), world.app.app_secret.clone());
    let message = format!("app {key} with {secret} may not see 7490000000000000001, see https://x.example/{secret}");
    let body = format!(r#"{{"code":105005,"message":"{message}"}}"#);
    let head = format!("HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    let fault = Fault { acts: false, sends: vec![Piece::Text(head + &body)], then: Ending::Close };
    world.control.fault_every("/authorization/202309/shops", "repeats secrets", fault);
    let settings = world.settings();
    let report = run(settings, &mut world).await.unwrap();
    assert_eq!(report.ended, Ended::Complete);
    let (json, page) = (report.json().to_string(), report.page());
    let shown = "HTTP 401, code 105005, “app [removed] with [removed] may not see [removed] see [link]”";
    assert!(page.contains(shown), "{page}");
    for secret in [&key, &secret, "7490000000000000001", "x.example"] {
        assert!(!json.contains(secret) && !page.contains(secret), "{secret}");
    }
    assert_eq!(report.findings[&Switch::RefreshTokenField].value().unwrap(), "present");
    // An invented token gets the same answer, so the answer does not show that a token works.
    for switch in [Switch::AccessTokenAfterRefresh, Switch::AccessTokenAfterConsent] {
        let why = "the answer says neither that it works nor that it is invalid".to_owned();
        assert_eq!(report.findings[&switch], Finding::Unclear { why }, "{switch:?}");
    }
}

#[tokio::test]
async fn a_text_that_turns_out_to_be_a_sellers_name_later_is_removed_from_earlier_answers() {
    let mut world = world();
    let seller = world.control.sellers().into_iter().find(|seller| seller.id == world.seller).unwrap().name;
    let body = format!(
        r#"{{"{seller}":1,"code":36004004,"data":{{"{seller}":1}},"message":"no code of {seller} at 10.0.0.1"}}"#
    );
    let head = format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/{seller}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let fault = Fault { acts: false, sends: vec![Piece::Text(head + &body)], then: Ending::Close };
    world.control.fault_next("/api/v2/token/get", "names the seller", fault);
    let settings = world.settings();
    let report = run(settings, &mut world).await.unwrap();
    assert_eq!(report.ended, Ended::Complete);
    let answer = &report.steps[0].answers[0];
    assert_eq!(answer.message, "no code of [removed] at [removed]");
    assert_eq!(answer.members, ["[removed]", "code", "data", "message"]);
    assert_eq!(answer.data_members, ["[removed]"]);
    assert_eq!(answer.content_type.as_deref(), Some("text/[removed]"));
    let (json, page) = (report.json().to_string(), report.page());
    assert!(!json.contains(&seller) && !page.contains(&seller), "{page}");
}

/// Another seller may have signed in between two consents. That seller has agreed to no loss.
#[tokio::test]
async fn another_sellers_consent_ends_the_run_before_it_can_cost_that_consent() {
    // The second consent, or the third, which is needed because a replay has ended the second.
    for (decision, stands) in [(2, 2), (3, 1)] {
        let mut world = world();
        world.control.update_switches(|switches| switches.replaced_refresh_token = ReplacedRefreshToken::RevokesFamily);
        world.other_sellers.insert(decision, "several-regions".to_owned());
        let mut settings = world.settings();
        settings.risk = Risk::EndsConsent;
        let report = run(settings, &mut world).await.unwrap();
        let why = "a later consent does not show the open_id of the first, so it may be another seller's".to_owned();
        assert_eq!(report.ended, Ended::NoConsent(why), "{decision}");
        assert_eq!(world.states.len(), decision + 1);
        assert_eq!(report.still_valid.len(), stands, "{decision}");
        let removals = world.control.requests().into_iter().filter(|request| request.path == REMOVE_SHOP).count();
        assert_eq!(removals, 0, "{decision}");
    }
}

#[tokio::test]
async fn a_gateway_that_is_busy_once_refuses_no_grant_type() {
    let mut world = world();
    // The first refresh gets TikTok Shop's own answer. The second, which has the other grant type, meets the gateway.
    let text = |text: &str| Piece::Text(text.to_owned());
    let head = text("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: ");
    let sends = vec![head, Piece::AnswerLength, text("\r\n\r\n"), Piece::Answer { skip: 0, take: None }];
    let own = Fault { acts: true, sends, then: Ending::Close };
    world.control.fault_next("/api/v2/token/refresh", "own answer", own);
    let busy = Fault::named("HTTP 503, JSON").unwrap();
    world.control.fault_next("/api/v2/token/refresh", "busy", busy);
    let settings = world.settings();
    let report = run(settings, &mut world).await.unwrap();
    assert_eq!(report.ended, Ended::Complete);
    let why = "a refresh with authorized_code gets HTTP 503, code 36009003, which may have another reason".to_owned();
    assert_eq!(report.findings[&Switch::RefreshGrantType], Finding::Unclear { why });
    assert_eq!(report.findings[&Switch::AccessTokenAfterConsent].value().unwrap(), "honoured");
}
