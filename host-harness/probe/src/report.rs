//! The report of a run: as JSON for `fake --as`, and as a page for people.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::finding::Finding;
use crate::switch::Switch;

/// The member `format` of every report. `fake --as` reads only a file with this member.
pub const FORMAT: &str = "tiktok-shop-probe";
/// The version of the report's form.
pub const VERSION: u64 = 1;

/// Why a run has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "ended", content = "why", rename_all = "kebab-case")]
pub enum Ended {
    /// The probe has taken every step that the options allow.
    Complete,
    /// TikTok Shop refuses this machine's IP address.
    AllowList(String),
    /// There is no answer: the network is away, or a request can't be sent.
    Away(String),
    /// Nobody consented, or the callback was not one of this consent.
    NoConsent(String),
    /// TikTok Shop refused a step without which the others make no sense.
    Refused(String),
    /// The command was stopped.
    Stopped,
    /// TikTok Shop refuses the app key or the app secret.
    WrongSecret(String),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("every step was taken"),
            Self::AllowList(why) => write!(f, "TikTok Shop refuses the IP address of this machine: {why}"),
            Self::Away(why) => write!(f, "TikTok Shop does not answer: {why}"),
            Self::NoConsent(why) => write!(f, "there is no consent: {why}"),
            Self::Refused(why) => write!(f, "TikTok Shop refused: {why}"),
            Self::Stopped => f.write_str("the command was stopped"),
            Self::WrongSecret(why) => write!(f, "TikTok Shop refuses the app key or the app secret: {why}"),
        }
    }
}

/// An answer, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeenAnswer {
    /// What was asked, without parameters.
    pub request: String,
    /// The HTTP status.
    pub status: u16,
    /// The code of the envelope.
    pub code: Option<i64>,
    /// The message, without links and ids.
    pub message: String,
    /// The members of the envelope.
    pub members: Vec<String>,
    /// The JSON type of `data`, or `missing`.
    pub data: &'static str,
    /// The members of `data`.
    pub data_members: Vec<String>,
    /// The names of the headers.
    pub headers: Vec<String>,
    /// The header `content-type`.
    pub content_type: Option<String>,
}

/// A step: what the probe did, and what it saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What the probe did.
    pub did: String,
    /// The answers.
    pub answers: Vec<SeenAnswer>,
    /// What else the probe saw.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<String>,
}

/// Everything that a run has found out. It contains no secret and no id.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Whether the run was against a fake.
    pub is_fake: bool,
    /// The time at which the run began, in seconds since 1970.
    pub began_at: u64,
    /// Why the run has ended.
    pub ended: Ended,
    /// What may still be valid at TikTok Shop after the run.
    pub still_valid: Vec<String>,
    /// The answers to the questions.
    pub findings: BTreeMap<Switch, Finding>,
    /// What the probe has found out besides.
    pub facts: Vec<(String, String)>,
    /// The steps.
    pub steps: Vec<Step>,
}

impl Report {
    /// Returns the values for the switches of a fake.
    #[must_use]
    pub fn switches(&self) -> Map<String, Value> {
        let values = self.findings.iter().filter_map(|(switch, finding)| Some((*switch, finding.value()?)));
        values.map(|(switch, value)| (switch.name().to_owned(), value.clone())).collect()
    }

    /// Returns the report as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let findings: Vec<Value> = Switch::ALL
            .iter()
            .filter_map(|switch| {
                let mut members = Map::new();
                members.insert("switch".to_owned(), switch.name().into());
                members.insert("question".to_owned(), switch.question().into());
                // A finding is an object, because its type has a tag.
                let finding = serde_json::to_value(self.findings.get(switch)?).unwrap_or_default();
                members.extend(finding.as_object().cloned().unwrap_or_default());
                Some(Value::Object(members))
            })
            .collect();
        let facts = self.facts.iter().map(|(what, fact)| serde_json::json!({ "what": what, "seen": fact }));
        serde_json::json!({
            "format": FORMAT,
            "version": VERSION,
            "against": if self.is_fake { "a fake" } else { "TikTok Shop" },
            "began_at": self.began_at,
            "end": self.ended,
            "still_valid": self.still_valid,
            "switches": self.switches(),
            "findings": findings,
            "facts": facts.collect::<Vec<_>>(),
            "steps": self.steps,
        })
    }

    /// Returns the report as a page in Markdown.
    #[must_use]
    pub fn page(&self) -> String {
        let mut page = String::new();
        // Writing to a text can't fail.
        let _ = self.write_page(&mut page);
        page
    }

    fn write_page(&self, page: &mut String) -> fmt::Result {
        let against = if self.is_fake { "a fake TikTok Shop" } else { "TikTok Shop" };
        writeln!(page, "# Probe of {against}\n")?;
        writeln!(page, "The probe ended because {}.", self.ended)?;
        writeln!(page, "This report contains no secret, and no id or name of an app, a seller or a shop.\n")?;
        if !self.still_valid.is_empty() {
            writeln!(page, "## What may still be valid\n")?;
            self.still_valid.iter().try_for_each(|what| writeln!(page, "- {what}"))?;
            writeln!(page)?;
        }
        writeln!(page, "## Answers\n\n| question | answer | why |\n| --- | --- | --- |")?;
        for switch in Switch::ALL {
            let Some(finding) = self.findings.get(switch) else { continue };
            let value = finding.value().map(|value| format!(" `{}`", cell(&value.to_string()))).unwrap_or_default();
            let (question, word, why) = (switch.question(), finding.word(), cell(finding.why()));
            writeln!(page, "| {question} (`{}`) | {word}{value} | {why} |", switch.name())?;
        }
        writeln!(page, "\n## What else was seen\n\n| what | seen |\n| --- | --- |")?;
        self.facts.iter().try_for_each(|(what, fact)| writeln!(page, "| {} | {} |", cell(what), cell(fact)))?;
        writeln!(page, "\n## Steps\n")?;
        for (number, step) in (1..).zip(&self.steps) {
            writeln!(page, "{number}. {}", step.did)?;
            for answer in &step.answers {
                let code = answer.code.map_or_else(|| "no envelope".to_owned(), |code| format!("code {code}"));
                let SeenAnswer { request, status, message, data, data_members, .. } = answer;
                let data = format!("data: {data} {}", data_members.join(", "));
                writeln!(page, "   - `{request}`: HTTP {status}, {code}, “{message}”; {}", data.trim_end())?;
            }
            step.seen.iter().try_for_each(|seen| writeln!(page, "   - {seen}"))?;
        }
        Ok(())
    }
}

/// Returns a text that does not end a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}
