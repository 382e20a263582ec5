//! The tests tell by [`check`] what becomes of a file: its type and size, or the code and words of its defect.

mod damage;
mod heic;
mod jpeg;
mod photos;
mod png;
mod reading;
mod types;
mod webp;

use std::io::Cursor;

use crate::{Defect, Limits, Structure, inspect};

fn describe(result: Result<Structure, Defect>) -> String {
    match result {
        Ok(Structure { image_type, width_px, height_px }) => {
            format!("{} {width_px}x{height_px}", image_type.content_type())
        }
        Err(defect) => format!("{}: {defect}", defect.code()),
    }
}

/// `expect` is what the outcome must contain, such as `image/png 4x3` or `image_malformed: … palette`, the ellipsis
/// standing for any words.
#[track_caller]
fn check(input: &[u8], expect: &str) {
    check_within(input, &Limits::default(), expect);
}

#[track_caller]
fn check_within(input: &[u8], limits: &Limits, expect: &str) {
    let outcome = describe(inspect(Cursor::new(input), limits));
    let is_met = expect.split('…').all(|words| outcome.contains(words.trim()));
    assert!(is_met, "expected «{expect}», got «{outcome}»");
}
