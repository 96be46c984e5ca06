//! Gives random bytes of the host to the guest, through `wasi:random`.

use std::sync::Arc;

use wasmtime_wasi::p2::bindings::random::random;

use super::resources::Exceeded;
use crate::error::Resource;
use crate::randomness::Randomness;

/// Implements `wasi:random` with a [`Randomness`].
pub(super) struct GuestRandomness {
    pub(super) source: Arc<dyn Randomness>,
    /// The largest number of bytes that one request may ask for.
    pub(super) max_bytes: u64,
}

impl random::Host for GuestRandomness {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        if len > self.max_bytes {
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
