//! Shows how many connections are lost in simulated years: as a table for the terminal, as JSON, and as the page
//! `docs/losses.md` with its plot.

mod plot;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::report;

/// The policies of the simulated TikTok and the heads of their columns, from the mildest.
const POLICIES: [(&str, &str); 5] = [
    ("Reusable", "stays valid"),
    ("GraceWithNewPair", "new pairs for 10 min"),
    ("GraceWithSamePair", "the same pair for 10 min"),
    ("Strict", "refused"),
    ("RevokesFamily", "refused, all tokens revoked"),
];

const STRATEGIES: [&str; 6] =
    ["refresh-on-demand", "process-lock", "one-worker", "database-lock", "this connector", "unavoidable"];

/// The causes of a loss, as they follow each other in a refresh.
const CAUSES: [&str; 6] =
    ["race", "answer lost", "killed while waiting", "stalled", "killed before the save", "save failed"];

/// The grace period that the policies have, in seconds.
const GRACE: u64 = 600;

/// What was found for one strategy under one policy.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Cell {
    policy: String,
    strategy: String,
    /// How many times as often as in a normal year everything fails.
    faults: f64,
    /// The length of the grace period in seconds.
    grace: u64,
    years: u64,
    refreshes: u64,
    losses: u64,
    /// The losses in a million connection-years.
    in_a_million: f64,
    /// The ends of the 95 % interval of `in_a_million`.
    low: f64,
    high: f64,
    /// For each cause, the losses.
    causes: BTreeMap<String, u64>,
}

/// A line that the simulation prints.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Cell(Cell),
    Rates { rates: Vec<[String; 3]> },
}

/// What the simulation has printed.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Losses {
    cells: Vec<Cell>,
    /// Each fault, its rate, and the reason for the rate.
    rates: Vec<[String; 3]>,
}

impl Losses {
    /// Reads a line of the simulation. Lines that are no JSON say nothing about losses. Returns a summary for the
    /// terminal if the line is a new result.
    pub(crate) fn read(&mut self, line: &str) -> Result<Option<String>> {
        if !line.starts_with('{') {
            return Ok(None);
        }
        match serde_json::from_str(line).with_context(|| line.to_owned())? {
            Line::Cell(cell) => {
                let Cell { policy, strategy, faults, losses, years, .. } = &cell;
                let known = CAUSES.iter().filter_map(|cause| cell.causes.get(*cause)).sum::<u64>();
                ensure!(known == *losses, "a loss has a cause that is not in {CAUSES:?}");
                let summary = format!("{policy}, {strategy}, {faults} × faults: {losses} lost in {years} years");
                self.cells.push(cell);
                Ok(Some(summary))
            }
            Line::Rates { rates } => {
                self.rates = rates;
                Ok(None)
            }
        }
    }

    /// Returns whether every strategy was played under every policy.
    pub(crate) fn is_complete(&self) -> bool {
        let normal = |policy| STRATEGIES.iter().all(|strategy| self.cell(policy, strategy, 1.0, GRACE).is_some());
        POLICIES.iter().all(|(policy, _)| normal(policy))
    }

    fn cell(&self, policy: &str, strategy: &str, faults: f64, grace: u64) -> Option<&Cell> {
        self.cells.iter().find(|cell| {
            (cell.policy.as_str(), cell.strategy.as_str(), cell.grace) == (policy, strategy, grace)
                && (cell.faults - faults).abs() < 0.1
        })
    }

    /// Returns the table for the terminal.
    pub(crate) fn text(&self) -> String {
        let mut rows = vec![
            ["strategy", "policy", "faults", "grace", "years", "refreshes", "lost", "in a million"].map(str::to_owned),
        ];
        for (policy, _) in POLICIES {
            let of_policy = self.cells.iter().filter(|cell| cell.policy == policy);
            rows.extend(of_policy.map(|cell| {
                [
                    cell.strategy.clone(),
                    cell.policy.clone(),
                    format!("{} ×", cell.faults),
                    format!("{} s", cell.grace),
                    number(cell.years as f64),
                    number(cell.refreshes as f64),
                    number(cell.losses as f64),
                    cell.rate(),
                ]
            }));
        }
        report::aligned(&rows)
    }

    /// Returns the results as one JSON object.
    pub(crate) fn json(&self) -> Result<String> {
        Ok(format!("{}\n", serde_json::to_string_pretty(self)?))
    }

