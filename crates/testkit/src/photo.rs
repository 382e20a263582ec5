//! Photos to upload: whole, valid, each with content of its own.
//!
//! [`jpeg_bytes`] is the cheap one: one small JPEG is encoded once, and every photo is that one with a comment of its
//! own, so ten thousand different photos cost ten thousand copies and no encoding.

use std::sync::OnceLock;

use crate::random::Random;

/// The longest payload of one JPEG segment: its two length bytes count themselves.
const SEGMENT_MAX: usize = 65_535 - 2;
/// Marker and length of a segment.
const SEGMENT_HEAD: usize = 4;

/// A picture as rows of RGB: a gradient, with noise where `seed` says, so that it neither compresses to nothing nor
/// looks like another seed's.
fn pixels(width: u16, height: u16, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let tint = random.next_u64().to_le_bytes();
    let mut out = Vec::with_capacity(usize::from(width) * usize::from(height) * 3);
    for y in 0..u32::from(height) {
        for x in 0..u32::from(width) {
            let noise = if (x / 8 + y / 8) % 5 == 0 { random.next_u64().to_le_bytes()[0] >> 3 } else { 0 };
            let across = (x * 255 / u32::from(width)).to_le_bytes()[0];
            let down = (y * 255 / u32::from(height)).to_le_bytes()[0];
            out.push(across.wrapping_add(tint[0]).saturating_add(noise));
            out.push(down.wrapping_add(tint[1]).saturating_add(noise));
            out.push((across ^ down).wrapping_add(tint[2]));
        }
    }
    out
}

/// A baseline JPEG of quality 80, as a browser's canvas gives it.
pub fn jpeg(width: u16, height: u16, seed: u64) -> Vec<u8> {
    let mut out = Vec::new();
    jpeg_encoder::Encoder::new(&mut out, 80)
        .encode(&pixels(width, height, seed), width, height, jpeg_encoder::ColorType::Rgb)
        .expect("encoding to memory");
    out
}

/// The same picture under other bytes, such as no other seed gives: with a comment before all else.
pub fn commented(jpeg: &[u8], seed: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(jpeg.len() + SEGMENT_HEAD + 8);
    out.extend_from_slice(&jpeg[..2]);
    out.extend_from_slice(&[0xFF, 0xFE, 0, 10]);
    out.extend_from_slice(&seed.to_be_bytes());
    out.extend_from_slice(&jpeg[2..]);
    out
}

/// An 8-bit RGB PNG.
pub fn png(width: u16, height: u16, seed: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, u32::from(width), u32::from(height));
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().expect("writing to memory");
    writer.write_image_data(&pixels(width, height, seed)).expect("writing to memory");
    writer.finish().expect("writing to memory");
    out
}

/// A lossless WebP.
pub fn webp(width: u16, height: u16, seed: u64) -> Vec<u8> {
    let mut out = Vec::new();
    image_webp::WebPEncoder::new(&mut out)
        .encode(&pixels(width, height, seed), u32::from(width), u32::from(height), image_webp::ColorType::Rgb8)
        .expect("encoding to memory");
    out
}

/// The JPEG that every [`jpeg_bytes`] is made of.
fn base() -> &'static [u8] {
    static BASE: OnceLock<Vec<u8>> = OnceLock::new();
    BASE.get_or_init(|| jpeg(64, 48, 1))
}

/// The shortest photo [`jpeg_bytes`] can make: the base, and a comment with the seed in it.
pub fn jpeg_bytes_min() -> usize {
    base().len() + SEGMENT_HEAD + 8
}

/// A valid JPEG of exactly `len` bytes, whose content no other seed shares.
pub fn jpeg_bytes(len: usize, seed: u64) -> Vec<u8> {
    let base = base();
    assert!(len >= jpeg_bytes_min(), "a photo of {len} bytes is asked for; the shortest has {}", jpeg_bytes_min());
    let mut out = Vec::with_capacity(len);
    out.extend_from_slice(&base[..2]);
    let mut left = len - base.len();
    let mut random = Random::new(seed);
    let mut first = true;
    while left > 0 {
        // What follows a full segment must itself have room for a head, and the first one for the seed.
        let mut payload = (left - SEGMENT_HEAD).min(SEGMENT_MAX);
        let rest = left - SEGMENT_HEAD - payload;
        if rest > 0 && rest < SEGMENT_HEAD {
            payload -= SEGMENT_HEAD;
        }
        out.extend_from_slice(&[0xFF, 0xFE]);
        out.extend_from_slice(&u16::try_from(payload + 2).expect("at most a segment").to_be_bytes());
        let end = out.len() + payload;
        if first {
            out.extend_from_slice(&seed.to_be_bytes());
            first = false;
        }
        while out.len() < end {
            let chunk = random.next_u64().to_le_bytes();
            let take = chunk.len().min(end - out.len());
            out.extend_from_slice(&chunk[..take]);
        }
        left -= SEGMENT_HEAD + payload;
    }
    out.extend_from_slice(&base[2..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_padded_jpeg_has_the_length_asked_for_and_segments_that_add_up() {
        for len in [jpeg_bytes_min(), jpeg_bytes_min() + 1, 5_000, 65_535, 66_000, 100_000, 131_100, 1_000_003]
            .into_iter()
            .chain(base().len() + 65_530..base().len() + 65_550)
        {
            let photo = jpeg_bytes(len, 7);
            assert_eq!(photo.len(), len);
            let mut at = 2;
            while photo[at + 1] == 0xFE {
                at += 2 + usize::from(u16::from_be_bytes([photo[at + 2], photo[at + 3]]));
            }
            assert_eq!(&photo[at..], &base()[2..], "after the comments the base goes on, length {len}");
        }
    }

    #[test]
    fn seeds_differ_and_repeat() {
        assert_ne!(jpeg_bytes(2_000, 1), jpeg_bytes(2_000, 2));
        assert_eq!(jpeg_bytes(2_000, 1), jpeg_bytes(2_000, 1));
        assert_ne!(jpeg(32, 32, 1), jpeg(32, 32, 2));
        let base = jpeg(32, 32, 1);
        assert_ne!(commented(&base, 1), commented(&base, 2));
        assert_eq!(commented(&base, 1).len(), base.len() + 12);
    }

    #[test]
    fn every_kind_begins_as_its_format_does() {
        assert!(jpeg(40, 30, 1).starts_with(&[0xFF, 0xD8, 0xFF]));
        assert!(png(40, 30, 1).starts_with(b"\x89PNG\r\n\x1a\n"));
        let webp = webp(40, 30, 1);
        assert!(webp.starts_with(b"RIFF") && &webp[8..12] == b"WEBP");
    }
}
