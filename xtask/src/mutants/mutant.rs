//! A patch that breaks a rule of the refresh protocol, and the two lines at its head that describe it.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::patch::Patch;

const FOLDER: &str = "connector-core/mutants";

/// A file `<name>.patch`: the lines `Rules:` and `Breaks:`, then the patch for `git apply`.
pub(super) struct Mutant {
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// The names of the rules that the patch breaks.
    pub(super) rules: Vec<String>,
    /// A sentence about the connector's wrong behaviour with the patch.
    pub(super) breaks: String,
}

impl Mutant {
    /// Reads all mutants, sorted by name.
    pub(super) fn all() -> Result<Vec<Self>> {
        Patch::all(FOLDER)?.into_iter().map(Self::read).collect()
    }

    fn read(patch: Patch) -> Result<Self> {
        let Patch { name, path, text } = patch;
        let wrong = || format!("{} does not begin with Rules: and Breaks:", path.display());
        let (rules, breaks) = head(&text).with_context(wrong)?;
        Ok(Self { name, path, rules, breaks })
    }
}

fn head(text: &str) -> Option<(Vec<String>, String)> {
    let mut lines = text.lines();
    let rules = lines.next()?.strip_prefix("Rules: ")?;
    let breaks = lines.next()?.strip_prefix("Breaks: ")?;
    Some((rules.split(", ").map(str::to_owned).collect(), breaks.to_owned()))
}
