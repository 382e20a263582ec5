//! Pages of a listing, newest first, each with a cursor to the next.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// Where the next page begins: after the row with this time and id. Opaque to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) time_us: i64,
    pub(crate) id: Uuid,
}

impl Cursor {
    /// Before the newest row.
    pub(crate) const START: Self = Self { time_us: i64::MAX, id: Uuid::max() };
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}", self.time_us, self.id.simple())
    }
}

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (time, id) = text.split_once('.')?;
            // As it was written: a time before 1970 has its sign bit set.
            let time_us = u64::from_str_radix(time, 16).ok()?.cast_signed();
            Some(Self { time_us, id: Uuid::try_parse(id).ok()? })
        };
        parse().filter(|cursor| cursor.to_string() == text).ok_or("not a cursor of a listing")
    }
}

/// One page of a listing.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows, newest first.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last.
    pub next_cursor: Option<Cursor>,
}

impl<T> Page<T> {
    /// From up to `limit + 1` rows: the one too many tells that there is a next page.
    pub(crate) fn from_rows(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> Cursor) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = if more { items.last().map(cursor) } else { None };
        Self { items, next_cursor }
    }
}
