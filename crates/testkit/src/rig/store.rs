//! The server's folder seen from outside: which photos are published, and what is left in staging.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where bytes lie before they have their name.
pub fn staging_folder(data: &Path) -> PathBuf {
    data.join("blobs/.staging")
}

/// Every file under a published name, by that name.
pub fn published(data: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![data.join("blobs")];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| format!("reading {}", folder.display())),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                found.insert(name, entry.path());
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
