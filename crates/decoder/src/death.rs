//! Why a child is gone, in words.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::answer::words;

/// How much of standard error is kept: its end.
const KEPT_BYTES: usize = 4 * 1024;
/// A grandchild may hold standard error open when the child is gone; nobody waits for that.
const HEAR_TIMEOUT: Duration = Duration::from_millis(500);

/// The end of what a child wrote to standard error. It is read all the time: a full pipe would block the child.
pub(crate) struct LastWords {
    kept: Arc<Mutex<Vec<u8>>>,
    listener: JoinHandle<()>,
}

impl LastWords {
    pub(crate) fn listen(mut stderr: ChildStderr) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&kept);
        let listener = tokio::spawn(async move {
            let mut piece = [0; 1024];
            // An error of reading ends it as the end does: there is nothing more to hear.
            while let Ok(read @ 1..) = stderr.read(&mut piece).await {
                let mut kept = keep.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(piece.get(..read).unwrap_or_default());
                let surplus = kept.len().saturating_sub(KEPT_BYTES);
                kept.drain(..surplus);
            }
        });
        Self { kept, listener }
    }

    /// The last line that says anything, once the child is gone. Rust's advice on backtraces says nothing.
    pub(crate) async fn hear(&mut self) -> String {
        // Neither a late end nor a listener that failed matters: what was heard until now is what there is.
        if !self.listener.is_finished() {
            drop(timeout(HEAR_TIMEOUT, &mut self.listener).await);
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&kept);
        text.lines().rev().map(words).find(|line| !line.is_empty() && !line.starts_with("note: ")).unwrap_or_default()
    }
}

impl Drop for LastWords {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// What a child died of.
pub(crate) fn cause(status: io::Result<ExitStatus>, last_words: &str, memory_bytes: u64) -> String {
    let how = match status {
        // What Rust says when an allocation fails, before it aborts.
        Ok(status) if status.signal() == Some(SIGABRT) && last_words.starts_with("memory allocation of ") => {
            return format!(
                "the decoder ran out of its {} MB of memory",
                memory_bytes.saturating_add(500_000) / 1_000_000
            );
        }
        Ok(status) => match (status.signal(), status.code()) {
            (Some(SIGKILL), _) => {
                "the decoder was killed from outside (SIGKILL), perhaps because the machine ran out of memory"
                    .to_owned()
            }
            (Some(SIGSYS), _) => "the decoder tried what it may not (SIGSYS)".to_owned(),
            (Some(signal), _) => format!("the decoder died ({})", name(signal)),
            (None, Some(code)) => format!("the decoder ended by itself with code {code}"),
            (None, None) => "the decoder is gone".to_owned(),
        },
        Err(error) => format!("the decoder is gone, and how cannot be told: {error}"),
    };
    if last_words.is_empty() { how } else { format!("{how}: {last_words}") }
}

const SIGABRT: i32 = rustix::process::Signal::ABORT.as_raw();
const SIGKILL: i32 = rustix::process::Signal::KILL.as_raw();
const SIGSYS: i32 = rustix::process::Signal::SYS.as_raw();

fn name(signal: i32) -> String {
    use rustix::process::Signal;
    let known = [
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::HUP, "SIGHUP"),
        (Signal::ILL, "SIGILL"),
        (Signal::INT, "SIGINT"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU"),
    ];
    let found = known.into_iter().find(|(known, _)| known.as_raw() == signal);
    found.map_or_else(|| format!("signal {signal}"), |(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: u64 = 64_000_000;

    fn died_of(wait_status: i32, last_words: &str) -> String {
        cause(Ok(ExitStatus::from_raw(wait_status)), last_words, MEMORY)
    }

    #[test]
    fn the_words_name_what_can_be_told() {
        assert_eq!(died_of(6, "memory allocation of 99 bytes failed"), "the decoder ran out of its 64 MB of memory");
        assert_eq!(died_of(6, "a panic at a.rs:1"), "the decoder died (SIGABRT): a panic at a.rs:1");
        assert_eq!(died_of(11, ""), "the decoder died (SIGSEGV)");
        assert_eq!(died_of(31, ""), "the decoder tried what it may not (SIGSYS)");
        assert_eq!(died_of(3 << 8, "bye"), "the decoder ended by itself with code 3: bye");
        assert_eq!(died_of(63, ""), "the decoder died (signal 63)");
    }
}
