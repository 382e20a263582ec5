//! One child process, as the parent sees it.
//!
//! **Promises** that whatever the child sends, says or leaves undone, the parent neither panics nor waits for ever nor
//! takes more memory than an honest answer would need. A child that broke the rules once is not asked again.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::death::{LastWords, cause};
use crate::metrics::Counted;
use crate::protocol::{
    self, AnyHello, CHILD_GREETS, ChildHello, LENGTHS_BYTES, Lengths, PARENT_GREETS, ParentHello, VERSION, frame,
    header, malformed,
};
use crate::spawner::Spawner;
use crate::{DecoderOptions, Protections};

/// Longest a child may take to start and confine itself. Generous: the machine may be busy, and a fault shows at once.
const GREETING_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest a child may take to be gone when it closed its output or was killed.
const GOING_TIMEOUT: Duration = Duration::from_secs(2);
/// How much of a body is asked for at once: memory follows the bytes that came, not the length that was announced.
const PIECE_BYTES: u64 = 256 * 1024;

/// Free memory that a child's allocator may keep for the next photo: 32 MiB, the most that glibc takes here.
const KEPT_BYTES_MAX: &str = "33554432";

/// A running child. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    to_child: ChildStdin,
    from_child: ChildStdout,
    last_words: LastWords,
    _counted: Counted,
}

impl Process {
    /// Starts a child and greets it.
    pub(crate) async fn start(
        options: &DecoderOptions,
        spawner: &Spawner,
        counted: Counted,
    ) -> Result<(Self, Protections), String> {
        let mut command = Command::new(&options.program);
        command
            .args(&options.arguments)
            // Secrets of the server's environment are none of a decoder's.
            .env_clear()
            // glibc would give its memory back after each photo and have every page made anew for the next, which took
            // an eighth of the time. What it keeps is bounded by this, and by the child's leaving when it has grown.
            .env("MALLOC_TRIM_THRESHOLD_", KEPT_BYTES_MAX)
            .env("MALLOC_MMAP_THRESHOLD_", KEPT_BYTES_MAX)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal goes to the whole group: decodes would die while the server still drains.
            .process_group(0)
            .kill_on_drop(true);
        let failed = |error: io::Error| format!("the decoder could not be started: {error}");
        let mut child = spawner.spawn(command).await.map_err(failed)?;
        let (Some(to_child), Some(from_child), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("the decoder could not be started: it has no pipes".to_owned());
        };
        let last_words = LastWords::listen(stderr);
        let mut process = Self { child, to_child, from_child, last_words, _counted: counted };
        match timeout(GREETING_TIMEOUT, process.greet(options)).await {
            Ok(Ok(protections)) => Ok((process, protections)),
            Ok(Err(error)) => Err(process.end(&error, options.memory_bytes_max).await),
            Err(_) => {
                process.kill().await;
                Err(format!("the decoder did not start within {} s", GREETING_TIMEOUT.as_secs()))
            }
        }
    }

    async fn greet(&mut self, options: &DecoderOptions) -> io::Result<Protections> {
        let hello = ParentHello {
            version: VERSION.to_owned(),
            niceness: options.niceness,
            memory_bytes_max: options.memory_bytes_max,
        };
        self.to_child.write_all(&PARENT_GREETS).await?;
        self.to_child.write_all(&frame(&hello, 0)?).await?;
        let mut greeting = [0; CHILD_GREETS.len()];
        self.from_child.read_exact(&mut greeting).await?;
        if greeting != CHILD_GREETS {
            return Err(malformed("it is no decoder"));
        }
        let (json, _) = self.read_frame(0).await?;
        let AnyHello { version } = header(&json)?;
        if version != VERSION {
            return Err(malformed("it is of another version than the server: restart the server"));
        }
        Ok(header::<ChildHello>(&json)?.protections)
    }

    /// Sends a photo and reads the answer.
    pub(crate) async fn exchange(
        &mut self,
        request: &protocol::Request,
        photo: &[u8],
        body_bytes_max: u64,
    ) -> io::Result<(protocol::Answer, Vec<u8>)> {
        self.to_child.write_all(&frame(request, photo.len())?).await?;
        self.to_child.write_all(photo).await?;
        let (json, body) = self.read_frame(body_bytes_max).await?;
        Ok((header(&json)?, body))
    }

    async fn read_frame(&mut self, body_bytes_max: u64) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let mut bytes = [0; LENGTHS_BYTES];
        self.from_child.read_exact(&mut bytes).await?;
        let lengths = Lengths::parse(bytes, body_bytes_max)?;
        let json = self.read_exactly(u64::from(lengths.header_bytes)).await?;
        let body = self.read_exactly(u64::from(lengths.body_bytes)).await?;
        Ok((json, body))
    }

    async fn read_exactly(&mut self, bytes: u64) -> io::Result<Vec<u8>> {
        let mut whole = Vec::new();
        let mut missing = bytes;
        while missing > 0 {
            let piece = missing.min(PIECE_BYTES);
            let read = (&mut self.from_child).take(piece).read_to_end(&mut whole).await? as u64;
            if read < piece {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            missing -= piece;
        }
        Ok(whole)
    }

    /// Whether it can be asked again. It may have been killed while it was idle.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it and waits until its memory is free again.
    pub(crate) async fn kill(&mut self) {
        if let Err(error) = self.child.start_kill() {
            // It is gone already, or was never ours to kill; the wait below tells.
            tracing::debug!(%error, "a decoder could not be killed");
        }
        if timeout(GOING_TIMEOUT, self.child.wait()).await.is_err() {
            tracing::warn!("a killed decoder is still there after {} s", GOING_TIMEOUT.as_secs());
        }
    }

    /// After an exchange that failed: ends the child, and says what it died of.
    pub(crate) async fn end(&mut self, error: &io::Error, memory_bytes: u64) -> String {
        // A child that sends nonsense is alive; one whose pipe closed is about to be gone, and how it went is the news.
        let nonsense = error.kind() == io::ErrorKind::InvalidData;
        let status = if nonsense { None } else { timeout(GOING_TIMEOUT, self.child.wait()).await.ok() };
        let Some(status) = status else {
            self.kill().await;
            return format!("the decoder broke the rules and was ended: {error}");
        };
        let last_words = self.last_words.hear().await;
        cause(status, &last_words, memory_bytes)
    }
}
