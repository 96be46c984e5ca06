//! Takes of one thing whatever the host gives. What returns at all returns when the host gives no more.

use core::hint::black_box;

use crate::bindings::tiktok_shop::connector::token_storage;
use crate::bindings::wasi::clocks::{monotonic_clock, wall_clock};
use crate::bindings::wasi::http::types::Fields;
use crate::bindings::wasi::random::random;
use crate::request;

pub(crate) fn time() -> ! {
    loop {
        black_box(());
    }
}

pub(crate) fn memory() -> ! {
    loop {
        core::mem::forget(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Calls nested so deep. Not a loop in disguise, and small frames: large ones would leave the part of memory where Rust
/// keeps what it takes addresses of before they used up the runtime's stack.
pub(crate) fn stack(depth: usize) -> usize {
    black_box(depth).checked_sub(1).map_or(0, |less| stack(less) + 1)
}

/// So many handles at once.
pub(crate) fn handles(count: usize) -> usize {
    let held: Vec<_> = (0..count).map(|_| Fields::new()).collect();
    held.len()
}

/// One set of header fields with so many kilobytes.
pub(crate) fn headers(kilobytes: usize) -> usize {
    let fields = Fields::new();
    (0..kilobytes).filter(|_| fields.append("x-more", &[b'x'; 1024]).is_ok()).count()
}

pub(crate) fn host_calls() -> ! {
    loop {
        black_box(wall_clock::now());
    }
}

/// Calls that each make the host copy so many bytes.
pub(crate) fn large_host_calls(bytes: usize) -> ! {
    let customer = "x".repeat(bytes);
    loop {
        let _refused = black_box(token_storage::accounts(&customer));
    }
}

pub(crate) fn random_bytes(bytes: u64) -> String {
    random::get_random_bytes(bytes).len().to_string()
}

/// Requests that nobody waits for.
pub(crate) fn requests(authority: &str) -> ! {
    loop {
        core::mem::forget(request::start(authority));
    }
}

/// Waits for longer than any host lives.
pub(crate) fn waiting() -> String {
    monotonic_clock::subscribe_duration(u64::MAX).block();
    "the end of time".to_owned()
}
