//! The judge, judged: a good end damaged in one way after the other, each of which must be found.

use anyhow::{Context, Result};
use testkit::rig::judge::judge_rows;
use testkit::rig::load::Ack;
use testkit::rig::{Checks, cleanup};
use testkit::server::fsck;

use super::house::House;
use super::verdict::{judge_bytes, judge_captures};

/// Damages of rows, each with what it is like.
const DAMAGES: [(&str, &str); 7] = [
    (
        "a capture that is gone",
        "DELETE FROM captures WHERE filename = (SELECT max(filename) FROM captures)",
    ),
    (
        "a photo that is stored twice",
        "UPDATE captures SET sha256 = (SELECT sha256 FROM captures WHERE filename = (SELECT min(filename) FROM captures))
         WHERE filename = (SELECT max(filename) FROM captures)",
    ),
    (
        "a capture that nobody was told of",
        "UPDATE captures SET filename = 'unheard-of.jpg' WHERE filename = (SELECT max(filename) FROM captures)",
    ),
    (
        "an effect that happened twice",
        "UPDATE captures SET processed_count = 2 WHERE filename = (SELECT max(filename) FROM captures)",
    ),
    (
        "a task without its end",
        "UPDATE tasks SET state = 'RETRY' WHERE id = (SELECT id FROM tasks WHERE kind = 'process' LIMIT 1)",
    ),
    ("a task that is lost", "DELETE FROM tasks WHERE id = (SELECT id FROM tasks WHERE kind = 'process' LIMIT 1)"),
    ("a key that is forgotten", "DELETE FROM idempotency_keys WHERE key = (SELECT max(key) FROM idempotency_keys)"),
];

/// Whether each was found; fsck must find those of bytes too.
pub fn every_damage_is_found(house: &House, acks: &[Ack]) -> Result<bool> {
    let mut all = true;
    let mut tell = |name: &str, is_noticed: bool| {
        println!("control: {name}: {}", if is_noticed { "noticed" } else { "NOT noticed: the rig or fsck is broken" });
        all &= is_noticed;
    };
    for (number, (name, sql)) in DAMAGES.iter().enumerate() {
        let home = cleanup::Folder::new()?;
        let rows = house.copy_of_rows(&format!("damaged_{number}"), home.path())?;
        println!("control: {name}");
        rows.tamper(sql)?;
        let mut checks = Checks::default();
        judge_captures(&rows, acks, &mut checks)?;
        judge_rows(&|sql| rows.number(sql), acks.len() as u64, &mut checks)?;
        tell(name, !checks.failed.is_empty());
    }
    let captures = house.rows().captures()?;
    let victim = captures.first().context("no capture to damage")?;
    let bytes = house.bytes(&victim.blob_key)?.context("no bytes to damage")?;
    let mut other = bytes.clone();
    let middle = other.len() / 2;
    other[middle] = other[middle].wrapping_add(1);
    for (name, damaged) in [("a photo without its bytes", None), ("a photo with other bytes", Some(&other[..]))] {
        println!("control: {name}");
        house.replace_bytes(&victim.blob_key, damaged)?;
        let mut checks = Checks::default();
        judge_bytes(house, &captures, &mut checks)?;
        let node = &house.nodes[0];
        let found_by_fsck = !fsck(node.binary(), node.data(), house.envs(), true)?.is_clean();
        tell(name, !checks.failed.is_empty() && found_by_fsck);
        house.replace_bytes(&victim.blob_key, Some(&bytes))?;
    }
    Ok(all)
}
