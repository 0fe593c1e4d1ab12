//! Makes a process's file operations fail: the Rust side of `faulty_io.c`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A shim that is preloaded into a process, and the plan that it follows.
pub(crate) struct FaultyIo {
    shim: PathBuf,
    plan: PathBuf,
}

impl FaultyIo {
    /// Compiles the shim. `None`, said on standard error, where the C compiler or one of the
    /// libraries that it needs is missing.
    pub(crate) fn new(directory: &Path) -> Option<Self> {
        std::fs::create_dir_all(directory).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash/faulty_io.c");
        let (shim, plan) = (directory.join("faulty_io.so"), directory.join("plan"));
        let compiled = Command::new(std::env::var_os("CC").unwrap_or("cc".into()))
            .args(["-O1", "-shared", "-fPIC", "-o"])
            .args([&shim, &source])
            .args(["-ldl", "-lpthread"])
            .status();
        if !(cfg!(all(target_os = "linux", target_env = "gnu"))
            && compiled.is_ok_and(|it| it.success()))
        {
            eprintln!(
                "SKIPPED: no file operation was made to fail, for want of a C compiler or glibc"
            );
            return None;
        }
        std::fs::write(&plan, "").unwrap();
        Some(Self { shim, plan })
    }

    pub(crate) fn preload(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.shim).env("FAULTY_IO_PLAN", &self.plan);
    }

    /// Sets the operations that fail from now on. With an empty plan none does.
    pub(crate) fn plan(&self, plan: &str) {
        let new = self.plan.with_extension("new");
        std::fs::write(&new, plan).unwrap();
        std::fs::rename(&new, &self.plan).unwrap();
    }
}
