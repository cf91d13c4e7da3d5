//! The limit programs: one workload each, by hand, without an engine.
//!
//! They show how fast the machine can do a piece of work. `windrow : limit` in one run is the measure of the engine;
//! seconds alone do not carry from machine to machine. What they are given and what they give is what the ready jobs
//! of the same name have: the same lines, in another order.

pub mod arena;
pub mod flags;
pub mod input;
pub mod terasort;
pub mod wordcount;

/// Asks for a cache line.
#[inline(always)]
fn prefetch<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that a program can see, at any address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(place.cast())
    };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
