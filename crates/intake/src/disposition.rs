//! A part's `Content-Disposition` (RFC 7578, 4.2; RFC 6266 for `filename*`), as lenient as the app's own reader.
//!
//! **Promises** that a part with a filename is never taken for a text: the photo would be answered with a 200 and be
//! lost. The filename itself is nobody's business, and nothing is ever called by it.

/// What it says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Disposition {
    pub(crate) name: Option<String>,
    pub(crate) filename: Filename,
}

/// What a part says of its file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filename {
    Absent,
    /// No file was chosen.
    Empty,
    /// Also one that cannot be read (Latin-1, `100%FF.jpg`).
    Given,
}

impl Disposition {
    pub(crate) fn of(header: &[u8]) -> Self {
        let (mut name, mut filename) = (None, Filename::Absent);
        for (key, value) in parameters(header) {
            // Said twice, the first counts.
            if key.eq_ignore_ascii_case(b"name") {
                name = name.or(value);
            } else if let Some(extension) = strip_prefix_ignore_case(key, b"filename") {
                // Also in pieces (`filename*0`, RFC 2231), without a value, or `filename*` and no such thing.
                let is_empty = match extension {
                    b"" => value.is_some_and(|value| unquoted(value).is_empty()),
                    b"*" => value.is_some_and(extended_is_empty),
                    [b'*', ..] => false,
                    _ => continue,
                };
                if !is_empty {
                    filename = Filename::Given;
                } else if filename == Filename::Absent {
                    filename = Filename::Empty;
                }
            }
        }
        Self { name: name.and_then(name_of), filename }
    }
}

/// The parameters behind the type: their names, and their values as they stand, if they have one. A semicolon in quotes
/// parts nothing.
fn parameters(header: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let (mut in_quotes, mut is_escaped) = (false, false);
    let pieces = header.split(move |byte| {
        let ends = *byte == b';' && !in_quotes;
        in_quotes ^= *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && in_quotes && !is_escaped;
        ends
    });
    pieces.skip(1).map(|piece| match piece.iter().position(|byte| *byte == b'=') {
        Some(at) => (piece[..at].trim_ascii(), Some(piece[at + 1..].trim_ascii())),
        None => (piece.trim_ascii(), None),
    })
}

fn strip_prefix_ignore_case<'key>(key: &'key [u8], prefix: &[u8]) -> Option<&'key [u8]> {
    let (begin, rest) = key.split_at_checked(prefix.len())?;
    begin.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// What stands in quotes, or the value itself where its quotes do not end.
fn unquoted(value: &[u8]) -> &[u8] {
    let Some(inside) = value.strip_prefix(b"\"") else { return value };
    let mut is_escaped = false;
    let end = inside.iter().position(|byte| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    });
    end.map_or(value, |end| &inside[..end])
}

/// Browsers put a backslash before a quote and before nothing else.
fn name_of(value: &[u8]) -> Option<String> {
    Some(std::str::from_utf8(unquoted(value)).ok()?.replace("\\\"", "\""))
}

/// Whether it is the value of a `filename*` with nothing behind its charset and language.
fn extended_is_empty(value: &[u8]) -> bool {
    value.splitn(3, |byte| *byte == b'\'').nth(2).is_some_and(<[u8]>::is_empty)
}

#[cfg(test)]
mod tests {
    use super::{Disposition, Filename};

    fn of(header: &[u8]) -> (Option<String>, Filename) {
        let Disposition { name, filename } = Disposition::of(header);
        (name, filename)
    }

    #[test]
    fn a_filename_is_a_parameter_and_not_a_text() {
        let with: [&[u8]; 12] = [
            b"form-data; name=\"a\"; filename=\"\xFF\"",
            b"form-data; filename=b; name=a",
            b"form-data; name=a; FileName = \"b\"",
            b"form-data; name=a;filename*=UTF-8''%FF",
            b"form-data; name=a;filename*=b",
            b"form-data; name=\"a\\\\\"; filename=b",
            b"form-data; name=\"a\\\";\"; filename=\"b",
            b"form-data; name=a; filename=\"\"; filename*=UTF-8''b",
            b"form-data; name=a; filename=b; filename*=UTF-8''",
            b"form-data; name=a; filename",
            b"form-data; name=a; filename*0=b; filename*1=c",
            b"form-data; name=a; filename*0*=UTF-8''b",
        ];
        let without: [&[u8]; 5] = [
            b"form-data; name=a",
            b"form-data; name=\"a; filename=b\"",
            b"form-data; name=\"a\\\"; filename=b\"",
            b"filename=a",
            b"form-data; name=a; filenames=b",
        ];
        let empty: [&[u8]; 4] = [
            b"form-data; name=a; filename=\"\"",
            b"form-data; name=a; filename=",
            b"form-data; name=a; filename = ; x=y",
            b"form-data; name=a; filename*=UTF-8''",
        ];
        for (headers, wanted) in
            [(&with[..], Filename::Given), (&without[..], Filename::Absent), (&empty[..], Filename::Empty)]
        {
            for header in headers {
                assert_eq!(of(header).1, wanted, "{}", header.escape_ascii());
            }
        }
    }

    #[test]
    fn names_are_read_as_browsers_write_them() {
        let named: [(&[u8], Option<&str>); 10] = [
            (b"form-data; name=\"my_field\"", Some("my_field")),
            (b"form-data; name = my_field ", Some("my_field")),
            (b"form-data; NAME=\"a\"; name=\"b\"", Some("a")),
            (b"form-data; name=\"a;b\"", Some("a;b")),
            (b"form-data; name=\"a\\\"b\"", Some("a\"b")),
            (b"form-data; name=\"a\\b\"", Some("a\\b")),
            (b"form-data; name=\"100%25\"", Some("100%25")),
            ("form-data; name=\"\u{4f60}\u{597d}\"".as_bytes(), Some("\u{4f60}\u{597d}")),
            (b"form-data; name=\"\xFF\"", None),
            (b"form-data", None),
        ];
        for (header, wanted) in named {
            assert_eq!(of(header).0.as_deref(), wanted, "{}", header.escape_ascii());
        }
    }
}
