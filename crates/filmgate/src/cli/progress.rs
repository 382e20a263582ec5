//! How far a long command is: a bar where somebody watches, a line now and then where not, nothing for programs.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Between two lines where nobody watches a bar.
const LINE_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Progress {
    bar: ProgressBar,
    what: String,
    is_quiet: bool,
    told: Mutex<Instant>,
}

impl Progress {
    /// `what` is counted, as in "rows copied"; `is_quiet` for programs.
    pub(super) fn new(total: u64, what: &str, is_quiet: bool) -> Self {
        let target = if is_quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        // A template that is wrong shows indicatif's own.
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {prefix} {msg} [{eta}]") {
            bar.set_style(style);
        }
        bar.set_prefix(what.to_owned());
        Self { bar, what: what.to_owned(), is_quiet, told: Mutex::new(Instant::now()) }
    }

    pub(super) fn tell(&self, done: u64, total: u64, more: &str) {
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.bar.set_message(more.to_owned());
        if self.bar.is_hidden() && !self.is_quiet {
            let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if told.elapsed() > LINE_EVERY {
                *told = Instant::now();
                eprintln!("{done} of {total} {} {more}", self.what);
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
