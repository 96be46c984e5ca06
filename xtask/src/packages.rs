//! Makes the packages for Node.js and for Python as they are published: in the profile `release`, and only with the
//! features that each package asks for.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::progress;

/// The folder of the package for Node.js, in the workspace's folder.
const NODE: &str = "host-harness/node";
/// The folder of the package for Python, in the workspace's folder.
const PYTHON: &str = "host-harness/python";

/// Checks whether this machine can make a package for Node.js.
///
/// # Errors
/// Node.js or npm is missing.
pub(crate) fn check_node() -> Result<()> {
    run(xtask::program("node").arg("--version")).context("no Node.js on this machine")?;
    run(xtask::program("npm").arg("--version")).context("no npm on this machine")
}

/// Makes the archive that `npm pack` makes, and returns its path. The component must be built.
pub(crate) fn node() -> Result<PathBuf> {
    let package = "tiktok-shop-node";
    let packages = xtask::executable_package_count(package);
    progress::show("Building the addon for Node.js", packages, |report| {
        let mut command = xtask::cargo();
        command.args(["build", "--locked", "--release", "--package", package]);
        xtask::build(command, report)
    })?;
    let (target, folder) = (xtask::target_directory()?, empty_folder("node")?);
    run(xtask::program("node").arg(format!("{NODE}/scripts/assemble.mjs")).env("CARGO_TARGET_DIR", &target))?;
    let mut pack = xtask::program("npm");
    pack.current_dir(xtask::workspace_root().join(NODE));
    run(pack.args(["pack", "--silent", "--pack-destination"]).arg(&folder))?;
    only_file(&folder)
}

/// The tool that makes the wheel.
pub(crate) struct Maturin {
    /// The Python of the virtual environment that contains maturin.
    python: PathBuf,
}

impl Maturin {
    /// Installs maturin into a virtual environment in cargo's target folder, unless it is there.
    ///
    /// # Errors
    /// Python is missing, or maturin can't be installed.
    pub(crate) fn install() -> Result<Self> {
        run(xtask::program("python3").arg("--version")).context("no Python on this machine")?;
        let requirements = fs::read_to_string(xtask::workspace_root().join(PYTHON).join("requirements.txt"))?;
        let pinned = requirements.lines().find(|line| line.starts_with("maturin=="));
        let pinned = pinned.context("requirements.txt names no version of maturin")?;
        let environment = xtask::target_directory()?.into_std_path_buf().join(pinned.replace("==", "-"));
        let python = environment.join("bin/python");
        let is_installed = run(xtask::program(&python).args(["-m", "maturin", "--version"]).stderr(Stdio::null()));
        if is_installed.is_err() {
            progress::say(&format!("installing {pinned} for Python"));
            run(xtask::program("python3").args(["-m", "venv", "--clear"]).arg(&environment))
                .context("can't create a virtual environment")?;
            let arguments = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", pinned];
            run(xtask::program(&python).args(arguments)).with_context(|| format!("can't install {pinned}"))?;
        }
        Ok(Self { python })
    }

    /// Makes the wheel, and returns its path. The component must be built.
    pub(crate) fn wheel(&self) -> Result<PathBuf> {
        let (target, folder) = (xtask::target_directory()?, empty_folder("python")?);
        let assemble = format!("{PYTHON}/scripts/assemble.py");
        run(xtask::program(&self.python).arg(assemble).env("CARGO_TARGET_DIR", &target))?;
        progress::say("Building the wheel for Python ...");
        let mut build = xtask::program_that_runs_cargo(&self.python);
        build.args(["-m", "maturin", "build", "--release", "--locked", "--quiet", "--out"]).arg(&folder);
        build.args(["--interpreter".as_ref(), self.python.as_os_str()]).args(["--manifest-path", "Cargo.toml"]);
        run(build.current_dir(xtask::workspace_root().join(PYTHON)).env("CARGO_TARGET_DIR", &target))?;
        progress::say("Building the wheel for Python: done");
        only_file(&folder)
    }
}

/// Runs a command. Its standard output is not shown, because the task may print JSON.
fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.stdout(Stdio::null()).status().with_context(|| format!("can't start {name}"))?;
    if !status.success() {
        let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        bail!("{name} {} ended with {status}", arguments.join(" "));
    }
    Ok(())
}

/// Returns an empty folder for a package of this language, in cargo's target folder.
fn empty_folder(language: &str) -> Result<PathBuf> {
    let folder = xtask::target_directory()?.into_std_path_buf().join("bench-packages").join(language);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn only_file(folder: &Path) -> Result<PathBuf> {
    let files = folder.read_dir()?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    match <[_; 1]>::try_from(files) {
        Ok([file]) => Ok(file),
        Err(files) => bail!("{} has {} files in place of one package", folder.display(), files.len()),
    }
}
