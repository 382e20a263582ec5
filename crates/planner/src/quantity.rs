//! Quantities as people write them: `120KB`, `1KB/s`, `90s`, `5ms`, `15%`.
//!
//! Prefixes are decimal, as disks and networks are sold; `KiB`, `MiB` and `GiB` are the binary ones.

/// A text that is no such quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {wanted}")]
pub struct NotAQuantity {
    text: String,
    wanted: &'static str,
}

/// The number at the beginning, and the unit after it.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|letter: char| !(letter.is_ascii_digit() || letter == '.' || letter == '_'));
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let number: f64 = number.replace('_', "").parse().ok()?;
    number.is_finite().then_some((number, unit.trim()))
}

fn parse(text: &str, wanted: &'static str, scale: impl Fn(&str) -> Option<f64>) -> Result<f64, NotAQuantity> {
    split(text)
        .and_then(|(number, unit)| Some(number * scale(unit)?))
        .ok_or_else(|| NotAQuantity { text: text.to_owned(), wanted })
}

fn bytes_unit(unit: &str) -> Option<f64> {
    Some(match unit {
        "" | "B" => 1.0,
        "kB" | "KB" | "K" | "k" => 1e3,
        "MB" | "M" => 1e6,
        "GB" | "G" => 1e9,
        "TB" | "T" => 1e12,
        "KiB" => 1024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        _ => return None,
    })
}

/// Bytes: `120KB`, `4MB`, `8GiB`, `120000`.
pub fn bytes(text: &str) -> Result<f64, NotAQuantity> {
    parse(text, "a size such as 120KB, 4MB or 8GiB", bytes_unit)
}

/// Bytes per second: `1KB/s`, `10Mbit/s`.
pub fn rate(text: &str) -> Result<f64, NotAQuantity> {
    parse(text, "a rate such as 1KB/s, 2MB/s or 10Mbit/s", |unit| {
        let unit = unit.strip_suffix("/s")?;
        match unit {
            "kbit" | "Kbit" => Some(1e3 / 8.0),
            "Mbit" => Some(1e6 / 8.0),
            "Gbit" => Some(1e9 / 8.0),
            unit => bytes_unit(unit),
        }
    })
}

/// Seconds: `1s`, `500ms`, `30us`, `10min`, `2h`.
pub fn seconds(text: &str) -> Result<f64, NotAQuantity> {
    parse(text, "a time such as 1s, 500ms, 10min or 2h", |unit| {
        Some(match unit {
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        })
    })
}

/// A share: `0.15` or `15%`.
pub fn share(text: &str) -> Result<f64, NotAQuantity> {
    let wanted = "a share such as 0.15 or 15%";
    let share = parse(text, wanted, |unit| match unit {
        "" => Some(1.0),
        "%" => Some(0.01),
        _ => None,
    })?;
    if share <= 1.0 { Ok(share) } else { Err(NotAQuantity { text: text.to_owned(), wanted }) }
}

/// A count, also large: `1000000`, `1_000_000`, `1M`, `10k`.
pub fn count(text: &str) -> Result<f64, NotAQuantity> {
    parse(text, "a count such as 10000, 10k or 1M", |unit| {
        Some(match unit {
            "" => 1.0,
            "k" | "K" => 1e3,
            "M" => 1e6,
            "G" => 1e9,
            _ => return None,
        })
    })
}

/// Three digits and a prefix, for people.
fn prefixed(value: f64, step: f64, prefixes: &[&str]) -> String {
    let mut value = value;
    let mut at = 0;
    while value.abs() >= step && at + 1 < prefixes.len() {
        value /= step;
        at += 1;
    }
    let digits = match value.abs() {
        nothing if nothing < 1e-12 => 0,
        small if small < 10.0 => 2,
        middle if middle < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {}", prefixes[at])
}

/// `14.4 GB`.
pub fn in_bytes(value: f64) -> String {
    prefixed(value, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB"])
}

/// `1.2 million`; small ones to the digit.
pub fn in_words(value: f64) -> String {
    match value.abs() {
        large if large >= 1e9 => format!("{:.3} billion", value / 1e9),
        large if large >= 1e6 => format!("{:.2} million", value / 1e6),
        large if large >= 1e4 => format!("{:.1} thousand", value / 1e3),
        large if large >= 100.0 => format!("{value:.0}"),
        large if large >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// `340 ms`, `2.50 s`, `3.1 h`.
pub fn in_seconds(value: f64) -> String {
    match value {
        small if small < 1e-3 => format!("{:.0} µs", small * 1e6),
        small if small < 0.1 => format!("{:.2} ms", small * 1e3),
        small if small < 1.0 => format!("{:.0} ms", small * 1e3),
        middle if middle < 120.0 => format!("{middle:.2} s"),
        long if long < 7200.0 => format!("{:.1} min", long / 60.0),
        long if long < 172_800.0 => format!("{:.1} h", long / 3600.0),
        longer => format!("{:.1} days", longer / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: Result<f64, NotAQuantity>, wanted: f64) {
        let found = found.unwrap();
        assert!((found - wanted).abs() <= wanted.abs() * 1e-12, "{found} is not {wanted}");
    }

    #[test]
    fn what_people_write_is_read() {
        check(bytes("120KB"), 120_000.0);
        check(bytes("8GiB"), 8_589_934_592.0);
        check(bytes("120_000"), 120_000.0);
        check(rate("1KB/s"), 1_000.0);
        check(rate("10Mbit/s"), 1_250_000.0);
        check(seconds("500ms"), 0.5);
        check(seconds("2h"), 7_200.0);
        check(share("15%"), 0.15);
        check(share("0.15"), 0.15);
        check(count("1M"), 1e6);
        check(count("100_000_000"), 1e8);
    }

    #[test]
    fn anything_else_is_refused_with_an_example() {
        for text in ["", "KB", "12parsec", "-3KB", "1e400", "KB12"] {
            assert!(bytes(text).is_err(), "{text}");
        }
        assert!(rate("1KB").is_err(), "a rate without a time");
        assert!(share("150%").is_err());
        assert_eq!(seconds("soon").unwrap_err().to_string(), "'soon' is not a time such as 1s, 500ms, 10min or 2h");
    }

    #[test]
    fn people_get_three_digits() {
        assert_eq!(in_bytes(14_400_000_000.0), "14.4 GB");
        assert_eq!(in_bytes(0.0), "0 B");
        assert_eq!(in_words(1_234_567.0), "1.23 million");
        assert_eq!(in_seconds(0.0123), "12.30 ms");
        assert_eq!(in_seconds(7_300.0), "2.0 h");
    }
}
