//! What `strace -f -y` wrote, as calls with a beginning and an end.
//!
//! The line number is the clock: strace writes each line when it learns of it, so one call ended before another began
//! exactly where its last line stands before the other's first.

use std::path::{Path, PathBuf};

/// One system call.
#[derive(Clone, Debug, Default)]
pub struct Call {
    pub pid: u32,
    pub name: String,
    /// What stood between the parentheses.
    pub args: String,
    /// What stood behind the equals sign.
    pub result: String,
    /// The line on which it began, and the one on which it returned.
    pub start: usize,
    pub end: usize,
}

impl Call {
    pub fn succeeded(&self) -> bool {
        !self.result.starts_with('-') && !self.result.starts_with('?') && !self.result.is_empty()
    }

    /// Whether its failure was made by strace.
    pub fn injected(&self) -> bool {
        self.result.contains("(INJECTED)")
    }

    /// The path behind the descriptor that is its first argument.
    pub fn descriptor_path(&self) -> Option<&str> {
        descriptor(self.args.split(',').next()?)
    }

    /// The paths it names, each joined to the folder whose descriptor stands before it.
    pub fn paths(&self) -> Vec<PathBuf> {
        let mut folder = PathBuf::new();
        let mut paths = Vec::new();
        for token in tokens(&self.args) {
            if let Some(path) = descriptor(&token) {
                folder = path.into();
            } else if let Some(text) = token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
                paths.push(folder.join(unescape(text)));
            }
        }
        paths
    }

    pub fn is_sync(&self) -> bool {
        matches!(self.name.as_str(), "fsync" | "fdatasync")
    }

    pub fn is_write(&self) -> bool {
        matches!(self.name.as_str(), "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2")
    }

    /// Whether it gave a file its name.
    pub fn is_publish(&self) -> bool {
        matches!(self.name.as_str(), "rename" | "renameat" | "renameat2" | "link" | "linkat")
    }

    /// Whether it opened or made a file.
    pub fn is_open(&self) -> bool {
        matches!(self.name.as_str(), "open" | "openat" | "openat2" | "creat")
    }

    pub fn is_mkdir(&self) -> bool {
        matches!(self.name.as_str(), "mkdir" | "mkdirat")
    }

    /// Whether it sent bytes over a socket.
    pub fn is_send(&self) -> bool {
        matches!(self.name.as_str(), "write" | "writev" | "sendto" | "sendmsg")
            && self.descriptor_path().is_some_and(|path| path.starts_with("socket:") || path.starts_with("TCP"))
    }
}

/// The path in `7</path>` or `AT_FDCWD</path>`.
fn descriptor(token: &str) -> Option<&str> {
    let token = token.trim();
    let open = token.find('<')?;
    let before = &token[..open];
    if before != "AT_FDCWD" && (before.is_empty() || !before.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    let inside = &token[open + 1..];
    let path = &inside[..inside.rfind('>')?];
    Some(path.strip_suffix(" (deleted)").unwrap_or(path))
}

/// The arguments, cut at the commas between them.
fn tokens(args: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut token = String::new();
    let (mut quoted, mut escaped) = (false, false);
    for letter in args.chars() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                all.push(token.trim().to_owned());
                token.clear();
                continue;
            }
            _ => {}
        }
        token.push(letter);
    }
    all.push(token.trim().to_owned());
    all
}

/// A path as strace quotes it: what is not a backslash or a quote in a path of ours stands as it is.
fn unescape(text: &str) -> String {
    text.replace("\\\"", "\"").replace("\\\\", "\\")
}

