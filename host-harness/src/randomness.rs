//! Randomness for the guest (nonces, jitter) and for the revisions of stored records.

use std::io;
use std::sync::Arc;

use wasmtime_wasi::p2::bindings::random::random;

use crate::error::Resource;
use crate::limits::Exceeded;

/// A source of random bytes that nobody can predict.
pub trait Randomness: Send + Sync {
    /// Fills the slice.
    ///
    /// # Errors
    /// The source failed. The call that asked for the bytes ends; there is no weaker fallback.
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()>;
}

/// The operating system's source.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandomness;

impl Randomness for SystemRandomness {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        getrandom::fill(bytes).map_err(|error| io::Error::other(error.to_string()))
    }
}

/// A [`Randomness`] as `wasi:random` wants it.
pub(crate) struct GuestRandomness {
    pub(crate) source: Arc<dyn Randomness>,
    /// Most bytes of one request.
    pub(crate) most: u64,
}

impl random::Host for GuestRandomness {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        if len > self.most {
            return Err(Exceeded(Resource::RandomBytes).into());
        }
        let mut bytes = vec![0; usize::try_from(len)?];
        self.source.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        let mut bytes = [0; 8];
        self.source.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}
