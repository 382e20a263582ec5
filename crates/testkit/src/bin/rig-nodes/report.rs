//! The table of figures.

use std::time::Duration;

use testkit::rig::clients::{Figures, Met};

/// What clients met under one fault.
#[derive(Debug)]
pub struct Row {
    pub name: String,
    pub lasted: Duration,
    pub figures: Figures,
}

impl Row {
    pub fn new(name: &str, figures: Figures) -> Self {
        Self { name: name.to_owned(), lasted: Duration::ZERO, figures }
    }
}

/// `recovery` is how long after the end of the fault the last failure came.
pub fn print(rows: &[Row]) {
    println!(
        "{:<28} {:>8} {:>8} {:>7} {:>6} {:>6} {:>6} {:>6} {:>7} {:>6} {:>9} {:>9}",
        "fault", "lasted s", "uploads", "reads", "503", "502/4", "500", "409", "broken", "other", "gap s", "recov. s"
    );
    for Row { name, lasted, figures } in rows {
        let known = [502, 503, 504, 500, 409];
        let status =
            |which: &[u16]| figures.failed(|met| matches!(met, Met::Status(status) if which.contains(&status)));
        let other = figures.failed(|met| matches!(met, Met::Status(status) if !known.contains(&status)));
        println!(
            "{name:<28} {:>8.1} {:>8} {:>7} {:>6} {:>6} {:>6} {:>6} {:>7} {other:>6} {:>9.1} {:>9.1}",
            lasted.as_secs_f64(),
            figures.uploads,
            figures.reads,
            status(&[503]),
            status(&[502, 504]),
            status(&[500]),
            status(&[409]),
            figures.failed(|met| met == Met::Broken),
            figures.longest_gap.as_secs_f64(),
            figures.recovery.as_secs_f64(),
        );
    }
}
