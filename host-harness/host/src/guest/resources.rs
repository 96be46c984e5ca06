//! Ends a call that uses more than its [`Limits`], and reports the resource that the call used up.

use wasmtime::component::ResourceTableError;
use wasmtime::{ResourceLimiter, Trap};
use wasmtime_wasi_http::FieldMapError;

use crate::error::Resource;
use crate::limits::Limits;

/// The error that ends a call when its guest reaches a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("used up its {0}")]
pub(super) struct Exceeded(pub(super) Resource);

/// Returns the resource whose limit ended the call. `None` if the call ended for another reason.
pub(super) fn exhausted(error: &wasmtime::Error) -> Option<Resource> {
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
    // wasmtime reports these two limits only as a text.
    let words = error.root_cause().to_string();
    if words.ends_with("store handle limit exceeded") {
        Some(Resource::Handles)
    } else if words.ends_with("fuel allocated for hostcalls has been exhausted") {
        Some(Resource::HostcallBytes)
    } else {
        None
    }
}

/// Ends a call whose memories or tables would grow beyond a limit. The call ends with an error. The guest does not get
/// -1, because its allocator would turn -1 into a trap that looks like a bug.
pub(super) struct Growth {
    memory_left: usize,
    table_elements: usize,
}

impl Growth {
    pub(super) fn new(limits: &Limits) -> Self {
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
    fn all_memories_share_one_limit() {
        let mut growth = growth();
        assert!(growth.memory_growing(0, 2 * PAGE, None).unwrap());
        assert!(growth.memory_growing(0, 2 * PAGE, None).unwrap());
        assert_eq!(end(growth.memory_growing(2 * PAGE, 3 * PAGE, None)), Some(Resource::Memory));
    }

    #[test]
    fn growth_beyond_a_memorys_own_maximum_fails_without_using_the_limit() {
        let mut growth = growth();
        assert!(!growth.memory_growing(0, 4 * PAGE, Some(PAGE)).unwrap());
        assert!(growth.memory_growing(0, 4 * PAGE, None).unwrap());
    }

    #[test]
    fn each_table_has_its_own_limit() {
        let mut growth = growth();
        assert!(growth.table_growing(0, 10, None).unwrap());
        assert!(growth.table_growing(0, 10, None).unwrap());
        assert_eq!(end(growth.table_growing(10, 11, None)), Some(Resource::Table));
    }

    #[test]
    fn other_traps_are_not_reported_as_exhausted() {
        assert_eq!(exhausted(&Trap::UnreachableCodeReached.into()), None);
        assert_eq!(exhausted(&ResourceTableError::NotPresent.into()), None);
        assert_eq!(exhausted(&FieldMapError::Forbidden.into()), None);
    }
}
