//! What a process that holds secrets gives up when it starts.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// No dump of this process' memory is written, and no other user's process may look into it: keys, prompts and passwords
/// are there in clear.
///
/// # Errors
/// If the operating system does not let go.
pub fn harden() -> std::io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    #[cfg(target_os = "linux")]
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}
