//! Functions that each use up one resource of the host. A function that returns `!` runs until the host stops it.

use core::hint::black_box;

use crate::bindings::tiktok_shop::connector::storage;
use crate::bindings::wasi::clocks::{monotonic_clock, wall_clock};
use crate::bindings::wasi::http::types::{Fields, OutgoingRequest};
use crate::bindings::wasi::random::random;
use crate::request;

/// Computes without end.
pub(crate) fn time() -> ! {
    loop {
        black_box(());
    }
}

/// Allocates memory without end, 1 MiB at a time.
pub(crate) fn memory() -> ! {
    loop {
        core::mem::forget(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Calls itself `depth` times. The compiler cannot turn the recursion into a loop. The stack frames are small on
/// purpose: with large frames, Rust's own stack in linear memory would overflow before the runtime's stack.
pub(crate) fn stack(depth: usize) -> usize {
    black_box(depth).checked_sub(1).map_or(0, |less| stack(less) + 1)
}

/// Holds `count` handles at the same time.
pub(crate) fn handles(count: usize) -> usize {
    let held: Vec<_> = (0..count).map(|_| Fields::new()).collect();
    held.len()
}

/// Adds this many header fields of 1 KiB each to one set of headers. Returns how many fields the host accepted.
pub(crate) fn headers(kilobytes: usize) -> usize {
    let fields = Fields::new();
    (0..kilobytes).filter(|_| fields.append("x-more", &[b'x'; 1024]).is_ok()).count()
}

/// Writes bodies of requests without end, and keeps all of them. Each body is smaller than the largest one that the host
/// accepts.
pub(crate) fn bodies() -> ! {
    let piece = vec![1_u8; 512 << 10];
    loop {
        let request = OutgoingRequest::new(Fields::new());
        let body = request.body().ok();
        let stream = body.as_ref().and_then(|body| body.write().ok());
        if let Some(stream) = &stream {
            (0..31).for_each(|_| drop(stream.write(&piece)));
        }
        core::mem::forget((stream, body));
    }
}

/// Calls the host without end.
pub(crate) fn host_calls() -> ! {
    loop {
        black_box(wall_clock::now());
    }
}

/// Calls the host without end. Each call makes the host copy this many bytes.
pub(crate) fn large_host_calls(bytes: usize) -> ! {
    let customer = "x".repeat(bytes);
    loop {
        let _refused = black_box(storage::accounts(&customer));
    }
}

/// Asks the host for this many random bytes in one call.
pub(crate) fn random_bytes(bytes: u64) -> String {
    random::get_random_bytes(bytes).len().to_string()
}

/// Starts requests without end and waits for none of them.
pub(crate) fn requests(authority: &str) -> ! {
    loop {
        core::mem::forget(request::start(authority));
    }
}

/// Waits for `u64::MAX` nanoseconds, which is 584 years.
pub(crate) fn wait() -> String {
    monotonic_clock::subscribe_duration(u64::MAX).block();
    "the wait is over".to_owned()
}
