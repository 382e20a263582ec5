//! The end of a run: what was acknowledged against rows, bytes and tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use testkit::api::sha256;
use testkit::rig::catalog::Stored;
use testkit::rig::judge::judge_rows;
use testkit::rig::load::{Ack, verify};
use testkit::rig::rows::Rows;
use testkit::rig::{Checks, store};
use testkit::server::fsck;

use super::house::House;

/// How long tasks may take to come to their end after the last upload.
const TASKS_LIMIT: Duration = Duration::from_secs(180);
/// How long a node may take to end when asked.
const END_LIMIT: Duration = Duration::from_secs(60);

/// Judges everything; nodes are ended on the way.
pub fn judge(house: &mut House, acks: &[Ack], checks: &mut Checks) -> Result<()> {
    let began = Instant::now();
    wait_for_tasks(&house.rows(), acks.len())?;
    println!("every task came to its end {:.1} s after the last upload", began.elapsed().as_secs_f64());
    let lost = verify(&house.api(), acks);
    checks.passed += (acks.len() - lost.len()) as u64;
    for lost in lost {
        checks.check(false, || format!("{}: acknowledged and not served: {}", lost.ack.filename, lost.why));
    }
    // Each is started once more in between: what those who died or were cut off left behind, a start removes.
    for start_again in [true, false] {
        for number in 0..house.nodes.len() {
            let ended = house.nodes[number].terminate(END_LIMIT)?;
            let node = &house.nodes[number];
            checks.check(ended.success(), || format!("node {number} ended with {ended}: {}", node.log_tail(20)));
            let staged = store::staged(node.data());
            checks.check(staged.is_empty(), || format!("node {number} left in staging: {staged:?}"));
            if start_again {
                house.nodes[number] = house.nodes[number].start_again()?;
            }
        }
        house.print_objects_besides()?;
    }
    let rows = house.rows();
    judge_captures(&rows, acks, checks)?;
    let began = Instant::now();
    judge_bytes(house, &rows.captures()?, checks)?;
    println!("every photo was read from the store itself in {:.1} s", began.elapsed().as_secs_f64());
    let figures = judge_rows(&|sql| rows.number(sql), acks.len() as u64, checks)?;
    println!(
        "{} tasks were run more than once; {} runs in all, of one task at most {}",
        figures.tasks_run_again, figures.attempts, figures.attempts_most
    );
    let node = &house.nodes[0];
    let began = Instant::now();
    let fsck = fsck(node.binary(), node.data(), house.envs(), true)?;
    println!("fsck --deep took {:.1} s", began.elapsed().as_secs_f64());
    checks.check(fsck.is_clean(), || format!("fsck --deep: {}: {}", fsck.status, fsck.output));
    Ok(())
}

fn wait_for_tasks(rows: &Rows, acked: usize) -> Result<()> {
    let end = Instant::now() + TASKS_LIMIT;
    let want = i64::try_from(acked)?;
    loop {
        let succeeded = rows.number("SELECT count(*) FROM tasks WHERE kind = 'process' AND state = 'SUCCESS'")?;
        if succeeded >= want {
            return Ok(());
        }
        let failed = rows.number("SELECT count(*) FROM tasks WHERE state = 'FAILURE'")?;
        if failed > 0 {
            bail!("{failed} dead letters");
        }
        if Instant::now() > end {
            bail!("{succeeded} of {want} tasks have succeeded {TASKS_LIMIT:?} after the last upload, and no more");
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// Every acknowledged photo has its row, under the name and the SHA-256 that was acknowledged, and there is no other.
pub fn judge_captures(rows: &Rows, acks: &[Ack], checks: &mut Checks) -> Result<()> {
    let captures = rows.captures()?;
    let mut stored: BTreeMap<&str, &str> = BTreeMap::new();
    let mut sums: BTreeSet<&str> = BTreeSet::new();
    for capture in &captures {
        stored.insert(&capture.filename, &capture.sha256);
        let is_new = sums.insert(&capture.sha256);
        checks.check(is_new, || format!("{}: the same photo is stored twice: {}", capture.filename, capture.sha256));
    }
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for ack in acks {
        let found = stored.get(ack.filename.as_str());
        checks.check(found == Some(&ack.sha256.as_str()), || {
            format!("{}: acknowledged {}, its row: {found:?}", ack.filename, ack.sha256)
        });
        checks.check(names.insert(&ack.filename), || format!("{}: acknowledged twice", ack.filename));
    }
    for capture in captures.iter().filter(|capture| !names.contains(capture.filename.as_str())) {
        // Every client brought its last photo to its end, so nothing may be stored that nobody was told of.
        checks.check(false, || format!("{}: stored, and never acknowledged", capture.filename));
    }
    let keys = rows.number("SELECT count(*) FROM idempotency_keys")?;
    checks.check(keys == i64::try_from(acks.len())?, || format!("{keys} idempotency keys, {} acks", acks.len()));
    Ok(())
}

/// Every row has its bytes, asked of the store itself.
pub fn judge_bytes(house: &House, captures: &[Stored], checks: &mut Checks) -> Result<()> {
    for capture in captures {
        let found = house.bytes(&capture.blob_key)?.map(|bytes| sha256(&bytes));
        checks.check(found.as_deref() == Some(&capture.sha256), || {
            format!("{}: its row says {}, the store has {found:?}", capture.blob_key, capture.sha256)
        });
    }
    Ok(())
}
