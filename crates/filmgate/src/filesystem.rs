//! What a folder lies on.

use std::path::Path;

/// As far as it matters to a catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filesystem {
    /// A disk of this machine.
    Disk,
    /// Memory.
    Memory,
    /// Another machine's, by this protocol. SQLite's locks, its log in shared memory and fsync do not work there.
    Network(&'static str),
    /// A container's own layer.
    Overlay,
}

impl Filesystem {
    /// Where this file or folder lies.
    pub fn of(path: &Path) -> std::io::Result<Self> {
        // statfs(2) and linux/magic.h
        Ok(match rustix::fs::statfs(path)?.f_type {
            0x0102_1994 | 0x8584_58f6 => Self::Memory,
            0x6969 => Self::Network("NFS"),
            0xff53_4d42 | 0xfe53_4d42 | 0x517b => Self::Network("SMB"),
            0x00c3_6400 => Self::Network("Ceph"),
            0x0102_1997 => Self::Network("9P"),
            0x794c_7630 => Self::Overlay,
            _ => Self::Disk,
        })
    }
}
