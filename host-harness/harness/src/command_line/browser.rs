//! What stands for a browser: a secret of this user, which binds a consent to who began it.

use std::fs;
use std::path::Path;

use tiktok_shop_host::consent::BrowserSession;
use tiktok_shop_host::randomness::Randomness as _;
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_private_file as private_file;

use super::failure::Failure;
use super::settings::browser_session;

const MOST_BYTES: u64 = 1024;

/// This user's; made on first use.
pub(crate) fn session() -> Result<BrowserSession, Failure> {
    let path = browser_session()?;
    let secret = match private_file::read(&path, MOST_BYTES)? {
        Some(secret) => secret,
        None => drawn(&path)?,
    };
    BrowserSession::new(secret.trim_end().into())
        .ok_or_else(|| Failure::Unavailable(format!("{}: not a browser session; delete the file", path.display())))
}

/// Of two processes that make it both use the first one's.
fn drawn(path: &Path) -> Result<String, Failure> {
    let mut bits = [0; 32];
    SystemRandomness.fill(&mut bits).map_err(|error| Failure::Unavailable(format!("no randomness: {error}")))?;
    private_file::write(path, &hex::encode(bits), false)?;
    fs::read_to_string(path).map_err(|error| Failure::Unavailable(format!("{}: {error}", path.display())))
}
