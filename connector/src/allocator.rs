//! The guest's memory: handed out upwards, zeroed when given back, taken again only from the end.
//!
//! An instance lives for one call, so nothing is gained by keeping books of free pieces; the host bounds the memory of a
//! call, and nobody else grows it. What is freed is zeroed, because buffers of `serde_json`, waki and the canonical ABI hold tokens too.
#![expect(unsafe_code, reason = "a global allocator is made of raw pointers")]

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::cell::Cell;
use core::ptr::null_mut;

const PAGE: usize = 65_536;

#[global_allocator]
static ALLOCATOR: Upwards = Upwards { next: Cell::new(0) };

struct Upwards {
    /// The first free byte; 0 before the first allocation.
    next: Cell<usize>,
}

// SAFETY: the component has no threads.
unsafe impl Sync for Upwards {}

// SAFETY: what is handed out lies between the heap's base and the end of memory and never overlaps what is in use.
unsafe impl GlobalAlloc for Upwards {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let begin = match self.next.get() {
            // All memory that the module itself uses lies below what it starts with.
            0 => memory_size::<0>() * PAGE,
            next => next,
        };
        let end =
            begin.checked_next_multiple_of(layout.align()).and_then(|at| Some((at, at.checked_add(layout.size())?)));
        let Some((at, end)) = end else { return null_mut() };
        let missing = end.saturating_sub(memory_size::<0>() * PAGE).div_ceil(PAGE);
        if missing > 0 && memory_grow::<0>(missing) == usize::MAX {
            return null_mut();
        }
        self.next.set(end);
        at as *mut u8
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let is_last = at as usize + layout.size() == self.next.get();
        if is_last && new_size >= layout.size() {
            self.next.set(at as usize);
        }
        let Ok(new_layout) = Layout::from_size_align(new_size, layout.align()) else { return null_mut() };
        // SAFETY: the new piece is the old one, longer, or a piece of its own; both hold what is copied.
        unsafe {
            let new = self.alloc(new_layout);
            if new.is_null() {
                self.next.set(self.next.get().max(at as usize + layout.size()));
            } else if new != at {
                new.copy_from_nonoverlapping(at, layout.size().min(new_size));
                self.dealloc(at, layout);
            }
            new
        }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller gives back what it was handed, so these bytes are its own. Volatile, byte for byte: a store
        // that nobody reads afterwards would otherwise be removed.
        (0..layout.size()).for_each(|offset| unsafe { at.add(offset).write_volatile(0) });
        if at as usize + layout.size() == self.next.get() {
            self.next.set(at as usize);
        }
    }
}
