//! The order that makes an acknowledgement true, judged from a trace: fsync of the staged file, then its final name,
//! then fsync of its folder, then the catalog's write-ahead log written and fsynced, then the 200.

use std::path::{Path, PathBuf};

use super::trace::Call;

/// The calls a trace must hold for [`Trace::judge`].
pub const CALLS: &str = "openat,creat,mkdir,mkdirat,write,writev,pwrite64,pwritev,pwritev2,copy_file_range,sendfile,\
                         splice,ftruncate,fsync,fdatasync,rename,renameat,renameat2,link,linkat,sendto,sendmsg";

/// A trace of a server, and where its data lies.
#[derive(Clone, Debug)]
pub struct Trace<'a> {
    pub calls: &'a [Call],
    /// The data folder, without symlinks, as the trace names it.
    pub data: &'a Path,
}

impl Trace<'_> {
    fn log(&self) -> PathBuf {
        self.data.join("catalog.sqlite-wal")
    }

    fn sync_of<'c>(&'c self, path: &'c Path) -> impl DoubleEndedIterator<Item = &'c Call> {
        self.calls.iter().filter(move |call| {
            call.is_sync() && call.succeeded() && call.descriptor_path().is_some_and(|of| Path::new(of) == path)
        })
    }

    /// Whether this path was synced whole between two lines.
    fn synced_between(&self, path: &Path, from: usize, to: usize) -> bool {
        self.sync_of(path).any(|sync| sync.start > from && sync.end < to)
    }

    /// The call that sent the beginning of the answer that names this photo, the first time it was named.
    fn answer(&self, filename: &str) -> Option<&Call> {
        let named = self.calls.iter().position(|call| call.is_send() && call.args.contains(filename))?;
        let socket = self.calls[named].descriptor_path();
        self.calls[..=named]
            .iter()
            .rev()
            .find(|call| call.is_send() && call.descriptor_path() == socket && call.args.contains("\"HTTP/1.1 "))
    }

    /// What is wrong with the order of this acknowledged photo; nothing where all is well.
    pub fn judge(&self, filename: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        let Some(answer) = self.answer(filename) else {
            return vec![format!("{filename}: no answer in the trace names it")];
        };
        let Some((publish, staged, named)) = self.calls.iter().find_map(|call| {
            let paths = if call.is_publish() && call.succeeded() { call.paths() } else { Vec::new() };
            match paths.as_slice() {
                [from, to] if to.file_name().is_some_and(|name| name == filename) => {
                    Some((call, from.clone(), to.clone()))
                }
                _ => None,
            }
        }) else {
            return vec![format!("{filename}: no rename gave it its name")];
        };
        let mut complain = |what: String| wrong.push(format!("{filename}: {what}"));
        if publish.end >= answer.start {
            complain("named after the answer began".to_owned());
        }

        let file_sync = self.sync_of(&staged).rfind(|sync| sync.end < publish.start);
        match file_sync {
            None => complain(format!("{} was not fsynced before it got its name", staged.display())),
            Some(sync) => {
                let late = self.calls.iter().find(|call| {
                    call.is_write()
                        && call.start > sync.start
                        && call
                            .descriptor_path()
                            .is_some_and(|path| Path::new(path) == staged || Path::new(path) == named)
                });
                if let Some(late) = late {
                    complain(format!("written to on line {} after its fsync began on line {}", late.start, sync.start));
                }
            }
        }

        let folder = named.parent().unwrap_or(self.data);
        let Some(folder_sync) = self.sync_of(folder).find(|sync| sync.start > publish.end && sync.end < answer.start)
        else {
            complain(format!("{} was not fsynced between the rename and the answer", folder.display()));
            wrong.extend(self.judge_folders(filename, folder, answer));
            return wrong;
        };

        // The log's write that names the photo, or, where the trace does not show it, any.
        let log = self.log();
        let log_writes: Vec<&Call> = self
            .calls
            .iter()
            .filter(|call| call.is_write() && call.descriptor_path().is_some_and(|path| Path::new(path) == log))
            .filter(|call| call.end < answer.start)
            .collect();
        let row = log_writes
            .iter()
            .find(|call| call.args.contains(filename))
            .or_else(|| log_writes.iter().rfind(|call| call.start > folder_sync.end));
        match row {
            None => complain("no write to the catalog's log between the folder's fsync and the answer".to_owned()),
            Some(row) if row.start < folder_sync.end => complain(format!(
                "its row was written on line {}, before its folder was fsynced on line {}",
                row.start, folder_sync.end
            )),
            Some(row) if !self.synced_between(&log, row.end, answer.start) => {
                complain("the catalog's log was not fsynced between its row and the answer".to_owned());
            }
            Some(_) => {}
        }
        wrong.extend(self.judge_folders(filename, folder, answer));
        wrong
    }

    /// Every folder on the way to the photo that the server made: its parent must be fsynced before the answer.
    fn judge_folders(&self, filename: &str, folder: &Path, answer: &Call) -> Vec<String> {
        let made = self.calls.iter().filter(|call| call.is_mkdir() && call.succeeded() && call.start < answer.start);
        made.flat_map(|call| call.paths().into_iter().map(move |path| (call, path)))
            .filter(|(_, path)| folder.starts_with(path))
            .filter(|(call, path)| {
                path.parent().is_some_and(|parent| !self.synced_between(parent, call.end, answer.start))
            })
            .map(|(_, path)| {
                format!("{filename}: {} was made, its parent not fsynced before the answer", path.display())
            })
            .collect()
    }

    /// Whether the names of the catalog's own files were made durable before this photo's answer: one complaint for
    /// each that was not.
    pub fn judge_catalog(&self, filename: &str) -> Vec<String> {
        let Some(answer) = self.answer(filename) else { return Vec::new() };
        let mut wrong = Vec::new();
        for name in ["catalog.sqlite", "catalog.sqlite-wal"] {
            let path = self.data.join(name);
            let made = self.calls.iter().find(|call| {
                call.name == "openat"
                    && call.succeeded()
                    && call.args.contains("O_CREAT")
                    && call.paths().first().is_some_and(|opened| *opened == path)
            });
            if let Some(made) = made
                && !self.synced_between(self.data, made.end, answer.start)
            {
                wrong.push(format!("{name} was made, its folder not fsynced before the answer for {filename}"));
            }
        }
        wrong
    }

    /// How many successful fsyncs the trace holds.
    pub fn syncs(&self) -> usize {
        self.calls.iter().filter(|call| call.is_sync() && call.succeeded()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::super::trace::parse;
    use super::*;

    const GOOD: [&str; 10] = [
        r#"1 mkdir("/d/blobs/m", 0700) = 0"#,
        r"1 fsync(3</d/blobs>) = 0",
        r#"1 write(4</d/blobs/.staging/s>, "JPEG", 4) = 4"#,
        r"1 fsync(4</d/blobs/.staging/s>) = 0",
        r#"1 rename("/d/blobs/.staging/s", "/d/blobs/m/f.jpg") = 0"#,
        r"1 fsync(5</d/blobs/m>) = 0",
        r#"2 pwrite64(6</d/catalog.sqlite-wal>, "f.jpg", 5, 0) = 5"#,
        r"2 fdatasync(6</d/catalog.sqlite-wal>) = 0",
        r#"3 writev(9<socket:[1]>, [{iov_base="HTTP/1.1 200 OK\r\n"}, {iov_base="f.jpg"}], 2) = 20"#,
        r"2 fdatasync(6</d/catalog.sqlite-wal>) = 0",
    ];

    fn judged(lines: &[&str]) -> Vec<String> {
        let calls = parse(&lines.join("\n"));
        Trace { calls: &calls, data: Path::new("/d") }.judge("f.jpg")
    }

    #[test]
    fn the_right_order_is_right() {
        assert_eq!(judged(&GOOD), Vec::<String>::new());
    }

    #[test]
    fn each_step_left_out_is_noticed() {
        for step in [1, 3, 4, 5, 6, 7, 8] {
            let mut lines = GOOD.to_vec();
            lines.remove(step);
            assert!(!judged(&lines).is_empty(), "without {}", GOOD[step]);
        }
    }

    #[test]
    fn each_step_too_early_or_too_late_is_noticed() {
        for (from, to) in [(1, 0), (3, 2), (4, 3), (5, 4), (6, 4), (7, 6), (8, 7), (8, 5), (1, 8)] {
            let mut lines = GOOD.to_vec();
            let line = lines.remove(from);
            lines.insert(to, line);
            assert!(!judged(&lines).is_empty(), "{} moved to {to}", GOOD[from]);
        }
    }

    #[test]
    fn an_fsync_that_failed_or_had_not_returned_is_none() {
        let mut lines = GOOD.to_vec();
        lines[3] = r"1 fsync(4</d/blobs/.staging/s>) = -1 EIO (Input/output error) (INJECTED)";
        assert!(!judged(&lines).is_empty());
        let mut lines = GOOD.to_vec();
        lines[7] = r"2 fdatasync(6</d/catalog.sqlite-wal> <unfinished ...>";
        lines[9] = r"2 <... fdatasync resumed>) = 0";
        assert!(!judged(&lines).is_empty());
    }
}
