//! A disk of a test's own, which it can fill up.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// An in-memory file system that is mounted on a folder; unmounted when dropped.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Mounts one of that many megabytes on an empty folder, which takes root's rights.
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

    /// Fills it up.
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

    /// Frees the space again.
    pub(crate) fn free(&self) -> Result<()> {
        fs::remove_file(self.ballast()).context("freeing the disk")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Unmounts lazily: a disk that is still in use goes when its last user ends.
        drop(
            Command::new("umount")
                .arg("--lazy")
                .arg(&self.folder)
                .status(),
        );
        drop(fs::remove_dir(&self.folder));
    }
}
