//! How much memory [`super::develop`] takes, told before it takes it.

use super::picture::fitted;
use super::signs::SIGNS_PX;
use super::{DevelopError, Recipe, decode, inspected, side_px};

/// What does not grow with the photo: tables of the decoders, colour transforms, signs.
const FIXED_BYTES: u64 = 6 << 20;

/// Bytes for each pixel of the working picture while derivatives are made of it: itself and its turned copy, preview
/// and thumbnail (9), libwebp's copies as ARGB and as planes with its notes on each block (9), what the encoders write
/// (4).
const DERIVING_BYTES_PER_PIXEL: u64 = 22;

/// An upper estimate, from the photo's headers alone, of the memory that [`super::develop`] takes at its peak, beside
/// the photo itself and the program. Enough to set a limit by, with room for the allocator's own waste.
///
/// A photo made to deceive may take more, by tables in the compressed data of a lossless WebP for one; then the limit
/// is what holds it.
pub fn memory_bytes(photo: &[u8], recipe: &Recipe) -> Result<u64, DevelopError> {
    let structure = inspected(photo, &recipe.limits)?;
    let decoding = decode::footprint(photo, &structure)?;
    let (width_px, height_px) = (structure.width_px, structure.height_px);
    let longest_px = side_px(recipe.preview_px).max(SIGNS_PX);
    let is_shrunk = width_px.max(height_px) > longest_px;
    let (working_width, working_height) =
        if is_shrunk { fitted(width_px, height_px, longest_px) } else { (width_px, height_px) };
    let decoded = pixels(width_px, height_px) * 4;
    let working = pixels(working_width, working_height);
    // Made narrower first, then lower: in between stands a picture as wide as the one and as high as the other.
    let shrinking = if is_shrunk { decoded + pixels(working_width, height_px) * 3 + working * 3 } else { 0 };
    let deriving = working * DERIVING_BYTES_PER_PIXEL + if is_shrunk { 0 } else { decoded };
    Ok(decoding.max(shrinking).max(deriving) + FIXED_BYTES)
}

fn pixels(width_px: u32, height_px: u32) -> u64 {
    u64::from(width_px) * u64::from(height_px)
}
