//! The limits of one call, and of concurrent calls.

/// How much one call may use, and how many calls run concurrently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The number of concurrent calls. Further calls wait for a free instance. Default: 100.
    pub concurrent_calls: u32,
    /// The size of the component in bytes, checked before it is compiled. Default: 4 MiB.
    pub component_bytes: u64,
    /// The linear memory of a call in bytes, the sum over all memories. Default: 64 MiB.
    pub memory_bytes: usize,
    /// The number of elements of each table. Default: 20 000.
    pub table_elements: usize,
    /// The bytes that one host call, or the result of the whole call, may copy out of the guest. Default: 8 MiB.
    pub hostcall_bytes: usize,
    /// The number of handles that a guest holds at the same time: requests, bodies, streams. Default: 1 000.
    pub handles: usize,
    /// The number of random bytes per request of the guest. Default: 64 KiB.
    pub random_bytes: u64,
    /// The size in memory of one set of HTTP header fields, in bytes. Default: 64 KiB.
    pub header_bytes: usize,
    /// The body of one HTTP response, in bytes. Default: 8 MiB.
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
    /// Checks that no limit is zero. The error is the name of a limit that is zero.
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
