//! The source of random bytes, which the guest uses for nonces and jitter, and the host for revisions, keys and states.

use std::io;

/// A source of unpredictable random bytes.
pub trait Randomness: Send + Sync {
    /// Fills the slice with random bytes.
    ///
    /// # Errors
    /// The source failed. The call that needs the bytes ends, because the host uses no weaker source instead.
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()>;
}

/// The random source of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandomness;

impl Randomness for SystemRandomness {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        getrandom::fill(bytes).map_err(|error| io::Error::other(error.to_string()))
    }
}

/// Draws 128 random bits.
///
/// # Errors
/// The source failed.
pub(crate) fn random_bits(randomness: &dyn Randomness) -> io::Result<u128> {
    let mut bits = [0; 16];
    randomness.fill(&mut bits)?;
    Ok(u128::from_be_bytes(bits))
}
