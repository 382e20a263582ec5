//! The header `Retry-After` (RFC 9110): seconds, or a date.

use std::time::Duration;

use jiff::fmt::rfc2822;
use ureq::http::HeaderValue;

/// Nobody puts a delivery off for longer: a year would be as good as lost.
const MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long to wait; nothing where the value is neither.
pub(crate) fn parse(value: &HeaderValue, now_unix_s: i64) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let seconds = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a long time all the same.
        text.parse().unwrap_or(u64::MAX)
    } else {
        let date = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        u64::try_from(date.as_second().saturating_sub(now_unix_s)).unwrap_or(0)
    };
    Some(Duration::from_secs(seconds).min(MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_and_nonsense() {
        // 784111777 is the moment of the first date.
        for (text, expected_s) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999999999999999999", Some(86_400)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", Some(0)),
            ("Sat, 05 Nov 1994 08:49:37 GMT", Some(0)),
            ("Sun, 06 Nov 2094 08:49:37 GMT", None),
            ("Sat, 06 Nov 2094 08:49:37 GMT", Some(86_400)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            let value = HeaderValue::from_str(text).unwrap();
            assert_eq!(parse(&value, 784_111_717).map(|wait| wait.as_secs()), expected_s, "{text}");
        }
        assert_eq!(parse(&HeaderValue::from_bytes(b"\xff").unwrap(), 0), None);
    }
}
