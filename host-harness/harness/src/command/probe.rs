//! `probe`: finds out with a development shop what TikTok Shop's documentation leaves open.

mod operator;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anstyle::Style;
use clap::Args;
use tiktok_shop_connector_core::authorization_link::LinkScheme;
use tiktok_shop_connector_core::credentials::Credentials;
use tiktok_shop_connector_core::secret::AppSecret;
use tiktok_shop_probe::finding::Finding;
use tiktok_shop_probe::http::Route;
use tiktok_shop_probe::report::{Ended, Report as ProbeReport};
use tiktok_shop_probe::run;
use tiktok_shop_probe::settings::{MAX_WAIT, Refusal, Risk, Settings, Webhooks};
use tiktok_shop_probe::switch::Switch;
use tiktok_shop_probe::webhook_receiver::WebhookReceiver;

use self::operator::{Operator, Time};
use crate::failure::Failure;
use crate::output::{Answer, GOOD, Report, can_ask, confirm, count};
use crate::settings::{AppArgs, LoneApp};

/// Find out with a development shop how TikTok Shop treats your app
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Probe {
    /// Folder for the reports probe.json and probe.md
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    report: PathBuf,

    /// Longest wait for one question: 15m, 2h, 8d; at most 400d
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = time)]
    wait: Duration,

    /// Also take steps after which TikTok Shop may end the consent
    #[arg(long)]
    risk_the_consent: bool,

    /// Also remove the shops, as the last step; includes --risk-the-consent
    #[arg(long)]
    end_the_consent: bool,

    /// Do not ask the seller to refuse the app once
    #[arg(long)]
    no_refusal: bool,

    /// Scopes that the app asks for, as in Partner Center, separated by commas
    #[arg(long, value_name = "SCOPES", value_delimiter = ',')]
    scopes: Vec<String>,

    /// IP address and port for webhooks of the app, such as 127.0.0.1:8000
    #[arg(long, value_name = "ADDRESS")]
    webhooks: Option<SocketAddr>,

    /// Consent as this seller of a fake, without asking
    #[arg(long, value_name = "SELLER")]
    consent_as: Option<String>,

    /// Skip the confirmation; required if standard input is not a terminal
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    app: AppArgs,
}

const AFTER_HELP: &str = "\
The command asks TikTok Shop itself, with a consent of its own. It opens no database. First it says
what it will do and what that could cost, and asks whether to begin. Use a development shop that
nothing else uses: even without a flag, other tokens of the app for this shop may stop working. Open
each consent link in the seller's browser, and paste the address to which the browser is sent back.

The steps that may end the consent come last, and only with their flag. With --webhooks, a proxy of
yours must pass TikTok Shop's webhooks on to the address. The command answers 200 to the first
webhook and 401 to the second. With a fake, waiting moves the fake's clock.

A question gets an answer only if no other answer fits. The reports contain no secret, and no id or
name of an app, a seller or a shop, so you can attach them to an issue. fake --as probe.json starts
a fake that behaves in the same way. If the command ends early, it writes partial reports, and says
what may still be valid. Read more in docs/going-live.md.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE:

  $ tiktok-shop-harness probe --consent-as one-shop --yes --report \"$(mktemp -d)\"
  …
  …/probe.json and …/probe.md are written

  $ tiktok-shop-harness probe --consent-as one-shop --yes --report /nowhere
  error: --report: /nowhere is not a folder

Exit status: 0 if every step was taken; 1 if the answer to the question was no; 2 if an argument is
malformed or a report exists; 4 if nobody consented; 7 if a signal stopped the command; 12 if
TikTok Shop refuses the app key, the secret or the IP address; 14 if TikTok Shop does not answer or
refuses a step without which the others make no sense; for others see tiktok-shop-harness --help.";

