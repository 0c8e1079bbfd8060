//! What keeps the memory of the process, in which secrets stand, from disk and other processes.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// From now on, neither this process nor one that it starts writes a core, and none of the same
/// user can attach to this one or read its memory (`PR_SET_DUMPABLE`, prctl(2)). Where the system
/// does not let that be, everything else works all the same.
pub fn protect_memory() {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // A handler that cores are piped to goes by the first, not by the limit.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, none);
}
