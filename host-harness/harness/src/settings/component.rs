//! Finds the file of the component.

use std::path::{Path, PathBuf};

use tiktok_shop_host::BuildError;
use tiktok_shop_private_file::PrivateFileError;

use crate::failure::{Failure, build_error_line};

const NAME: &str = "tiktok_shop_connector.wasm";
/// The folder of this package in the workspace in which this program was built.
const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");
/// The target folder of the workspace. `None` if `CARGO_TARGET_DIR` was not set when this program was built. A relative
/// path starts at the workspace.
const TARGET: Option<&str> = option_env!("CARGO_TARGET_DIR");

/// Returns the path of the component. If no path is given, looks in the folder of this program, and then at the path
/// where `cargo xtask dist` puts the component in the workspace in which this program was built. The function does not
/// look in the current folder, because anybody may have put a file there. The host refuses a file that other users can
/// replace.
pub(crate) fn component_file(given: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    candidates().find(|path| path.is_file()).ok_or_else(|| {
        Failure::Unavailable(format!(
            "no component: {NAME} is neither beside this program nor in the workspace in which it was built; build it \
             with cargo xtask dist, or name a file with --component"
        ))
    })
}

const ADVICE: &str =
    "; expected the component that cargo xtask dist builds: correct --component or TIKTOK_SHOP_COMPONENT";

/// Returns the failure of a host that can't be built with this file. If the component is at fault, the error names the
/// file.
#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's open list; the file is not at fault")]
pub(super) fn build_failure(file: &Path, error: &BuildError) -> Failure {
    let line = build_error_line(error);
    let advice = match error {
        BuildError::TooLarge { .. }
        | BuildError::NotAComponent(_)
        | BuildError::ImportNotOffered(_)
        | BuildError::NotAConnector(_) => ADVICE,
        BuildError::OtherComponent { .. } => "",
        // This error names the file itself.
        BuildError::Unreadable(PrivateFileError::Io { .. } | PrivateFileError::NotAFile(_)) => {
            return Failure::Unavailable(format!("{line}{ADVICE}"));
        }
        _ => return Failure::Unavailable(line),
    };
    let what = line.strip_prefix("component ").unwrap_or(&line);
    Failure::Unavailable(format!("component {}: {what}{advice}", file.display()))
}

fn candidates() -> impl Iterator<Item = PathBuf> {
    let beside = std::env::current_exe().ok().map(|program| program.with_file_name(NAME));
    let workspace = Path::new(PACKAGE).ancestors().nth(2);
    let built = workspace.map(|workspace| workspace.join(TARGET.unwrap_or("target")).join("dist").join(NAME));
    beside.into_iter().chain(built)
}
