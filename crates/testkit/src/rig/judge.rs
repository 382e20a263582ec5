//! The end of a run, judged from the folder it left: every task done, every effect once, every derivative there and
//! nothing besides.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::catalog::{Catalog, Derivative};
use super::{Checks, store};
use crate::api::sha256;

/// Made of each photo: two sizes in two formats.
pub const DERIVATIVES_EACH: u64 = 4;

/// What a run needed to come to its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub tasks_run_again: i64,
    pub attempts_most: i64,
    pub attempts: i64,
}

/// Judges a folder on which nobody works any more, after `captures` photos were answered for.
pub fn judge(data: &Path, captures: u64, checks: &mut Checks) -> Result<Figures> {
    let catalog = Catalog::open(data)?;
    let figures = judge_rows(&|sql| catalog.number(sql), captures, checks)?;
    judge_files(data, &catalog, checks)?;
    Ok(figures)
}

/// The rows alone, of whatever catalog: `number` gives the one number that a query answers.
pub fn judge_rows(number: &dyn Fn(&str) -> Result<i64>, captures: u64, checks: &mut Checks) -> Result<Figures> {
    let want = i64::try_from(captures)?;
    let mut equal = |what: &str, sql: &str, want: i64| -> Result<()> {
        let found = number(sql)?;
        checks.check(found == want, || format!("{what}: {found}, not {want}"));
        Ok(())
    };
    equal("captures", "SELECT count(*) FROM captures", want)?;
    equal("tasks that process", "SELECT count(*) FROM tasks WHERE kind = 'process'", want)?;
    equal(
        "captures that a task succeeded with",
        "SELECT count(DISTINCT capture_id) FROM tasks WHERE kind = 'process' AND state = 'SUCCESS'",
        want,
    )?;
    equal("tasks of any kind that failed for good", "SELECT count(*) FROM tasks WHERE state = 'FAILURE'", 0)?;
    equal(
        "tasks that somebody still holds",
        "SELECT count(*) FROM tasks WHERE state = 'STARTED' OR lease_expires_at IS NOT NULL",
        0,
    )?;
    equal("effects", "SELECT sum(processed_count) FROM captures", want)?;
    equal("most effects on one capture", "SELECT max(processed_count) FROM captures", i64::from(captures > 0))?;
    equal("captures with a failure", "SELECT count(*) FROM captures WHERE failure IS NOT NULL", 0)?;
    let each = i64::try_from(DERIVATIVES_EACH)?;
    equal("derivatives", "SELECT count(*) FROM derivatives", want * each)?;
    equal(
        "captures with other than four derivatives",
        &format!(
            "SELECT count(*) FROM captures
             WHERE (SELECT count(*) FROM derivatives WHERE capture_id = captures.id) <> {each}"
        ),
        0,
    )?;
    equal("bytes still to be removed", "SELECT count(*) FROM doomed_blobs", 0)?;
    Ok(Figures {
        tasks_run_again: number("SELECT count(*) FROM tasks WHERE kind = 'process' AND attempts > 1")?,
        attempts_most: number("SELECT max(attempts) FROM tasks WHERE kind = 'process'")?,
        attempts: number("SELECT sum(attempts) FROM tasks WHERE kind = 'process'")?,
    })
}

/// Each derivative's file by its row, and no file besides.
fn judge_files(data: &Path, catalog: &Catalog, checks: &mut Checks) -> Result<()> {
    let mut files: BTreeMap<String, PathBuf> = store::derivatives(data)?;
    let derivatives = catalog.derivatives()?;
    for complaint in lost_derivatives(data, &derivatives) {
        checks.check(false, || complaint);
    }
    for derivative in derivatives {
        files.remove(&derivative.blob_key);
        checks.passed += 1;
    }
    for key in files.keys() {
        checks.check(false, || format!("{key}: a derivative that no row names"));
    }
    Ok(())
}

/// Derivatives with a row and without their bytes. The rows were read first, so that it may be asked beside a server
/// that makes more of them.
pub fn lost_derivatives(data: &Path, derivatives: &[Derivative]) -> Vec<String> {
    let mut lost = Vec::new();
    for derivative in derivatives {
        let key = format!("{} at {}", derivative.blob_key, derivative.offset_bytes);
        match store::read_derivative(data, derivative) {
            Ok(bytes) if bytes.len() as u64 != derivative.size_bytes => {
                lost.push(format!("{key}: {} bytes, its row says {}", bytes.len(), derivative.size_bytes));
            }
            Ok(bytes) if sha256(&bytes) != derivative.sha256 => lost.push(format!("{key}: other bytes")),
            Ok(_) => {}
            Err(error) => lost.push(format!("{key}: a row without its file: {error}")),
        }
    }
    lost
}
