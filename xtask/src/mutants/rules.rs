//! Reads the rules of the refresh protocol from the page that states them.

use std::fs;

use anyhow::{Context as _, Result, bail};

const PAGE: &str = "docs/refresh.md";
const HEADING: &str = "\n## The rules\n";

/// A rule: one row of the tables under the heading `HEADING`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// The number of the rule, such as `2.1`. A row that states a promise has a name instead of a number.
    pub(super) name: String,
    pub(super) says: String,
}

impl Rule {
    /// Reads all rules, in the order of the page.
    pub(super) fn all() -> Result<Vec<Self>> {
        let page = fs::read_to_string(xtask::workspace_root().join(PAGE)).context(PAGE)?;
        let rules = read(&page);
        if rules.is_empty() {
            bail!("{PAGE} states no rules");
        }
        Ok(rules)
    }
}

fn read(page: &str) -> Vec<Rule> {
    let section = page.split_once(HEADING).map_or("", |(_, rest)| rest);
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let mut rules = Vec::new();
    for line in section.lines() {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let (Some(name), Some(says)) = (cells.next(), cells.next()) else { continue };
        if name == "---" {
            // This line separates the table's heading from its rows, so the row before it is the heading.
            rules.pop();
        } else {
            rules.push(Rule { name: name.to_owned(), says: says.to_owned() });
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_a_row_of_the_tables_under_the_heading() {
        let page = "| no | rule |\n\n## The rules\n\nWords.\n\n| promise | |\n| --- | --- |\n| alone | one sends |\n\n\
                    | rule | |\n| --- | --- |\n| 1.1 | wait |\n\n## Why\n\n| 2 | no rule |\n";
        let rule = |name: &str, says: &str| Rule { name: name.into(), says: says.into() };
        assert_eq!(read(page), [rule("alone", "one sends"), rule("1.1", "wait")]);
    }
}