/// All calls of a log, in the order in which they began. Calls that never returned have an empty result.
pub fn parse(log: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    for (number, line) in log.lines().enumerate() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let Ok(pid) = pid.parse::<u32>() else { continue };
        let rest = rest.trim_start();
        // The time, where -tt was given.
        let text = match rest.split_once(' ') {
            Some((time, after)) if time.as_bytes().first().is_some_and(u8::is_ascii_digit) => after,
            _ => rest,
        };
        if let Some(resumed) = text.strip_prefix("<... ") {
            let Some(at) = open.iter().position(|index| calls[*index].pid == pid) else { continue };
            let index = open.swap_remove(at);
            let more = resumed.split_once(" resumed>").map_or("", |(_, more)| more);
            let whole = format!("{}{more}", calls[index].args);
            (calls[index].args, calls[index].result) = halves(&whole);
            calls[index].end = number;
            continue;
        }
        let Some((name, after)) = text.split_once('(') else { continue };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let mut call = Call { pid, name: name.to_owned(), start: number, end: number, ..Call::default() };
        if let Some(begun) = after.strip_suffix("<unfinished ...>") {
            begun.trim_end().clone_into(&mut call.args);
            call.end = usize::MAX;
            open.push(calls.len());
        } else {
            (call.args, call.result) = halves(after);
        }
        calls.push(call);
    }
    calls
}

/// Cuts `args) = result`.
fn halves(text: &str) -> (String, String) {
    match text.rsplit_once(" = ") {
        Some((args, result)) => {
            let args = args.trim_end();
            (args.strip_suffix(')').unwrap_or(args).to_owned(), result.to_owned())
        }
        None => (text.to_owned(), String::new()),
    }
}

/// Whether a path is this folder or lies in it.
pub fn within(path: &Path, folder: &Path) -> bool {
    path.starts_with(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"41 10:00:00.000001 openat(AT_FDCWD</srv>, "/d/blobs/.staging/a", O_WRONLY|O_CREAT, 0600) = 12</d/blobs/.staging/a>
41 10:00:00.000002 fsync(12</d/blobs/.staging/a> <unfinished ...>
42 10:00:00.000003 sendto(9<socket:[77]>, "HTTP/1.1 200 OK\r\n\r\n{\"x\": 1, \") = 2\"}", 30, MSG_NOSIGNAL, NULL, 0) = 30
41 10:00:00.000004 <... fsync resumed>)    = 0
41 10:00:00.000005 renameat2(5</d/blobs/.staging>, "a", 6</d/blobs/x>, "b.jpg", RENAME_NOREPLACE) = 0
41 10:00:00.000006 fdatasync(7</d/catalog.sqlite-wal>) = -1 EIO (Input/output error) (INJECTED)
43 10:00:00.000007 +++ exited with 0 +++
42 10:00:00.000008 --- SIGCHLD {si_signo=SIGCHLD} ---
42 10:00:00.000009 close(3</d/gone>(deleted))      = 0
42 10:00:00.000010 read(4<pipe:[1]>,  <unfinished ...>
"#;

    #[test]
    fn calls_are_put_together_and_timed_by_line() {
        let calls = parse(LOG);
        let names: Vec<&str> = calls.iter().map(|call| call.name.as_str()).collect();
        assert_eq!(names, ["openat", "fsync", "sendto", "renameat2", "fdatasync", "close", "read"]);
        let fsync = &calls[1];
        assert_eq!((fsync.start, fsync.end, fsync.result.as_str()), (1, 3, "0"));
        assert_eq!(fsync.descriptor_path(), Some("/d/blobs/.staging/a"));
        assert!(calls[2].is_send() && calls[2].succeeded() && calls[2].args.contains("HTTP/1.1 200"));
        assert_eq!(calls[3].paths(), [PathBuf::from("/d/blobs/.staging/a"), PathBuf::from("/d/blobs/x/b.jpg")]);
        assert!(calls[4].injected() && !calls[4].succeeded());
        assert_eq!(calls[5].descriptor_path(), Some("/d/gone"));
        assert_eq!(calls[6].end, usize::MAX);
        assert!(!calls[6].succeeded());
    }

    #[test]
    fn absolute_paths_stand_for_themselves() {
        let calls = parse("1 rename(\"/a,b\", \"/c\") = 0\n1 mkdirat(AT_FDCWD</srv>, \"d\", 0700) = 0\n");
        assert_eq!(calls[0].paths(), [PathBuf::from("/a,b"), PathBuf::from("/c")]);
        assert_eq!(calls[1].paths(), [PathBuf::from("/srv/d")]);
    }
}
