//! A disk of a test's own, which can be full.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// A file system in memory, on a folder; unmounted when dropped.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Mounts one of so many megabytes on an empty folder, which takes root's rights.
    pub(crate) fn at(folder: &Path, megabytes: usize) -> Result<Self> {
        let mode = fs::metadata(folder)?;
        let options = format!("size={megabytes}m,mode=0755");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder)
            .status();
        let mounted = mounted.context("running mount")?;
        ensure!(
            mounted.success(),
            "mounting a disk takes root's rights: {mounted}"
        );
        let disk = Self {
            folder: folder.to_owned(),
        };
        fs::set_permissions(folder, mode.permissions())?;
        Ok(disk)
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }

    /// Leaves no room on it.
    pub(crate) fn fill(&self) -> Result<()> {
        let mut ballast = fs::File::create(self.ballast())?;
        let block = vec![1; 4096];
        loop {
            match std::io::Write::write_all(&mut ballast, &block) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error).context("filling the disk"),
            }
        }
    }

    /// Gives the room back.
    pub(crate) fn free(&self) -> Result<()> {
        fs::remove_file(self.ballast()).context("freeing the disk")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Where it is still in use, it goes with its last user.
        drop(
            Command::new("umount")
                .arg("--lazy")
                .arg(&self.folder)
                .status(),
        );
        drop(fs::remove_dir(&self.folder));
    }
}
