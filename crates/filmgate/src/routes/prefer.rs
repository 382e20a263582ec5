//! `Prefer` (RFC 7240): which form of answer a request asks for.

use std::fmt;

use axum::http::HeaderMap;

/// Longer waits count as this one, as RFC 9111 says of seconds.
const SECONDS_MAX: u64 = 2_147_483_648;

/// What a request prefers. What is unknown or malformed counts for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Preferences {
    /// To be answered with the tasks.
    pub(super) respond_async: bool,
    /// To wait this many seconds for what the tasks would answer.
    pub(super) wait_seconds: Option<u64>,
}

/// What was honoured, as `Preference-Applied` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// The answer names tasks.
    RespondAsync,
    /// The answer names captures; it was there at once.
    Wait(u64),
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RespondAsync => f.write_str("respond-async"),
            Self::Wait(seconds) => write!(f, "wait={seconds}"),
        }
    }
}

impl Preferences {
    /// Reads every `Prefer` line as if they were one. Of a preference that is stated twice the first counts, whether
    /// it can be used or not.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut preferences = Self::default();
        let (mut async_seen, mut wait_seen) = (false, false);
        for line in headers.get_all("prefer") {
            for element in split(line.as_bytes(), b',') {
                // What follows the first semicolon are parameters, and neither preference has any.
                let Some((name, value)) = split(element, b';').next().and_then(preference) else { continue };
                if name.eq_ignore_ascii_case("respond-async") && !std::mem::replace(&mut async_seen, true) {
                    // An empty value is as good as none.
                    preferences.respond_async = value.is_empty();
                } else if name.eq_ignore_ascii_case("wait") && !std::mem::replace(&mut wait_seen, true) {
                    preferences.wait_seconds = seconds(&value);
                }
            }
        }
        preferences
    }

    /// Whether the answer names tasks. Who states both wants the captures only if nothing is left to wait for, and
    /// decoding always is: `respond-async` wins.
    pub(super) fn wants_tasks(self, by_default: bool) -> bool {
        self.respond_async || (by_default && self.wait_seconds.is_none())
    }

    /// The preference that an answer of this form honours.
    pub(super) fn applied(self, names_tasks: bool) -> Option<Applied> {
        if names_tasks {
            self.respond_async.then_some(Applied::RespondAsync)
        } else {
            self.wait_seconds.map(Applied::Wait)
        }
    }
}

/// The parts between separators that stand outside quotes.
pub(super) fn split(bytes: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    bytes.split(move |byte| {
        let ends = !quoted && *byte == separator;
        if escaped {
            escaped = false;
        } else if quoted && *byte == b'\\' {
            escaped = true;
        } else if *byte == b'"' {
            quoted = !quoted;
        }
        ends
    })
}

/// `token [ BWS "=" BWS word ]`; the value without its quotes.
fn preference(bytes: &[u8]) -> Option<(&str, String)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let (name, value) = (name.trim(), value.trim());
    is_token(name).then_some(())?;
    let value = match value.strip_prefix('"') {
        Some(quoted) => unquote(quoted)?,
        None if value.is_empty() || is_token(value) => value.to_owned(),
        None => return None,
    };
    Some((name, value))
}

/// What stands between quotes, the first of them taken off already.
fn unquote(text: &str) -> Option<String> {
    let (mut value, mut characters) = (String::new(), text.chars());
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some(value),
            '\\' => value.push(characters.next()?),
            character => value.push(character),
        }
    }
}

fn is_token(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(plain)
}

fn seconds(value: &str) -> Option<u64> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    // Only a number too large for 64 bits fails to be one.
    digits.then(|| value.parse().unwrap_or(SECONDS_MAX).min(SECONDS_MAX))
}
