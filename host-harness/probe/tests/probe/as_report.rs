//! Starts a fake with the report of a probe, and probes it: the second report names what the first has named.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use fake_tiktok_shop::Launch;
use tiktok_shop_probe::report::Ended;
use tiktok_shop_probe::run::run;

use crate::draw::{Draw, agrees, copy};
use crate::seed;

/// The number of fakes that are probed, copied and probed again.
const COPIES: u64 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn a_fake_that_is_started_with_a_report_behaves_like_the_fake_of_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let first = seed();
    for seed in (0..COPIES).map(|number| first.wrapping_add(number)) {
        let mut draw = Draw::with_every_option(seed).await;
        let settings = copy(&draw.settings, &draw.world);
        let now = draw.world.control.now();
        let report = run(settings, &mut draw.world).await.unwrap();
        let file = folder.path().join(format!("{seed}.json"));
        fs::write(&file, report.json().to_string()).unwrap();

        let launch = Launch {
            port: 0,
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            host_name: Vec::new(),
            sellers: None,
            report: Some(file),
            redirect: None,
            now: None,
        };
        let fake = launch.start().unwrap();
        let switches = fake.control().switches();
        // The announcement names what the report has changed.
        let (announced, values) = (fake.announcement(), serde_json::to_value(switches).unwrap());
        let defaults = serde_json::to_value(fake_tiktok_shop::Switches::default()).unwrap();
        let changed: serde_json::Map<_, _> =
            values.as_object().unwrap().clone().into_iter().filter(|(name, value)| defaults[name] != *value).collect();
        assert_eq!(fake.announcement_json()["changed_switches"], serde_json::Value::from(changed.clone()));
        assert_eq!(announced.contains("switches     all have their defaults"), changed.is_empty(), "{announced}");
        for (name, value) in changed {
            assert!(announced.contains(&format!("\n  {name}  {value}\n")), "{name} in {announced}");
        }
        // The same seller and the same app, on a fake with these switches.
        let mut again = Draw::with_every_option(seed).await;
        again.world.control.set_switches(switches);
        assert_eq!(again.world.control.now(), now);
        let settings = copy(&again.settings, &again.world);
        let second = run(settings, &mut again.world).await.unwrap();
        assert_eq!((&report.ended, &second.ended), (&Ended::Complete, &Ended::Complete), "seed {seed}");
        // The second report may name more, because a default may be easier to see than what the first fake did.
        for (switch, finding) in &report.findings {
            let (Some(value), again) = (finding.value(), &second.findings[switch]) else { continue };
            assert!(
                again.value().is_some() && agrees(again, value),
                "TIKTOK_SHOP_PROBE_SEED={seed} {switch:?} {again:?}"
            );
        }
    }
}
