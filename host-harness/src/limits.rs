//! How much one call may use.

use wasmtime::component::ResourceTableError;
use wasmtime::{ResourceLimiter, Trap};
use wasmtime_wasi_http::FieldMapError;

use crate::error::Resource;

/// How much one call may use, and how many calls run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Calls at the same time; more wait for a free instance.
    pub concurrent_calls: u32,
    /// Size of the component file, checked before it is compiled.
    pub component_bytes: u64,
    /// Linear memory of a call, over all memories together.
    pub memory_bytes: usize,
    /// Elements of each table.
    pub table_elements: usize,
    /// What one host call, or the result of the whole call, may copy out of the guest.
    pub hostcall_bytes: usize,
    /// Handles a guest holds at once: requests, bodies, streams.
    pub handles: usize,
    /// Random bytes that the guest gets at once.
    pub random_bytes: u64,
    /// In-memory size of one set of HTTP header fields.
    pub header_bytes: usize,
    /// Body of one HTTP response.
    pub response_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrent_calls: 100,
            component_bytes: 4 << 20,
            memory_bytes: 64 << 20,
            table_elements: 20_000,
            hostcall_bytes: 8 << 20,
            handles: 1_000,
            random_bytes: 64 << 10,
            header_bytes: 64 << 10,
            response_bytes: 8 << 20,
        }
    }
}

impl Limits {
    /// The name of a limit that is zero, if one is.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let Self {
            concurrent_calls,
            component_bytes,
            memory_bytes,
            table_elements,
            hostcall_bytes,
            handles,
            random_bytes,
            header_bytes,
            response_bytes,
        } = *self;
        let named = [
            ("concurrent_calls", concurrent_calls == 0),
            ("component_bytes", component_bytes == 0),
            ("memory_bytes", memory_bytes == 0),
            ("table_elements", table_elements == 0),
            ("hostcall_bytes", hostcall_bytes == 0),
            ("handles", handles == 0),
            ("random_bytes", random_bytes == 0),
            ("header_bytes", header_bytes == 0),
            ("response_bytes", response_bytes == 0),
        ];
        named.into_iter().find(|(_, zero)| *zero).map_or(Ok(()), |(name, _)| Err(name))
    }
}

/// Raised into a guest that asks for more than it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("used up its {0}")]
pub(crate) struct Exceeded(pub(crate) Resource);

/// What a guest used up, if that is what ended it.
pub(crate) fn exhausted(error: &wasmtime::Error) -> Option<Resource> {
    if let Some(Exceeded(resource)) = error.downcast_ref() {
        return Some(*resource);
    }
    if let Some(Trap::StackOverflow) = error.downcast_ref() {
        return Some(Resource::Stack);
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return Some(Resource::Handles);
    }
    if let Some(FieldMapError::TooManyFields | FieldMapError::TotalSizeTooBig) = error.downcast_ref() {
        return Some(Resource::HeaderBytes);
    }
    // wasmtime has words for these, but no type that can be named here.
    let words = error.root_cause().to_string();
    if words.ends_with("store handle limit exceeded") {
        Some(Resource::Handles)
    } else if words.ends_with("fuel allocated for hostcalls has been exhausted") {
        Some(Resource::HostcallBytes)
    } else {
        None
    }
}

/// Ends a call that outgrows [`Limits`]. A refused growth raises an error instead of returning -1 to the guest: its
/// allocator could only turn that into a trap that looks like a bug.
pub(crate) struct Growth {
    memory_left: usize,
    table_elements: usize,
}

impl Growth {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { memory_left: limits.memory_bytes, table_elements: limits.table_elements }
    }
}

impl ResourceLimiter for Growth {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let Some(left) = self.memory_left.checked_sub(desired.saturating_sub(current)) else {
            return Err(Exceeded(Resource::Memory).into());
        };
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.memory_left = left;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > self.table_elements {
            return Err(Exceeded(Resource::Table).into());
        }
        Ok(maximum.is_none_or(|maximum| desired <= maximum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 1 << 16;

    fn growth() -> Growth {
        Growth::new(&Limits { memory_bytes: 4 * PAGE, table_elements: 10, ..Limits::default() })
    }

    fn end(grown: wasmtime::Result<bool>) -> Option<Resource> {
        exhausted(&grown.unwrap_err())
    }

    #[test]
    fn memories_share_one_limit() {
        let mut growth = growth();
        assert!(growth.memory_growing(0, 2 * PAGE, None).unwrap());
        assert!(growth.memory_growing(0, 2 * PAGE, None).unwrap());
        assert_eq!(end(growth.memory_growing(2 * PAGE, 3 * PAGE, None)), Some(Resource::Memory));
    }

    #[test]
    fn growth_beyond_a_memorys_own_maximum_fails_in_the_guest_and_costs_nothing() {
        let mut growth = growth();
        assert!(!growth.memory_growing(0, 4 * PAGE, Some(PAGE)).unwrap());
        assert!(growth.memory_growing(0, 4 * PAGE, None).unwrap());
    }

    #[test]
    fn each_table_has_the_limit_to_itself() {
        let mut growth = growth();
        assert!(growth.table_growing(0, 10, None).unwrap());
        assert!(growth.table_growing(0, 10, None).unwrap());
        assert_eq!(end(growth.table_growing(10, 11, None)), Some(Resource::Table));
    }

    #[test]
    fn a_trap_of_another_kind_is_no_limit() {
        assert_eq!(exhausted(&Trap::UnreachableCodeReached.into()), None);
        assert_eq!(exhausted(&ResourceTableError::NotPresent.into()), None);
        assert_eq!(exhausted(&FieldMapError::Forbidden.into()), None);
    }
}
