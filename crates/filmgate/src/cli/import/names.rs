//! Which rows share a file.
//!
//! The app named files by session and second, so that two frames of one second have one name: the later overwrote the
//! earlier, and both rows stayed. The bytes that are there are those of the newest row; of rows of one time, of the one
//! with the last key. Forty bytes of memory for a name, so that ten million of them fit.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use jiff::Timestamp;

#[derive(Default)]
pub(super) struct Names {
    /// Two keys of 64 bits: two names of ten million share both once in 10^24 imports.
    hashers: (RandomState, RandomState),
    files: HashMap<u128, Shared>,
    rows: u64,
    asked: u64,
    /// Keys of rows that keep a file which others shared.
    keepers: HashMap<u128, String>,
}

struct Shared {
    newest: i64,
    /// Which row that is, counted from 0 in the order of keys.
    keeper: u64,
    rows: u32,
}

/// What a row is to its file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The file is its own.
    Keeps,
    /// Another row's photo has taken the place of its own; ask [`Names::keeper`] whose, once all rows were asked for.
    Overwritten(u128),
}

impl Names {
    /// Takes note of the next row's file.
    pub(super) fn add(&mut self, name: &str, time: Option<Timestamp>) {
        let time = time.map_or(i64::MIN, Timestamp::as_microsecond);
        let row = self.rows;
        self.rows += 1;
        if name.is_empty() {
            return;
        }
        let shared = self.files.entry(self.hash(name)).or_insert(Shared { newest: time, keeper: row, rows: 0 });
        shared.rows = shared.rows.saturating_add(1);
        if time >= shared.newest {
            (shared.newest, shared.keeper) = (time, row);
        }
    }

    /// What the next row, in the same order as they were added, is to its file. Rows that came since keep theirs.
    pub(super) fn place(&mut self, name: &str, key: &str) -> Place {
        let row = self.asked;
        self.asked += 1;
        let hash = self.hash(name);
        match self.files.get(&hash) {
            Some(shared) if shared.rows > 1 && shared.keeper == row => {
                self.keepers.insert(hash, key.to_owned());
                Place::Keeps
            }
            Some(shared) if shared.rows > 1 => Place::Overwritten(hash),
            _ => Place::Keeps,
        }
    }

    /// The key of the row that has the file.
    pub(super) fn keeper(&self, of: u128) -> Option<&str> {
        self.keepers.get(&of).map(String::as_str)
    }

    /// Whether any row names this file.
    pub(super) fn has(&self, name: &str) -> bool {
        self.files.contains_key(&self.hash(name))
    }

    fn hash(&self, name: &str) -> u128 {
        u128::from(self.hashers.0.hash_one(name)) << 64 | u128::from(self.hashers.1.hash_one(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_row_has_the_file() {
        let time = |second: i64| Some(Timestamp::from_second(second).unwrap());
        // Key, name, time.
        let rows = [
            ("1", "alone.jpg", time(1)),
            ("2", "shared.jpg", time(5)),
            ("3", "shared.jpg", time(9)),
            ("4", "shared.jpg", time(7)),
            ("5", "same-time.jpg", time(3)),
            ("6", "same-time.jpg", time(3)),
            ("7", "no-time.jpg", None),
            ("8", "no-time.jpg", time(1)),
            ("9", "", None),
        ];
        let mut names = Names::default();
        for (_, name, time) in rows {
            names.add(name, time);
        }
        let places: Vec<Place> = rows.iter().map(|(key, name, _)| names.place(name, key)).collect();
        let keeper = |index: usize| match places[index] {
            Place::Keeps => rows[index].0,
            Place::Overwritten(of) => names.keeper(of).unwrap(),
        };
        let keepers: Vec<&str> = (0..rows.len()).map(keeper).collect();
        assert_eq!(keepers, ["1", "3", "3", "3", "6", "6", "8", "8", "9"]);
        assert!(names.has("alone.jpg") && !names.has("nobody's.jpg"));
    }
}