    /// Writes the plot, and the parts of the page between the marks.
    pub(crate) fn write(&self, docs: &Path, command: &str) -> Result<()> {
        let page = docs.join("losses.md");
        let mut text = fs::read_to_string(&page).with_context(|| page.display().to_string())?;
        for (name, part) in
            [("the answer", self.answer(command)), ("the figures", self.figures()), ("the rates", self.rates())]
        {
            text = replaced(&text, name, &part)
                .with_context(|| format!("{} has not the marks of {name}", page.display()))?;
        }
        fs::create_dir_all(docs.join("losses"))?;
        fs::write(docs.join("losses/lost-connections.svg"), plot::svg(&self.groups()))?;
        Ok(fs::write(page, text)?)
    }

    /// Returns the cells of a normal year for the plot, by policy.
    fn groups(&self) -> Vec<(&'static str, Vec<&Cell>)> {
        let cells = |policy| STRATEGIES.iter().filter_map(|name| self.cell(policy, name, 1.0, GRACE)).collect();
        POLICIES.iter().map(|(policy, title)| (*title, cells(policy))).collect()
    }

    fn answer(&self, command: &str) -> String {
        let mut text = self.by_policy(1.0);
        text +=
            "\n![Lost connections in a million connection-years, with 95 % intervals](losses/lost-connections.svg)\n\n";
        let years = |strategy| self.cell("Strict", strategy, 1.0, GRACE).map_or(0, |cell| cell.years);
        text += &format!(
            "Played with version {} by `{command}`: {} connection-years\nfor each number in the first two rows, and {} for \
             each other number.\n",
            env!("CARGO_PKG_VERSION"),
            number(years("refresh-on-demand") as f64),
            number(years("this connector") as f64)
        );
        text
    }

    /// Returns a table with a row for each strategy and a column for each policy.
    fn by_policy(&self, faults: f64) -> String {
        let heads: Vec<_> = POLICIES.iter().map(|(_, title)| *title).collect();
        let mut text = format!("| strategy | {} |\n|{}\n", heads.join(" | "), " --- |".repeat(heads.len() + 1));
        for strategy in STRATEGIES {
            let cells = POLICIES
                .iter()
                .map(|(policy, _)| self.cell(policy, strategy, faults, GRACE).map_or_else(String::new, Cell::rate));
            text += &format!("| {} | {} |\n", shown(strategy), cells.collect::<Vec<_>>().join(" | "));
        }
        text
    }

    fn figures(&self) -> String {
        let mut text = "### A bad week\n\nEverything fails ten times as often.\n\n".to_owned();
        text += &self.by_policy(10.0);
        text += "\n### A short grace period\n\nTikTok gives the same pair again, for ten minutes or for one minute.\n\n\
                 | strategy | 10 min | 1 min |\n| --- | --- | --- |\n";
        for strategy in STRATEGIES {
            let rate =
                |grace| self.cell("GraceWithSamePair", strategy, 1.0, grace).map_or_else(String::new, Cell::rate);
            text += &format!("| {} | {} | {} |\n", shown(strategy), rate(GRACE), rate(60));
        }
        text += "\n### Refreshes\n\nThe pairs that TikTok issues in a connection-year.\n\n";
        let heads: Vec<_> = POLICIES.iter().map(|(_, title)| *title).collect();
        text += &format!("| strategy | {} |\n|{}\n", heads.join(" | "), " --- |".repeat(heads.len() + 1));
        for strategy in STRATEGIES {
            let refreshes = POLICIES.iter().map(|(policy, _)| {
                let cell = self.cell(policy, strategy, 1.0, GRACE);
                cell.map_or_else(String::new, |cell| format!("{:.1}", cell.refreshes as f64 / cell.years as f64))
            });
            text += &format!("| {} | {} |\n", shown(strategy), refreshes.collect::<Vec<_>>().join(" | "));
        }
        for (policy, title) in POLICIES {
            let cells: Vec<_> =
                STRATEGIES.iter().filter_map(|strategy| self.cell(policy, strategy, 1.0, GRACE)).collect();
            if cells.iter().any(|cell| cell.losses > 0) {
                text += &format!("\n### Causes, if the token is {title}\n\n{}", causes(&cells));
            }
        }
        text
    }

    fn rates(&self) -> String {
        let mut text = "| what fails | rate | reason for the rate |\n| --- | --- | --- |\n".to_owned();
        for [fault, rate, reason] in &self.rates {
            text += &format!("| {fault} | {rate} | {reason} |\n");
        }
        text
    }
}

