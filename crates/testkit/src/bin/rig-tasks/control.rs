//! The judge, judged: copies of a good end, each damaged in one way that it must find.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use testkit::rig::catalog::tamper;
use testkit::rig::judge::judge;
use testkit::rig::{Checks, cleanup, store};
use testkit::server::fsck;

use super::House;

enum Damage {
    Sql(&'static str),
    /// A derivative's file is changed.
    Change,
    /// A derivative's file is removed.
    Remove,
    /// A derivative is there that no row names.
    Stray,
}

/// Each with what it is like.
const DAMAGES: [(&str, Damage); 10] = [
    (
        "an effect that happened twice",
        Damage::Sql("UPDATE captures SET processed_count = 2 WHERE id = (SELECT max(id) FROM captures)"),
    ),
    (
        "an effect that happened twice here and never there",
        Damage::Sql(
            "UPDATE captures SET processed_count = (id = (SELECT max(id) FROM captures)) * 2
             WHERE id IN (SELECT max(id) FROM captures UNION SELECT min(id) FROM captures)",
        ),
    ),
    (
        "a task without its end",
        Damage::Sql("UPDATE tasks SET state = 'RETRY' WHERE id = (SELECT max(id) FROM tasks WHERE kind = 'process')"),
    ),
    (
        "a task that is lost",
        Damage::Sql("DELETE FROM tasks WHERE id = (SELECT max(id) FROM tasks WHERE kind = 'process')"),
    ),
    (
        "a lease that nobody gave back",
        Damage::Sql(
            "UPDATE tasks SET lease_expires_at = 1 WHERE id = (SELECT min(id) FROM tasks WHERE kind = 'process')",
        ),
    ),
    (
        "a derivative without a row",
        Damage::Sql("DELETE FROM derivatives WHERE blob_key = (SELECT max(blob_key) FROM derivatives)"),
    ),
    (
        "bytes that are still to be removed",
        Damage::Sql("INSERT INTO doomed_blobs (store, blob_key, doomed_at) VALUES ('derivatives', 'a', 0)"),
    ),
    ("a derivative with other bytes", Damage::Change),
    ("a derivative without its bytes", Damage::Remove),
    ("a derivative too many", Damage::Stray),
];

/// Damages copies of the folder one by one; whether the judge found each, and fsck those that are its own.
pub fn every_damage_is_found(house: &House, captures: u64) -> Result<bool> {
    let mut all = true;
    for (name, damage) in &DAMAGES {
        let home = cleanup::Folder::new()?;
        let data = home.path().join("data");
        copy(house.data(), &data)?;
        println!("control: {name}");
        let is_files = apply(damage, &data)?;
        let mut checks = Checks::default();
        judge(&data, captures, &mut checks)?;
        let mut noticed = !checks.failed.is_empty();
        if is_files {
            noticed &= !fsck(house.server.binary(), &data, &[], true)?.is_clean();
        }
        println!("control: {name}: {}", if noticed { "noticed" } else { "NOT noticed: the rig or fsck is broken" });
        all &= noticed;
    }
    Ok(all)
}

/// True where files were damaged, which fsck must find too.
fn apply(damage: &Damage, data: &Path) -> Result<bool> {
    let file = store::derivatives(data)?.into_values().next().context("no derivative to damage")?;
    match damage {
        Damage::Sql(sql) => {
            ensure!(tamper(data, sql)? > 0, "nothing was changed by: {sql}");
            return Ok(false);
        }
        Damage::Change => {
            let mut bytes = fs::read(&file)?;
            let last = bytes.last_mut().context("an empty derivative")?;
            *last = last.wrapping_add(1);
            fs::write(&file, bytes)?;
        }
        Damage::Remove => fs::remove_file(&file)?,
        Damage::Stray => {
            fs::copy(&file, file.with_file_name("0192f0c0aaaa7aaa8aaaaaaaaaaaaaaa.7.derivatives"))?;
        }
    }
    Ok(true)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        } else {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
