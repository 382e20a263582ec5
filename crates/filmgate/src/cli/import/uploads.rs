//! The app's folder of uploads, only read.
//!
//! What a row calls a file comes from a database: it leads to a regular file below this folder or nowhere. No link is
//! followed on the way, so that nobody's row takes over `/etc/shadow` by a name.

use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, ensure};
use jiff::Timestamp;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

/// Folders within folders.
const DEPTH_MAX: usize = 16;

pub(super) struct Uploads {
    root: PathBuf,
    /// As the app may name it in front of a file.
    given: PathBuf,
    /// Filmgate's own, where it lies below.
    data_dir: Option<PathBuf>,
}

/// A file of the app's, open.
pub(super) struct Found {
    pub(super) file: File,
    pub(super) bytes: u64,
    pub(super) modified: Timestamp,
}

/// Why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoFile {
    Missing,
    Unusable(&'static str),
}

impl Uploads {
    pub(super) fn open(folder: &Path, data_dir: &Path) -> anyhow::Result<Self> {
        let root =
            folder.canonicalize().with_context(|| format!("cannot read the uploads folder {}", folder.display()))?;
        ensure!(root.is_dir(), "{} is no folder", root.display());
        std::fs::read_dir(&root).with_context(|| format!("cannot read the uploads folder {}", root.display()))?;
        let data_dir = data_dir.canonicalize().ok();
        ensure!(
            data_dir.as_ref().is_none_or(|data_dir| !root.starts_with(data_dir)),
            "{} lies in Filmgate's own folder: name the app's",
            root.display()
        );
        Ok(Self { given: folder.to_owned(), root, data_dir })
    }

    /// What a row calls a file, as a path below this folder; unusable ones as they are.
    pub(super) fn relative(&self, name: &str) -> String {
        let path = Path::new(name);
        let below = path.strip_prefix(&self.root).or_else(|_| path.strip_prefix(&self.given)).unwrap_or(path);
        // "./a.jpg" and "a.jpg" are one file.
        let plain: PathBuf = below.components().filter(|part| *part != Component::CurDir).collect();
        plain.to_str().unwrap_or(name).to_owned()
    }

    /// The file of this path, as [`relative`](Self::relative) gave it.
    pub(super) fn file(&self, name: &str) -> io::Result<Result<Found, NoFile>> {
        let path = Path::new(name);
        let Some(last) = path.file_name() else { return Ok(Err(NoFile::Missing)) };
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Ok(Err(NoFile::Unusable("its name leads out of the uploads folder")));
        }
        if name.contains('\0') {
            return Ok(Err(NoFile::Unusable("its name is none that a file can have")));
        }
        let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut at = rustix::fs::openat(CWD, &self.root, folder, Mode::empty())?;
        for part in path.parent().into_iter().flat_map(Path::components) {
            at = match rustix::fs::openat(&at, part.as_os_str(), folder | OFlags::NOFOLLOW, Mode::empty()) {
                Ok(below) => below,
                Err(error) => return no_file(error),
            };
        }
        // A pipe would keep whoever opens it waiting.
        let file = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&at, last, file, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(error) => return no_file(error),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(Err(NoFile::Unusable("it is no file but a folder or a device")));
        }
        let modified = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
        Ok(Ok(Found { bytes: metadata.len(), modified: modified.unwrap_or(Timestamp::UNIX_EPOCH), file }))
    }

    /// Every file below, by its path, that is not known.
    pub(super) fn walk(&self, is_known: impl Fn(&str) -> bool) -> anyhow::Result<Vec<String>> {
        let mut found = Vec::new();
        self.walk_below(&self.root, 0, &is_known, &mut found)?;
        found.sort_unstable();
        Ok(found)
    }

    fn walk_below(
        &self,
        folder: &Path,
        depth: usize,
        is_known: &impl Fn(&str) -> bool,
        found: &mut Vec<String>,
    ) -> anyhow::Result<()> {
        ensure!(depth < DEPTH_MAX, "{} lies more than {DEPTH_MAX} folders deep", folder.display());
        let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let kind = std::fs::symlink_metadata(&path)?.file_type();
            if kind.is_dir() {
                if self.data_dir.as_ref() != Some(&path) {
                    self.walk_below(&path, depth + 1, is_known, found)?;
                }
            } else {
                // A name that is no text is no row's: it is told as well as it can be.
                let name = path.strip_prefix(&self.root).unwrap_or(&path).to_string_lossy().into_owned();
                if !is_known(&name) {
                    found.push(name);
                }
            }
        }
        Ok(())
    }
}

fn no_file(error: Errno) -> io::Result<Result<Found, NoFile>> {
    Ok(Err(match error {
        Errno::NOENT => NoFile::Missing,
        Errno::LOOP | Errno::NOTDIR => NoFile::Unusable("it is a link, or lies behind one"),
        Errno::ACCESS | Errno::PERM => NoFile::Unusable("this user may not read it"),
        Errno::NAMETOOLONG | Errno::INVAL | Errno::NXIO => {
            NoFile::Unusable("its name is none that a photo's file can have")
        }
        error => return Err(error.into()),
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn place() -> (tempfile::TempDir, Uploads) {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("uploads");
        fs::create_dir_all(root.join("of session")).unwrap();
        fs::write(root.join("a.jpg"), "a").unwrap();
        fs::write(root.join("of session/b.jpg"), "bb").unwrap();
        fs::write(place.path().join("secret"), "no").unwrap();
        symlink(place.path().join("secret"), root.join("link.jpg")).unwrap();
        symlink(place.path(), root.join("out")).unwrap();
        let uploads = Uploads::open(&root, &place.path().join("data")).unwrap();
        (place, uploads)
    }

    #[test]
    fn a_name_leads_below_the_folder_or_nowhere() {
        let (place, uploads) = place();
        let found = |name: &str| uploads.file(&uploads.relative(name)).unwrap().map(|found| found.bytes);
        assert_eq!(found("a.jpg"), Ok(1));
        assert_eq!(found("./a.jpg"), Ok(1));
        assert_eq!(found("of session/b.jpg"), Ok(2));
        assert_eq!(found(place.path().join("uploads/a.jpg").to_str().unwrap()), Ok(1));
        for missing in ["", "b.jpg", "nowhere/a.jpg"] {
            assert_eq!(found(missing), Err(NoFile::Missing), "{missing}");
        }
        let long = "x".repeat(300);
        for unusable in [
            "../secret",
            "of session/../../secret",
            "/etc/passwd",
            "link.jpg",
            "out/secret",
            "of session",
            "a\0.jpg",
            &long,
            "a.jpg/b",
        ] {
            assert!(matches!(found(unusable), Err(NoFile::Unusable(_))), "{unusable}: {:?}", found(unusable));
        }
    }

    #[test]
    fn every_file_is_seen_and_no_link_followed() {
        let (_place, uploads) = place();
        assert_eq!(uploads.walk(|name| name == "a.jpg").unwrap(), ["link.jpg", "of session/b.jpg", "out"]);
    }

    #[test]
    fn filmgates_own_folder_is_not_the_apps() {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data");
        fs::create_dir_all(data.join("blobs")).unwrap();
        assert!(Uploads::open(&data.join("blobs"), &data).is_err());
        assert!(Uploads::open(&place.path().join("not there"), &data).is_err());
        fs::write(data.join("catalog"), "").unwrap();
        fs::write(place.path().join("a.jpg"), "").unwrap();
        let around = Uploads::open(place.path(), &data).unwrap();
        assert_eq!(around.walk(|_| false).unwrap(), ["a.jpg"], "what lies in it is no upload of the app's");
    }
}
