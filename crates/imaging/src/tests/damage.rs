//! What happens to good photos on the way: cut at every byte, flipped at every byte, mixed with noise.

use std::io::Cursor;

use super::{check, describe, photos};
use crate::{Limits, inspect};

#[test]
fn a_photo_cut_anywhere_is_refused() {
    for photo in photos::all() {
        for length in 0..photo.bytes.len() {
            let outcome = inspect(Cursor::new(&photo.bytes[..length]), &Limits::default());
            let defect = outcome.expect_err(&format!("{} cut to {length} bytes", photo.name));
            // While there is enough to tell the type by, it is told that the rest is missing.
            if length >= 64 {
                assert_eq!(defect.code(), "image_truncated", "{} cut to {length} bytes: {defect}", photo.name);
            }
        }
    }
}

#[test]
fn bytes_behind_the_end_are_the_photos_own_business() {
    for photo in photos::all() {
        check(&[&photo.bytes[..], b"\0\0\0\x0cfree...."].concat(), &photo.expect);
        if photo.expect.starts_with("image/heic") {
            continue; // It has no end: what follows must be a box.
        }
        for tail in [&b"PK\x03\x04"[..], b"<html><script>", b"\xff\xd8\xff\xe1\x00\x10Exif", b"\0\0\0"] {
            check(&[&photo.bytes, tail].concat(), &photo.expect);
        }
    }
}

#[test]
fn no_flipped_byte_panics_and_none_passes_in_a_png() {
    for photo in photos::all() {
        let mut bytes = photo.bytes;
        for at in 0..bytes.len() {
            for flip in [0x01, 0x08, 0x80, 0xFF] {
                bytes[at] ^= flip;
                let outcome = inspect(Cursor::new(&bytes), &Limits::default());
                if photo.expect.starts_with("image/png") {
                    assert!(outcome.is_err(), "{} with byte {at} flipped by {flip:#x}", photo.name);
                }
                bytes[at] ^= flip;
            }
        }
    }
}

#[test]
fn no_noise_panics_or_passes_the_budget() {
    let limits = Limits { pixels_max: 5_000, scans_max: 3, frames_max: 2 };
    let mut state = 0x9E37_79B9_7F4A_7C15;
    let photos = photos::all();
    for round in 0..40_000_usize {
        let photo = &photos[round % photos.len()];
        let mut bytes = photo.bytes.clone();
        for _ in 0..=photos::next_random(&mut state) % 8 {
            let at = pick(&mut state, bytes.len());
            match photos::next_random(&mut state) % 4 {
                0 => bytes[at] = photos::next_random(&mut state).to_le_bytes()[0],
                // Lengths and counts are where extremes hurt.
                1 => bytes[at..].iter_mut().take(4).for_each(|byte| *byte = 0xFF),
                2 => bytes[at..].iter_mut().take(4).for_each(|byte| *byte = 0),
                _ => {
                    let other = &photos[pick(&mut state, photos.len())].bytes;
                    let from = pick(&mut state, other.len());
                    bytes.splice(at..at, other[from..].iter().copied().take(64));
                }
            }
        }
        if let Ok(structure) = inspect(Cursor::new(&bytes), &limits) {
            let pixels = u64::from(structure.width_px) * u64::from(structure.height_px);
            assert!((1..=limits.pixels_max).contains(&pixels), "{}", describe(Ok(structure)));
        }
    }
}

#[test]
fn noise_behind_a_good_beginning_is_refused() {
    for photo in photos::all() {
        for length in [1, 7, 300, 40_000] {
            // The type can be told by these bytes, the size not yet.
            check(&[&photo.bytes[..20], &photos::noise(length)].concat(), "image_");
        }
    }
}

fn pick(state: &mut u64, below: usize) -> usize {
    usize::try_from(photos::next_random(state) % below as u64).unwrap()
}
