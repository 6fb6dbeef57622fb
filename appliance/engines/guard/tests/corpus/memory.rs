//! Memory is counted where it is taken: by the allocator.
#![allow(unsafe_code, reason = "a counting allocator hands every call on to the system's")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use sent_guard::{flow, meter::Limits};

thread_local! {
    // Const-initialised and without a destructor: it can be used inside an allocator.
    static NOW: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn count(by: isize) {
    NOW.set(NOW.get() + by);
    MOST.set(MOST.get().max(NOW.get()));
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One meter reads all captures one after the other, with little room: the bound holds, and flows are evicted for it.
#[test]
fn all_captures_fit_into_the_bound() {
    let limits = Limits {
        flows: flow::Limits { memory: 256 << 10, ..flow::Limits::default() },
        fragments: sent_guard::meter::Room(256 << 10),
    };
    let captures = crate::captures::all();
    let mut meter = sent_guard::meter::Meter::new(limits);
    let mut flows = 0;
    for (name, file) in &captures {
        let Ok(mut reader) = sent_guard::cli::open(file) else { continue };
        while let Ok(Some(frame)) = reader.next() {
            let data = frame.data.to_vec();
            let frame = sent_guard::capture::Frame { data: &data, ..frame };
            let before = NOW.get() - isize::try_from(meter.held()).expect("little");
            MOST.set(NOW.get());
            meter.frame(&frame);
            let most = MOST.get() - before;
            let bound = isize::try_from(limits.total()).expect("little");
            assert!(most <= bound, "{name}: {most} bytes, {bound} allowed");
            while meter.finished().is_some() {
                flows += 1;
            }
        }
    }
    assert!(flows > 4_000);
    assert!(meter.summary().flows.evicted > 0, "the room was too large to test anything");
}
