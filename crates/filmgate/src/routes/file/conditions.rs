//! `If-None-Match`, `If-Range` and `Range` (RFC 9110): what of a representation is sent.

use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, Method};

use super::super::prefer::split;

/// What of a representation is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// These bytes, both included.
    Range(u64, u64),
    /// The client asks for bytes behind the end.
    Unsatisfiable,
}

/// Whether the client has this representation already. Compared weakly, as RFC 9110 says of `If-None-Match`.
pub(super) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let lines = headers.get_all(header::IF_NONE_MATCH);
    lines
        .into_iter()
        .flat_map(|line| split(line.as_bytes(), b','))
        .map(<[u8]>::trim_ascii)
        .any(|known| known == b"*" || known.strip_prefix(b"W/").unwrap_or(known) == etag.as_bytes())
}

/// What of `size_bytes` bytes is sent. Whatever cannot be read, several ranges among it, asks for nothing.
pub(super) fn part(method: &Method, headers: &HeaderMap, etag: &str, size_bytes: u64) -> Part {
    let Some(range) = only(headers, &header::RANGE).filter(|_| method == Method::GET) else { return Part::Whole };
    // Compared strongly; a date never matches, for a photo has none.
    if headers.contains_key(header::IF_RANGE) && only(headers, &header::IF_RANGE) != Some(etag) {
        return Part::Whole;
    }
    let Some((unit, ranges)) = range.split_once('=') else { return Part::Whole };
    let mut ranges = ranges.split(',').map(str::trim).filter(|range| !range.is_empty());
    let (Some(range), None, true) = (ranges.next(), ranges.next(), unit.trim().eq_ignore_ascii_case("bytes")) else {
        return Part::Whole;
    };
    let Some((first, last)) = range.split_once('-') else { return Part::Whole };
    match (first, last) {
        ("", suffix) => match number(suffix) {
            None => Part::Whole,
            Some(0) => Part::Unsatisfiable,
            Some(_) if size_bytes == 0 => Part::Unsatisfiable,
            Some(length) => Part::Range(size_bytes.saturating_sub(length), size_bytes - 1),
        },
        (first, last) => {
            let last = if last.is_empty() { Some(u64::MAX) } else { number(last) };
            match (number(first), last) {
                (Some(first), Some(last)) if first > last => Part::Whole,
                (Some(first), Some(_)) if first >= size_bytes => Part::Unsatisfiable,
                (Some(first), Some(last)) => Part::Range(first, last.min(size_bytes - 1)),
                _ => Part::Whole,
            }
        }
    }
}

/// A header that stands there once.
fn only<'headers>(headers: &'headers HeaderMap, name: &HeaderName) -> Option<&'headers str> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next()?.to_str().ok()?.trim();
    values.next().is_none().then_some(value)
}

/// Digits alone; what 64 bits do not hold is behind every end.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}
