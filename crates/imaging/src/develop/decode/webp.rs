//! WebP, lossy and lossless; of an animation the first frame.

use std::borrow::Cow;
use std::io::Cursor;

use image_webp::WebPDecoder;

use super::{Decoded, DevelopError, Picture, damaged, flatten_alpha};
use crate::Structure;
use crate::develop::container;

pub(super) fn decode<'a>(photo: &'a [u8], structure: &Structure) -> Result<Decoded<'a>, DevelopError> {
    let mut decoder = WebPDecoder::new(Cursor::new(photo)).map_err(|error| damaged(&error))?;
    if decoder.dimensions() != (structure.width_px, structure.height_px) {
        return Err(damaged(&"it is not as large as it says"));
    }
    let mut buffer = vec![0; decoder.output_buffer_size().unwrap_or_default()];
    decoder.read_image(&mut buffer).map_err(|error| damaged(&error))?;
    if decoder.has_alpha() {
        flatten_alpha(&mut buffer);
    }
    let picture = Picture::new(buffer, structure.width_px, structure.height_px)
        .ok_or_else(|| damaged(&"it is not as large as it says"))?;
    let profile = container::webp_chunks(photo).find(|chunk| chunk.kind == *b"ICCP");
    Ok(Decoded { picture, colour_profile: profile.map(|chunk| Cow::Borrowed(chunk.content)) })
}

pub(super) fn footprint(photo: &[u8], structure: &Structure) -> u64 {
    // Bytes a pixel: RGB and planes of 4:2:0; RGBA and RGB; with alpha or an animation, a canvas, a frame with its
    // planes, and the answer.
    let pixel = match photo.get(12..16) {
        Some(b"VP8 ") => 5,
        Some(b"VP8L") => 9,
        _ => 15,
    };
    // Both bitstreams are read in whole, and the planes are padded to blocks of 16.
    let padded =
        u64::from(structure.width_px.next_multiple_of(16)) * u64::from(structure.height_px.next_multiple_of(16));
    padded * pixel + 2 * photo.len() as u64
}