/// Reads a time of at most [`MAX_WAIT`]: a number with the unit s, m, h or d. A number without a unit is refused, because
/// most people who write 8 mean days or minutes, and not seconds.
fn time(text: &str) -> Result<Duration, String> {
    let malformed = || "not a time such as 900s, 15m, 2h or 8d".to_owned();
    let parse = |number: &str| number.parse::<u64>().map_err(|_| malformed());
    let (number, seconds) = match text.char_indices().next_back() {
        Some((at, 's')) => (text.get(..at), 1),
        Some((at, 'm')) => (text.get(..at), 60),
        Some((at, 'h')) => (text.get(..at), 3_600),
        Some((at, 'd')) => (text.get(..at), 86_400),
        Some(_) | None => {
            let number = parse(text)?;
            return Err(format!("a time without a unit; write {number}s, {number}m, {number}h or {number}d"));
        }
    };
    let number = parse(number.unwrap_or_default())?;
    let time = number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(malformed)?;
    if time > MAX_WAIT {
        let days = MAX_WAIT.as_secs() / 86_400;
        return Err(format!("longer than {days} days; an access token ends after 7 days, so 8d is usually enough"));
    }
    Ok(time)
}

impl Probe {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        if self.consent_as.is_some() && !self.app.names_fake() {
            return Err(Failure::Malformed(
                "--consent-as needs --fake, because the seller is one of a fake".to_owned(),
            ));
        }
        let files = Files::find(&self.report)?;
        let LoneApp { tenant, credentials, fake } = self.app.find().await?;
        let time = Arc::new(Time::of(fake).await?);
        let receiver = match self.webhooks {
            None => None,
            Some(address) => {
                let clock = Arc::clone(&time);
                let listening = WebhookReceiver::listen(address, Arc::new(move || clock.now())).await;
                Some(listening.map_err(|error| Failure::Malformed(format!("--webhooks {address}: {error}")))?)
            }
        };
        let link = credentials.authorization_link.ok_or_else(|| {
            Failure::Malformed(format!("tenant {tenant} has no authorization link; copy it from Partner Center"))
        })?;
        let settings = Settings {
            app: Credentials {
                app_key: credentials.app_key,
                app_secret: AppSecret::new(credentials.app_secret.expose().to_owned()),
                previous_app_secret: None,
                authorization_link: Some(link),
                link_scheme: LinkScheme::Https,
            },
            route: fake.map_or(Route::TikTokShop, |fake| Route::Fake(fake.socket())),
            risk: match (self.end_the_consent, self.risk_the_consent) {
                (true, _) => Risk::EndsConsent,
                (false, true) => Risk::MayEndConsent,
                (false, false) => Risk::None,
            },
            longest_wait: self.wait,
            refusal: if self.no_refusal { Refusal::Omitted } else { Refusal::Asked },
            webhooks: if receiver.is_some() { Webhooks::Received } else { Webhooks::None },
            app_scopes: self.scopes,
        };
        settings.plan().iter().for_each(|line| report.note(line));
        if let (Some(fake), Some(_)) = (fake, &receiver)
            && let waiting @ 1.. = operator::waiting_webhooks(fake).await?
        {
            report.note(&format!(
                "the fake was used before: it still sends {} of earlier events, and they reach this probe, too; to see \
                 only the webhooks of this run, start a new fake",
                count(waiting, "webhook", "webhooks")
            ));
        }
        if !self.yes {
            ask(report).await?;
        }
        report.check_stop()?;
        let mut operator = Operator::new(time, fake, self.consent_as, receiver, report.stop.clone());
        let found = run::run(settings, &mut operator).await;
        let found =
            found.map_err(|away| Failure::Probe(Ended::Away(away.to_string()), "nothing was sent".to_owned()))?;
        files.write(&found)?;
        let written = format!("{} and {} are written", files.json.display(), files.page.display());
        for what in &found.still_valid {
            report.urgent(&format!("still valid: {what}"));
        }
        let partial = format!("{written} with what was found before");
        match found.ended {
            Ended::Complete => {}
            // A thread may still read standard input. The program waits for it, except after this failure.
            Ended::Stopped => return Err(Failure::Stopped(partial)),
            ended @ (Ended::AllowList(_)
            | Ended::Away(_)
            | Ended::NoConsent(_)
            | Ended::Refused(_)
            | Ended::WrongSecret(_)) => return Err(Failure::Probe(ended, partial)),
        }
        if report.is_json() {
            report.json(&found.json());
        } else {
            print(&found, report);
            report.line(&written);
        }
        Ok(())
    }
}

