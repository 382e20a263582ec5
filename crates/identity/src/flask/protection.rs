//! Flask-Login's `_id`: what a session is bound to.
//!
//! SHA-512 in hex of `<address>|<user agent>`, each as Python's `repr` of its *bytes*: `b'203.0.113.5'|b'Mozilla/5.0'`.
//! WSGI hands a header over as Latin-1, and Flask-Login encodes that in UTF-8, so a letter beyond ASCII has been
//! encoded twice. Without a user agent its part reads `None`.

use sha2::{Digest, Sha512};

pub(super) fn identifier(address: &[u8], user_agent: Option<&[u8]>) -> String {
    let mut text = String::with_capacity(address.len() + user_agent.map_or(0, <[u8]>::len) + 16);
    push_repr(&mut text, address);
    text.push('|');
    match user_agent {
        Some(bytes) => push_repr(&mut text, bytes),
        None => text.push_str("None"),
    }
    hex::encode(Sha512::digest(text))
}

/// `repr(bytes.decode("latin-1").encode("utf-8"))`.
fn push_repr(text: &mut String, latin1: &[u8]) {
    let quote = if latin1.contains(&b'\'') && !latin1.contains(&b'"') { '"' } else { '\'' };
    text.extend(['b', quote]);
    for letter in latin1.iter().map(|byte| char::from(*byte)) {
        match letter {
            '\\' => text.push_str("\\\\"),
            '\t' => text.push_str("\\t"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            ' '..='~' if letter == quote => text.extend(['\\', quote]),
            ' '..='~' => text.push(letter),
            _ => letter.encode_utf8(&mut [0; 2]).bytes().for_each(|byte| push_hex(text, byte)),
        }
    }
    text.push(quote);
}

fn push_hex(text: &mut String, byte: u8) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    text.extend(['\\', 'x', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}
