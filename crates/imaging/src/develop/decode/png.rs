//! PNG of every depth and colour type; of an animation the picture that viewers of still photos show.

use std::borrow::Cow;
use std::io::Cursor;

use ::png::{ColorType, Decoder, Limits, Transformations};

use super::{Decoded, DevelopError, Picture, damaged, flatten_alpha};
use crate::Structure;
use crate::develop::colour::PROFILE_BYTES_MAX;
use crate::develop::container;

/// For what the decoder keeps beside the picture: a few rows, a window of 32 KiB, the palette.
const AT_WORK_BYTES: usize = 1 << 20;

pub(super) fn decode(photo: &[u8], structure: &Structure) -> Result<Decoded<'static>, DevelopError> {
    let row_bytes = structure.width_px as usize * 8;
    let limits = Limits { bytes: PROFILE_BYTES_MAX + AT_WORK_BYTES + 4 * row_bytes };
    let mut decoder = Decoder::new_with_limits(Cursor::new(photo), limits);
    decoder.set_ignore_text_chunk(true);
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(|error| damaged(&error))?;
    let pixels = structure.width_px as usize * structure.height_px as usize;
    let (colour_type, _) = reader.output_color_type();
    // Grey is widened and alpha taken out where it lies, so one buffer serves for both.
    let mut buffer = vec![0; pixels * channels(colour_type).max(3)];
    let frame = reader.next_frame(&mut buffer).map_err(|error| damaged(&error))?;
    if (frame.width, frame.height) != (structure.width_px, structure.height_px) {
        return Err(damaged(&"its first frame does not fill the picture"));
    }
    buffer.truncate(pixels * channels(frame.color_type).max(3));
    match frame.color_type {
        ColorType::Rgb => {}
        ColorType::Rgba => flatten_alpha(&mut buffer),
        ColorType::Grayscale | ColorType::Indexed => widen(&mut buffer, pixels, 1),
        ColorType::GrayscaleAlpha => widen(&mut buffer, pixels, 2),
    }
    let picture = Picture::new(buffer, structure.width_px, structure.height_px)
        .ok_or_else(|| damaged(&"it is not as large as it says"))?;
    let colour_profile = reader.info().icc_profile.as_ref().map(|profile| Cow::Owned(profile.to_vec()));
    Ok(Decoded { picture, colour_profile })
}

fn channels(colour_type: ColorType) -> usize {
    match colour_type {
        ColorType::Grayscale | ColorType::Indexed => 1,
        ColorType::GrayscaleAlpha => 2,
        ColorType::Rgb => 3,
        ColorType::Rgba => 4,
    }
}

/// Grey, with or without alpha, into RGB, from the end so that nothing is overwritten before it is read.
fn widen(buffer: &mut [u8], pixels: usize, channels: usize) {
    for pixel in (0..pixels).rev() {
        let grey = buffer[pixel * channels];
        let alpha = if channels == 2 { buffer[pixel * channels + 1] } else { 255 };
        buffer[pixel * 3..][..3].fill(super::on_white(grey, alpha));
    }
}

pub(super) fn footprint(photo: &[u8], structure: &Structure) -> u64 {
    // A transparent colour or palette makes alpha, so four channels unless the header excludes it.
    let has_transparency = || container::png_chunks(photo).any(|chunk| chunk.kind == *b"tRNS");
    let colour_type = photo.get(25).copied().unwrap_or_default();
    let channels = if matches!(colour_type, 6) || (colour_type != 4 && has_transparency()) { 4 } else { 3 };
    let profile =
        if container::png_chunks(photo).any(|chunk| chunk.kind == *b"iCCP") { 2 * PROFILE_BYTES_MAX } else { 0 };
    let rows = u64::from(structure.width_px) * 8 * 4;
    super::pixels(structure) * channels + rows + (profile + AT_WORK_BYTES) as u64
}