/// Returns a table with the share of each cause.
fn causes(cells: &[&Cell]) -> String {
    let mut text = format!("| strategy | lost | {} |\n|{}\n", CAUSES.join(" | "), " --- |".repeat(CAUSES.len() + 2));
    for cell in cells.iter().filter(|cell| cell.losses > 0) {
        let shares = CAUSES.iter().map(|cause| match cell.causes.get(*cause) {
            None | Some(0) => "–".to_owned(),
            Some(losses) => share(100.0 * *losses as f64 / cell.losses as f64),
        });
        let lost = number(cell.losses as f64);
        text += &format!("| {} | {lost} | {} |\n", shown(&cell.strategy), shares.collect::<Vec<_>>().join(" | "));
    }
    text
}

impl Cell {
    /// Returns the losses in a million connection-years with their interval.
    fn rate(&self) -> String {
        if self.losses == 0 {
            return format!("0 (at most {})", number(self.high));
        }
        format!("{} ({} to {})", number(self.in_a_million), number(self.low), number(self.high))
    }
}

fn shown(strategy: &str) -> String {
    match strategy {
        "this connector" => "**this connector**".to_owned(),
        "unavoidable" => "*unavoidable*".to_owned(),
        _ => format!("`{strategy}`"),
    }
}

fn share(percent: f64) -> String {
    if percent < 0.1 { "< 0.1 %".to_owned() } else { format!("{percent:.1} %") }
}

/// Formats a number. From 1000 on, spaces separate groups of three digits.
fn number(value: f64) -> String {
    if value < 10.0 && value.fract() > 0.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Replaces the part of the page between the marks with this name.
fn replaced(page: &str, name: &str, part: &str) -> Option<String> {
    let begin = format!("<!-- Written by `cargo xtask simulate --years N --write-page`: {name}, from here … -->");
    let end = format!("<!-- … {name}, to here. -->");
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n\n{part}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CELL: &str = r#"{"policy":"Strict","strategy":"one-worker","faults":1.0,"grace":600,
        "years":100000,"refreshes":6030000,"losses":660,"in_a_million":6600.4,"low":6106.2,"high":7123.5,"causes":{"answer lost":600,"save failed":60}}"#;

    fn read() -> Losses {
        let mut losses = Losses::default();
        assert_eq!(losses.read("running 5 tests").unwrap(), None);
        let summary = losses.read(&CELL.replace('\n', "")).unwrap();
        assert_eq!(summary.as_deref(), Some("Strict, one-worker, 1 × faults: 660 lost in 100000 years"));
        assert_eq!(losses.read(r#"{"rates":[["a kill","1 a day","deploys"]]}"#).unwrap(), None);
        losses
    }

    #[test]
    fn a_result_is_read_from_a_line_of_json() {
        let losses = read();
        assert_eq!((losses.cells.len(), losses.rates.len(), losses.is_complete()), (1, 1, false));
        assert!(losses.text().contains("6 600 (6 106 to 7 124)"), "{}", losses.text());
        assert!(losses.json().unwrap().contains(r#""losses": 660"#));
        let unknown = CELL.replace('\n', "").replace("save failed", "something else");
        let error = Losses::default().read(&unknown).unwrap_err().to_string();
        assert!(error.starts_with("a loss has a cause that is not in"), "{error}");
    }

    #[test]
    fn the_tables_and_the_plot_are_written_into_the_page() {
        let docs = tempfile::tempdir().unwrap();
        let page = docs.path().join("losses.md");
        let mut text = "# Title\n".to_owned();
        for name in ["the answer", "the figures", "the rates"] {
            text += &format!(
                "\nBefore {name}.\n\n<!-- Written by `cargo xtask simulate --years N --write-page`: {name}, from here … \
                 -->\nold\n<!-- … {name}, to here. -->\n"
            );
        }
        fs::write(&page, text).unwrap();
        read().write(docs.path(), "cargo xtask simulate").unwrap();
        let text = fs::read_to_string(&page).unwrap();
        for part in [
            "# Title\n\nBefore the answer.",
            "| `one-worker` |  |  |  | 6 600 (6 106 to 7 124) |  |",
            "| `one-worker` | 660 | – | 90.9 % | – | – | – | 9.1 % |",
            "| a kill | 1 a day | deploys |",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains("old"), "{text}");
        let svg = fs::read_to_string(docs.path().join("losses/lost-connections.svg")).unwrap();
        assert!(svg.starts_with("<svg ") && svg.contains(">one-worker</text>"), "{svg}");
    }

    #[test]
    fn the_page_in_the_documentation_has_the_marks() {
        let page = include_str!("../../docs/losses.md");
        for name in ["the answer", "the figures", "the rates"] {
            assert!(replaced(page, name, "").is_some(), "{name}");
        }
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [(0.0, "0"), (3.689, "3.7"), (123.4, "123"), (31_896_133.3, "31 896 133")] {
            assert_eq!(number(value), text);
        }
    }
}
