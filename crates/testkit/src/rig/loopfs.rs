//! A filesystem of one's own in a file, whose power can be cut.
//!
//! The file is sparse and mounted over a loop device. [`LoopFs::cut`] shuts the filesystem down from inside the kernel:
//! what was not on the device by then is lost, as with a power cut, and the next [`mount`](LoopFs::mount) replays the
//! journal.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, UnmountFlags};

use super::cleanup::{Undo, guarded};
use super::{Need, run};

/// How long an unmount is tried while descriptors of killed processes are still being closed.
const UNMOUNT_LIMIT: Duration = Duration::from_secs(20);
/// The kernel's request to shut a filesystem down (`_IOR('X', 125, __u32)`), the same for ext4 and XFS.
const SHUTDOWN: u32 = 0x8004_587D;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ext4,
    Xfs,
}

impl Kind {
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "ext4" => Ok(Self::Ext4),
            "xfs" => Ok(Self::Xfs),
            _ => bail!("--fs {name}: ext4 or xfs"),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// What a rig needs that makes one.
    pub fn needs(self) -> Vec<Need> {
        let mkfs = match self {
            Self::Ext4 => Need::Program("mkfs.ext4", "e2fsprogs"),
            Self::Xfs => Need::Program("mkfs.xfs", "xfsprogs"),
        };
        vec![Need::Root, Need::LoopDevice, mkfs, Need::Filesystem(self.name())]
    }
}

/// What becomes of the journal's part that is still in memory when the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It is lost too: nothing survives but what an fsync waited for.
    NoLogFlush,
    /// It is written first: metadata is newer than data, which also happens.
    LogFlush,
}

impl Cut {
    pub fn name(self) -> &'static str {
        match self {
            Self::NoLogFlush => "power cut without log flush",
            Self::LogFlush => "power cut after log flush",
        }
    }
}

/// The filesystem, mounted or not. Dropped, it is unmounted and its loop device given back.
#[derive(Debug)]
pub struct LoopFs {
    kind: Kind,
    mkfs: Vec<String>,
    device: PathBuf,
    /// The device gives its file back on its last close: this one, once nothing is mounted.
    held: Option<File>,
    folder: PathBuf,
    mounted: bool,
    undo: Option<Undo>,
}

impl LoopFs {
    /// Makes one of `bytes` with further arguments to mkfs, under the folder `home`, and mounts it.
    pub fn make(home: &Path, kind: Kind, bytes: u64, mkfs: &[&str]) -> Result<Self> {
        let image = home.join("disk.img");
        let folder = home.join("disk");
        fs::create_dir(&folder).context("making the mount point")?;
        File::create(&image).and_then(|file| file.set_len(bytes)).context("making the disk's file")?;
        let image = image.to_str().context("a temporary folder that is not UTF-8")?.to_owned();
        let ((device, held), undo) = guarded(|| {
            let output = run("losetup", &["--find", "--show", &image])?;
            let device = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
            let name = device.to_string_lossy().into_owned();
            let opened = File::open(&device);
            // With a descriptor open this detaches nothing yet: it only marks the device for its last close, so that
            // not even a kill -9 of the rig leaves it behind.
            run("losetup", &["--detach", &name])?;
            let held = opened.with_context(|| format!("opening {name}"))?;
            let mounted_at = folder.clone();
            Ok(((device, held), move || drop(unmount(&mounted_at))))
        })?;
        let mut made = Self {
            kind,
            mkfs: mkfs.iter().map(ToString::to_string).collect(),
            device,
            held: Some(held),
            folder,
            mounted: false,
            undo: Some(undo),
        };
        made.format()?;
        made.mount()?;
        Ok(made)
    }

    /// The root of the mounted filesystem.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    fn format(&self) -> Result<()> {
        let device = self.device.to_string_lossy().into_owned();
        let (program, quiet): (_, &[&str]) = match self.kind {
            Kind::Ext4 => ("mkfs.ext4", &["-q", "-F"]),
            Kind::Xfs => ("mkfs.xfs", &["-q", "-f"]),
        };
        let mut words = quiet.to_vec();
        words.extend(self.mkfs.iter().map(String::as_str));
        words.push(&device);
        run(program, &words)?;
        Ok(())
    }

    /// Empties it: unmounted, made anew, mounted.
    pub fn renew(&mut self) -> Result<()> {
        self.unmount()?;
        self.format()?;
        self.mount()
    }

    pub fn mount(&mut self) -> Result<()> {
        rustix::mount::mount(&self.device, &self.folder, self.kind.name(), MountFlags::empty(), None)
            .with_context(|| format!("mounting {} (its journal is replayed)", self.kind.name()))?;
        self.mounted = true;
        Ok(())
    }

    pub fn unmount(&mut self) -> Result<()> {
        if self.mounted {
            unmount(&self.folder)?;
            self.mounted = false;
        }
        Ok(())
    }

    /// Cuts the power. Until it is mounted again every access fails.
    pub fn cut(&self, cut: Cut) -> Result<()> {
        let root = File::open(&self.folder).context("opening the root to shut down")?;
        let flags: u32 = match cut {
            Cut::LogFlush => 1,
            Cut::NoLogFlush => 2,
        };
        shutdown(&root, flags).context("shutting the filesystem down")
    }

    /// The share of its space that is free, between 0 and 1.
    #[allow(clippy::cast_precision_loss, reason = "a share needs no 52 bits")]
    pub fn free_share(&self) -> Result<f64> {
        let stat = rustix::fs::statvfs(&self.folder)?;
        Ok(stat.f_bavail as f64 / stat.f_blocks.max(1) as f64)
    }

    pub fn free_bytes(&self) -> Result<u64> {
        let stat = rustix::fs::statvfs(&self.folder)?;
        Ok(stat.f_bavail * stat.f_frsize)
    }

    pub fn free_inodes(&self) -> Result<u64> {
        Ok(rustix::fs::statvfs(&self.folder)?.f_favail)
    }
}

impl Drop for LoopFs {
    fn drop(&mut self) {
        if let Err(error) = self.unmount() {
            eprintln!("left behind: {error:#}");
        }
        drop(self.held.take());
        drop(self.undo.take());
    }
}

#[allow(unsafe_code, reason = "rustix has no call of its own for this ioctl; it reads the four bytes it is pointed to")]
fn shutdown(root: &File, flags: u32) -> rustix::io::Result<()> {
    // SAFETY: the request is declared as reading one u32, and `Setter` points it to one.
    unsafe { rustix::ioctl::ioctl(root, rustix::ioctl::Setter::<SHUTDOWN, u32>::new(flags)) }
}

/// Unmounts, again and again while something still holds it; never lazily, which would leave the old filesystem alive
/// beside the new one.
fn unmount(folder: &Path) -> Result<()> {
    let end = Instant::now() + UNMOUNT_LIMIT;
    loop {
        match rustix::mount::unmount(folder, UnmountFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::INVAL) => return Ok(()),
            Err(rustix::io::Errno::BUSY) if Instant::now() < end => thread::sleep(Duration::from_millis(2)),
            Err(error) => bail!("unmounting {}: {error}", folder.display()),
        }
    }
}
