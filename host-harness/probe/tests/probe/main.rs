//! Runs the probe against fakes with random settings, and compares its report with these settings.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may panic, and prints its seed"
)]

mod as_report;
mod draw;
mod failing;
mod misleading;
mod world;

use std::collections::BTreeMap;

use draw::Draw;
use futures::StreamExt as _;
use tiktok_shop_probe::finding::Finding;
use tiktok_shop_probe::report::Ended;
use tiktok_shop_probe::run::run;
use tiktok_shop_probe::switch::Switch;

/// The number of fakes that are probed at the same time.
const AT_ONCE: usize = 4;

/// Returns the seed of the draws. The variable repeats the draws of an earlier run.
fn seed() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the variable repeats a failed run")]
    let given = std::env::var("TIKTOK_SHOP_PROBE_SEED").ok();
    given.map_or_else(|| fastrand::u64(..), |text| text.parse().expect("TIKTOK_SHOP_PROBE_SEED is a number"))
}

/// What became of one draw.
struct Outcome {
    seed: u64,
    mistakes: Vec<String>,
    named: Vec<Switch>,
    requests: usize,
}

/// What the report of a draw is compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    /// With everything that a probe can know.
    Complete,
    /// Only with the settings that the report names.
    NotWrong,
}

async fn probe(seed: u64, mut draw: Draw, check: Check) -> Outcome {
    let settings = draw::copy(&draw.settings, &draw.world);
    let report = run(settings, &mut draw.world).await.unwrap();
    let mut mistakes = match check {
        Check::Complete => draw.compare(&report),
        Check::NotWrong => draw.wrong(&report),
    };
    if check == Check::Complete && report.ended != Ended::Complete {
        mistakes.push(format!("the run ended: {}", report.ended));
    }
    let (json, page) = (report.json().to_string(), report.page());
    for secret in draw.secrets() {
        if json.contains(&secret) || page.contains(&secret) {
            mistakes.push(format!("the report contains {secret}"));
        }
    }
    let clock = report.facts.iter().find(|(what, _)| what == "clock").map(|(_, fact)| fact.as_str());
    let expected = match draw.world.skew {
        0 => "the clock of this machine is right to the second".to_owned(),
        ahead @ 1.. => format!("the clock of this machine is {ahead} s ahead of TikTok Shop's"),
        behind => format!("the clock of this machine is {} s behind TikTok Shop's", -behind),
    };
    if clock != Some(expected.as_str()) {
        mistakes.push(format!("clock: expected {expected}, found {clock:?}"));
    }
    let named = report.findings.iter().filter(|(_, finding)| matches!(finding, Finding::Seen { .. }));
    let named = named.map(|(switch, _)| *switch).collect();
    Outcome { seed, mistakes, named, requests: draw.world.control.requests().len() }
}

/// Prints how often each switch was named, and fails if a report is wrong or incomplete.
fn judge(first: u64, outcomes: &[Outcome]) -> BTreeMap<Switch, usize> {
    let mut times: BTreeMap<Switch, usize> = Switch::ALL.iter().map(|switch| (*switch, 0)).collect();
    outcomes.iter().flat_map(|outcome| &outcome.named).for_each(|switch| *times.entry(*switch).or_default() += 1);
    println!("{} draws from the seed {first}; how often each switch was named:", outcomes.len());
    times.iter().for_each(|(switch, times)| println!("{times:4}  {}", switch.name()));
    println!("{} requests", outcomes.iter().map(|outcome| outcome.requests).sum::<usize>());
    let mistakes: Vec<_> = outcomes
        .iter()
        .filter(|outcome| !outcome.mistakes.is_empty())
        .map(|outcome| format!("TIKTOK_SHOP_PROBE_SEED={}\n  {}", outcome.seed, outcome.mistakes.join("\n  ")))
        .collect();
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    times
}

/// Probes a number of fakes, several at the same time.
async fn probe_all<F>(count: u64, check: Check, draw: impl Fn(u64) -> F) -> BTreeMap<Switch, usize>
where
    F: Future<Output = Draw> + Send + 'static,
{
    let first = seed();
    let outcomes: Vec<_> = futures::stream::iter((0..count).map(|number| first.wrapping_add(number)))
        .map(|seed| {
            let draw = draw(seed);
            tokio::spawn(async move { probe(seed, draw.await, check).await })
        })
        .buffer_unordered(AT_ONCE)
        .map(Result::unwrap)
        .collect()
        .await;
    assert_eq!(outcomes.len() as u64, count);
    judge(first, &outcomes)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_observable_setting_is_named_and_none_is_named_wrongly() {
    probe_all(48, Check::Complete, Draw::with_every_option).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_few_options_fewer_settings_are_named_and_none_wrongly() {
    let times = probe_all(24, Check::Complete, |seed| async move { Draw::with_few_options(seed) }).await;
    for switch in [Switch::DeauthorizeShop, Switch::WebhookBody, Switch::AccessTokenAfterEnd] {
        assert_eq!(times[&switch], 0, "{switch:?} needs a step or a wait that these options do not allow");
    }
}

#[tokio::test]
async fn a_question_that_needs_an_option_names_it_in_its_reason() {
    let mut world = world::FakeWorld::new(1_767_225_600, 0, "one-shop");
    let settings = world.settings();
    let report = run(settings, &mut world).await.unwrap();
    for (switch, why) in [
        (
            Switch::ReplacedRefreshToken,
            "the steps of this run did not answer it; run the probe with --risk-the-consent to see it",
        ),
        (
            Switch::RefreshTokenAfterConsent,
            "it needs a step that may end the consent; run the probe with --risk-the-consent to see it",
        ),
        (
            Switch::DeauthorizeShop,
            "the steps of this run did not answer it; run the probe with --end-the-consent to see it",
        ),
        (
            Switch::DeauthorizeNotice,
            "the run removed no shop; run the probe with --end-the-consent and --webhooks ADDRESS to see it",
        ),
        (Switch::WebhookBody, "the run received no webhooks; run the probe with --webhooks ADDRESS to see it"),
        (
            Switch::Status105002,
            "the access token ends at 2026-01-08T00:00:00Z, and the run may not wait so long; run the probe with --wait \
             8d to see it",
        ),
        (
            Switch::AccessTokenAfterEnd,
            "the authorization ends at 2124-12-08T00:00:00Z, and the run may not wait so long; --wait is at most 400 days, \
             so only a consent that ends sooner can show it",
        ),
        (
            Switch::GrantedScopesField,
            "every listed scope works, and it is unknown which scopes the app asks for; name them with --scopes to see it",
        ),
    ] {
        assert_eq!(report.findings[&switch], Finding::NotObservable { why: why.to_owned() }, "{switch:?}");
    }
}

/// The authorization may end between any two steps.
#[tokio::test(flavor = "multi_thread")]
async fn with_short_authorizations_no_setting_is_named_wrongly() {
    probe_all(48, Check::NotWrong, Draw::with_short_authorizations).await;
}

#[test]
fn the_probe_asks_about_every_switch_of_the_fake() {
    let switches = serde_json::to_value(fake_tiktok_shop::Switches::default()).unwrap();
    let mut of_the_fake: Vec<_> = switches.as_object().unwrap().keys().map(String::as_str).collect();
    let mut of_the_probe: Vec<_> = Switch::ALL.iter().map(|switch| switch.name()).collect();
    of_the_fake.sort_unstable();
    of_the_probe.sort_unstable();
    assert_eq!(of_the_probe, of_the_fake);
}