/// Asks whether to begin.
async fn ask(report: &Report) -> Result<(), Failure> {
    if !can_ask() {
        return Err(Failure::Malformed(
            "nobody can be asked, because standard input is not a terminal; read the plan, and confirm with --yes"
                .to_owned(),
        ));
    }
    match confirm("Begin? [y/N]", &report.stop).await {
        Answer::Yes => Ok(()),
        Answer::No => Err(Failure::Refused("nothing was sent, because the answer was not yes".to_owned())),
        Answer::Stopped => Err(Failure::Stopped("nothing was sent".to_owned())),
    }
}

/// Prints the answers in the order of the questions.
fn print(found: &ProbeReport, report: &mut Report) {
    for switch in Switch::ALL {
        let Some(finding) = found.findings.get(switch) else { continue };
        let style = if matches!(finding, Finding::Seen { .. }) { GOOD } else { Style::new() };
        let value = finding.value().map(|value| format!(" {value}")).unwrap_or_default();
        report.styled(style, &format!("{:<14} {}{value}", finding.word(), switch.name()));
        if finding.value().is_none() {
            report.detail("why", Style::new(), finding.why());
        }
    }
    for (what, fact) in &found.facts {
        report.line(&format!("{:<14} {what}: {fact}", "also seen"));
    }
    let seen = found.findings.values().filter(|finding| finding.value().is_some()).count();
    report.line(&format!("{seen} of {} questions are answered", Switch::ALL.len()));
}

/// The files of the reports.
struct Files {
    json: PathBuf,
    page: PathBuf,
}

impl Files {
    /// Checks that the folder exists and that it has no report yet.
    fn find(folder: &Path) -> Result<Self, Failure> {
        if !folder.is_dir() {
            return Err(Failure::Malformed(format!("--report: {} is not a folder", folder.display())));
        }
        let files = Self { json: folder.join("probe.json"), page: folder.join("probe.md") };
        let existing = [&files.json, &files.page].into_iter().find(|file| file.exists());
        if let Some(file) = existing {
            return Err(Failure::Malformed(format!("{} exists; name another folder with --report", file.display())));
        }
        Ok(files)
    }

    fn write(&self, found: &ProbeReport) -> Result<(), Failure> {
        let json = serde_json::to_string_pretty(&found.json()).unwrap_or_default() + "\n";
        for (file, text) in [(&self.json, json), (&self.page, found.page())] {
            let written = fs::write(file, text);
            written.map_err(|error| Failure::Unavailable(format!("{}: {error}", file.display())))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_number_and_a_unit() {
        for (text, seconds) in
            [("0s", 0), ("900s", 900), ("15m", 900), ("2h", 7_200), ("8d", 691_200), ("400d", 34_560_000)]
        {
            assert_eq!(time(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "m", "1.5h", "-1", "8 d", "1w", "é", "99999999999999999999d", "9999999999999999999d"] {
            assert_eq!(time(text), Err("not a time such as 900s, 15m, 2h or 8d".to_owned()), "{text}");
        }
        let too_long = "longer than 400 days; an access token ends after 7 days, so 8d is usually enough".to_owned();
        for text in ["401d", "34560001s", "36136d"] {
            assert_eq!(time(text), Err(too_long.clone()), "{text}");
        }
        for number in ["0", "8", "90"] {
            let advice = format!("a time without a unit; write {number}s, {number}m, {number}h or {number}d");
            assert_eq!(time(number), Err(advice));
        }
    }
}
