//! Memory that was freed goes back to the system. While a backlog drains, a generation of megabytes
//! after the other is read and let go; glibc would learn from the first that such blocks belong into
//! its heap, and keep them there for good.

/// Holds the limit above which a block is a mapping of its own at glibc's initial 128 KiB, and the
/// number of heaps at one: nothing here allocates so much that threads had to be kept apart. Before
/// the first thread is started.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the only way to the settings of the allocator")]
pub(super) fn tune() {
    const MMAP_THRESHOLD: libc::c_int = 128 << 10;
    // SAFETY: takes two numbers; no other thread is there yet. A setting that is refused stays as it
    // was, which costs memory and nothing else.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD);
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Other allocators have no such habit.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn tune() {}
