//! Reads the patch files in a folder of mutants.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// A file `<name>.patch`: lines that describe the mutant, then the patch for `git apply`.
pub(super) struct Patch {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Patch {
    /// Reads all files of this folder of the workspace, sorted by name.
    pub(super) fn all(folder: &str) -> Result<Vec<Self>> {
        let mut paths = Vec::new();
        for entry in xtask::workspace_root().join(folder).read_dir().with_context(|| folder.to_owned())? {
            paths.push(entry?.path());
        }
        paths.sort();
        paths.into_iter().map(Self::read).collect()
    }

    fn read(path: PathBuf) -> Result<Self> {
        ensure!(path.extension().is_some_and(|extension| extension == "patch"), "{} is no patch", path.display());
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let name = path.file_stem().map(Path::new).map(|stem| stem.display().to_string()).unwrap_or_default();
        Ok(Self { name, path, text })
    }
}
