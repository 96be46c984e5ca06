//! A patch that breaks a rule, and the two lines at its head that describe it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

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
        let folder = xtask::workspace_root().join(FOLDER);
        let mut paths = Vec::new();
        for entry in folder.read_dir().context(FOLDER)? {
            paths.push(entry?.path());
        }
        paths.sort();
        paths.into_iter().map(Self::read).collect()
    }

    fn read(path: PathBuf) -> Result<Self> {
        let shown = path.display().to_string();
        let text = fs::read_to_string(&path).with_context(|| shown.clone())?;
        let (rules, breaks) = head(&text).with_context(|| format!("{shown} does not begin with Rules: and Breaks:"))?;
        let name = path.file_stem().map(Path::new).map(|stem| stem.display().to_string()).unwrap_or_default();
        Ok(Self { name, path, rules, breaks })
    }
}

fn head(text: &str) -> Option<(Vec<String>, String)> {
    let mut lines = text.lines();
    let rules = lines.next()?.strip_prefix("Rules: ")?;
    let breaks = lines.next()?.strip_prefix("Breaks: ")?;
    Some((rules.split(", ").map(str::to_owned).collect(), breaks.to_owned()))
}
