//! The server's folder seen from outside: which photos and derivatives are published, and what is left in staging.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::catalog::Derivative;

/// Where bytes lie before they have their name.
pub fn staging_folder(data: &Path) -> PathBuf {
    data.join("blobs/.staging")
}

/// Where what processing makes of photos lies.
pub fn derivatives_folder(data: &Path) -> PathBuf {
    data.join("blobs/.derivatives")
}

/// Every photo under a published name, by that name.
pub fn published(data: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(files_below(data.join("blobs"))?.into_iter().map(|path| (name(&path), path)).collect())
}

/// The bytes of a derivative, as far as they are there.
pub fn read_derivative(data: &Path, derivative: &Derivative) -> io::Result<Vec<u8>> {
    let mut file = File::open(derivatives_folder(data).join(&derivative.blob_key))?;
    file.seek(SeekFrom::Start(derivative.offset_bytes))?;
    let mut bytes = Vec::new();
    file.take(derivative.size_bytes).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Every blob of derivatives, by its key.
pub fn derivatives(data: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let root = derivatives_folder(data);
    let key = |path: &Path| path.strip_prefix(&root).unwrap_or(path).to_string_lossy().into_owned();
    Ok(files_below(root.clone())?.into_iter().map(|path| (key(&path), path)).collect())
}

/// Files in a folder and those below it, but none whose name or folder begins with a dot.
fn files_below(root: PathBuf) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| format!("reading {}", folder.display())),
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// The files in staging.
pub fn staged(data: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(staging_folder(data)) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| entry.path())
        .collect()
}
