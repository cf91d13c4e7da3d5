//! How the process's allocator treats large blocks.

/// Lets blocks of a few megabytes, such as the pages that decoders unpack, come from memory that is used again.
///
/// As glibc comes, such blocks are asked of the kernel one by one, or what is free at the end of a heap is given back
/// right away: then each page of memory is cleared anew for each block. Reading Parquet spent a quarter of its time so.
/// Blocks of more than 32 MiB still go back at once.
pub(crate) fn keep_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (what, bytes) in [
        (libc::M_MMAP_THRESHOLD, 32 << 20),
        (libc::M_TRIM_THRESHOLD, 128 << 20),
        (libc::M_TOP_PAD, 16 << 20),
    ] {
        // SAFETY: sets a number of the allocator's own, under its own lock. It may refuse, which changes nothing.
        unsafe { libc::mallopt(what, bytes) };
    }
}
