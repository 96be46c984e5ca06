//! Writes the results: as a table for the terminal, as JSON, and as the page `docs/performance.md` with its plots.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use crate::figure::{FIGURES, Measured, number};
use crate::figures::Results;
use crate::machine::Machine;
use crate::round_trips;

/// The marks around the part of the page that the bench writes. The rest of the page is written by hand.
const BEGIN: &str = "<!-- Written by `cargo xtask bench --write-page`: from here … -->";
const END: &str = "<!-- … to here. -->";

/// Returns the table for the terminal.
pub(crate) fn text(results: &Results, machine: &Machine) -> String {
    let mut text = format!(
        "{} × {}, {:.0} GiB, {}, profile {}, {:.0} min\n\n",
        machine.processors,
        machine.processor,
        machine.memory_gib,
        machine.kernel,
        machine.profile,
        results.took.as_secs_f64() / 60.0
    );
    for figure in &results.figures {
        let [key, value, spread, bar, met] = figure.cells();
        let met = met.trim_matches('*');
        text += &format!("{key:<32} {value:>12}  {spread:<22} {bar:<12} {met}\n");
        if !figure.detail.is_empty() {
            text += &format!("{:<32} {}\n", "", figure.detail);
        }
    }
    text
}

/// Returns the results as one JSON object.
pub(crate) fn json(results: &Results, machine: &Machine) -> String {
    let figures: Map<_, _> = results.figures.iter().map(|figure| (figure.key.to_owned(), figure.json())).collect();
    let plots: Map<_, _> = results
        .plots
        .iter()
        .map(|plot| {
            let lines = plot.lines.iter().map(|line| (line.name.to_owned(), json!(line.points)));
            (plot.name.to_owned(), Value::Object(lines.collect()))
        })
        .collect();
    let report = json!({ "benchmark": "figures", "machine": machine, "figures": figures, "plots": plots });
    format!("{report:#}\n")
}

/// Writes the plots, and the part of the page between the marks.
pub(crate) fn write(docs: &Path, results: &Results, machine: &Machine, command: &str) -> Result<()> {
    let page = docs.join("performance.md");
    let text = fs::read_to_string(&page).with_context(|| format!("can't read {}", page.display()))?;
    let written = replaced(&text, &section(results, machine, command))
        .with_context(|| format!("{} has not the lines `{BEGIN}` and `{END}`", page.display()))?;
    let plots = docs.join("performance");
    fs::create_dir_all(&plots)?;
    for plot in &results.plots {
        fs::write(plots.join(format!("{}.svg", plot.name)), plot.svg())?;
    }
    Ok(fs::write(page, written)?)
}

/// Replaces the part between the marks.
fn replaced(page: &str, part: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{part}\n{END}{after}"))
}

/// Returns the part of the page that the bench writes.
fn section(results: &Results, machine: &Machine, command: &str) -> String {
    let Machine { processor, processors, memory_gib, kernel, profile, version, day } = machine;
    let mut text = format!(
        "Measured on {day} with version {version} in the profile `{profile}`, on {processors} × {processor} with \
         {memory_gib:.0} GiB of memory, {kernel}, in {:.0} minutes, by `{command}`.\n\n\
         | key | figure | value | spread | bar | |\n| --- | --- | --- | --- | --- | --- |\n",
        results.took.as_secs_f64() / 60.0
    );
    for figure in &results.figures {
        let what = FIGURES.iter().find(|known| known.key == figure.key).map_or("", |known| known.what);
        let [key, value, spread, bar, met] = figure.cells();
        text += &format!("| `{key}` | {what} | {value} | {spread} | {bar} | {met} |\n");
    }
    text += "\n### The numbers behind the figures\n\n| key | |\n| --- | --- |\n";
    let told = results.figures.iter().filter(|figure| !figure.detail.is_empty());
    for Measured { key, detail, .. } in told {
        // A `|` would end the cell of the table.
        text += &format!("| `{key}` | {} |\n", detail.replace('|', "\\|").replace('\n', " "));
    }
    for plot in &results.plots {
        text += &format!("\n### {}\n\n![{}](performance/{}.svg)\n\n", capitalized(plot.title), plot.title, plot.name);
        text += "| line | points |\n| --- | --- |\n";
        for line in &plot.lines {
            let points: Vec<_> = line.points.iter().map(|(x, y)| format!("{}: {}", number(*x), number(*y))).collect();
            text += &format!("| {} | {} |\n", line.name, points.join("; "));
        }
    }
    text += "\n### Round trips\n\n\
             The table lists the accesses of each operation to the storage, in order, and the round trips to PostgreSQL. \
             Statements are prepared, and the keys of the tenant are in memory. The accesses are the same for every \
             storage. An access with `_with_` in its name reads two values with one statement. With SQLite, each \
             access that writes is one transaction. A test asserts these numbers (`bench/src/round_trips.rs`).\n\n";
    text + &round_trips::table(&results.round_trips)
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(char::to_uppercase).into_iter().flatten();
    first.chain(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::{Axis, Line, Plot};

    #[test]
    fn what_people_wrote_around_the_marks_stays() {
        let page = format!("# Title\n\n{BEGIN}\n\nold\n{END}\n\n## Profiles\n");
        let expected = format!("# Title\n\n{BEGIN}\n\nnew\n{END}\n\n## Profiles\n");
        assert_eq!(replaced(&page, "new"), Some(expected.clone()));
        assert_eq!(replaced(&expected, "new"), Some(expected));
        assert_eq!(replaced("# Title\n", "new"), None);
    }

    #[test]
    fn figures_and_plots_are_written_into_the_page() {
        let docs = tempfile::tempdir().unwrap();
        let page = docs.path().join("performance.md");
        fs::write(&page, format!("# Title\n{BEGIN}\n{END}\n## Profiles\n")).unwrap();
        let line = Line { name: "p50", points: vec![(1.0, 2.0), (10.0, 1_500.0)] };
        let (x, y) = (Axis::logarithmic("calls"), Axis::linear("ms"));
        let results = Results {
            figures: vec![Measured::of_value("artifact_bytes", 299_000.0, "a | b")],
            plots: vec![Plot { name: "plot", title: "one plot", x, y, lines: vec![line] }],
            round_trips: Vec::new(),
            complete: true,
            took: std::time::Duration::from_secs(90),
        };
        write(docs.path(), &results, &Machine::read(), "cargo xtask bench --write-page").unwrap();
        let text = fs::read_to_string(&page).unwrap();
        let row = "| `artifact_bytes` | the component, in bytes | 299 000 |  | ≤ 300 000 | met |";
        for part in [
            row,
            "| `artifact_bytes` | a \\| b |",
            "### One plot",
            "](performance/plot.svg)",
            "| p50 | 1: 2; 10: 1 500 |",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(text.starts_with("# Title\n") && text.ends_with("## Profiles\n"), "{text}");
        assert!(fs::read_to_string(docs.path().join("performance/plot.svg")).unwrap().starts_with("<svg "));
    }

    #[test]
    fn the_page_in_the_documentation_has_the_marks() {
        assert!(replaced(include_str!("../../docs/performance.md"), "").is_some());
    }
}
