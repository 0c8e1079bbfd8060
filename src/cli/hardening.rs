//! Hardening: keeps the memory of the process, which contains secrets, out of core dumps and away
//! from other processes.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Disables core dumps of this process and its children, and keeps other processes of the same
/// user from attaching to this one or reading its memory (`PR_SET_DUMPABLE`, prctl(2)). Errors
/// are ignored: the program works without it.
pub(crate) fn protect_memory() {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // A core handler behind a pipe ignores the limit; it obeys `PR_SET_DUMPABLE`.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, none);
}
