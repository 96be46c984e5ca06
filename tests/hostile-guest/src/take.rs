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

/// Handles that are not given back.
pub(crate) fn handles() -> ! {
    loop {
        core::mem::forget(Fields::new());
    }
}

/// One set of header fields that grows.
pub(crate) fn headers() -> String {
    let fields = Fields::new();
    loop {
        if let Err(error) = fields.append("x-more", &[b'x'; 1024]) {
            return format!("{error:?}");
        }
    }
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
