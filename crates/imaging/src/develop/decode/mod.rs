//! A photo's compressed data into a picture, by the decoder of its true type.
//!
//! **Promises** that a decoder's panic is the photo's error: hostile bytes are what finds the mistakes of a decoder.

pub(super) mod jpeg;
mod png;
mod webp;

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::DevelopError;
use super::colour::PROFILE_BYTES_MAX;
use super::picture::Picture;
use crate::{ImageType, Limits, Structure};

/// A picture as stored: not upright, in its own colour space.
pub(super) struct Decoded<'a> {
    pub(super) picture: Picture,
    pub(super) colour_profile: Option<Cow<'a, [u8]>>,
}

/// Decodes a photo whose structure has been inspected. The picture may be smaller than the photo where the decoder
/// can do that cheaply, but its longest side is not below `wanted_px` (or the photo's, if that is less).
pub(super) fn decode<'a>(
    photo: &'a [u8],
    structure: &Structure,
    limits: &Limits,
    wanted_px: u32,
) -> Result<Decoded<'a>, DevelopError> {
    let decoded = catch_unwind(AssertUnwindSafe(|| match structure.image_type {
        ImageType::Jpeg => jpeg::decode(photo, limits, wanted_px),
        ImageType::Png => png::decode(photo, structure),
        ImageType::WebP => webp::decode(photo, structure),
        ImageType::Heic => Err(DevelopError::Unsupported(ImageType::Heic)),
    }));
    let mut decoded = decoded.unwrap_or_else(|_| Err(damaged(&"the decoder gave up")))?;
    decoded.colour_profile.take_if(|profile| profile.len() > PROFILE_BYTES_MAX);
    Ok(decoded)
}

/// Bytes that [`decode`] takes at its peak, its picture among them.
pub(super) fn footprint(photo: &[u8], structure: &Structure) -> Result<u64, DevelopError> {
    match structure.image_type {
        ImageType::Jpeg => Ok(jpeg::footprint(photo, structure)),
        ImageType::Png => Ok(png::footprint(photo, structure)),
        ImageType::WebP => Ok(webp::footprint(photo, structure)),
        ImageType::Heic => Err(DevelopError::Unsupported(ImageType::Heic)),
    }
}

fn pixels(structure: &Structure) -> u64 {
    u64::from(structure.width_px) * u64::from(structure.height_px)
}

/// What is wrong, in the decoder's words, cut short: some print what they have read.
fn damaged(reason: &dyn std::fmt::Display) -> DevelopError {
    const REASON_CHARS_MAX: usize = 160;
    let reason: String = reason.to_string().chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect();
    DevelopError::Undecodable(format!("its image data is damaged, take or export it again ({reason})"))
}

/// Packs RGBA into RGB in place, on white as a page would show it.
fn flatten_alpha(buffer: &mut Vec<u8>) {
    let pixels = buffer.len() / 4;
    for pixel in 0..pixels {
        let [red, green, blue, alpha] = [0, 1, 2, 3].map(|channel| buffer[pixel * 4 + channel]);
        buffer[pixel * 3..][..3].copy_from_slice(&[red, green, blue].map(|value| on_white(value, alpha)));
    }
    buffer.truncate(pixels * 3);
}

fn on_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    // A mean of two bytes is one.
    ((value * alpha + 255 * (255 - alpha) + 127) / 255).to_le_bytes()[0]
}
