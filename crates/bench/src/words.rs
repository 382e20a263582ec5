//! Quantities for people.

/// `340 µs`, `2.5 ms`, `12.3 s`.
pub(crate) fn time(seconds: f64) -> String {
    match seconds {
        nothing if nothing <= 0.0 => "0".to_owned(),
        micro if micro < 0.001 => format!("{:.0} µs", micro * 1e6),
        small if small < 0.01 => format!("{:.2} ms", small * 1e3),
        small if small < 0.1 => format!("{:.1} ms", small * 1e3),
        small if small < 1.0 => format!("{:.0} ms", small * 1e3),
        middle if middle < 120.0 => format!("{} s", trimmed(middle, 2)),
        long if long < 7200.0 => format!("{} min", trimmed(long / 60.0, 1)),
        longer => format!("{} h", trimmed(longer / 3600.0, 1)),
    }
}

/// As [`time`], without zeroes at the end: `10 ms`.
pub(crate) fn round_time(seconds: f64) -> String {
    let words = time(seconds);
    match words.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => words,
    }
}

/// `12,345`, as English writes it.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `9.95`, `99.5`, `1,234`.
pub(crate) fn rate(number: f64) -> String {
    match number {
        small if small < 10.0 => trimmed(small, 2),
        middle if middle < 1000.0 => trimmed(middle, 1),
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, far below 2^63")]
        large => count(large.round() as u64),
    }
}

/// `100 kB`.
pub(crate) fn bytes(number: f64) -> String {
    let mut number = number;
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut unit = 0;
    while number >= 1000.0 && unit + 1 < units.len() {
        number /= 1000.0;
        unit += 1;
    }
    format!("{} {}", trimmed(number, 1), units[unit])
}

/// `0.3 %`.
pub(crate) fn share(number: f64) -> String {
    format!("{} %", trimmed(number * 100.0, 1))
}

/// So many digits after the point at most, without zeroes at the end.
fn trimmed(number: f64, digits: usize) -> String {
    let text = format!("{number:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_get_few_digits() {
        assert_eq!([time(0.00034), time(0.0025), time(0.34), time(12.3)], ["340 µs", "2.50 ms", "340 ms", "12.3 s"]);
        assert_eq!([round_time(0.01), round_time(0.0025), round_time(100.0)], ["10 ms", "2.5 ms", "100 s"]);
        assert_eq!([count(7), count(1_234), count(1_234_567)], ["7", "1,234", "1,234,567"]);
        assert_eq!([rate(9.951), rate(99.5), rate(1_234.4)], ["9.95", "99.5", "1,234"]);
        assert_eq!([bytes(100_000.0), share(0.003)], ["100 kB", "0.3 %"]);
    }
}
