//! The photo without what it tells beside the picture: where, when, by what and by whom it was taken.
//!
//! By a list of what stays, not of what goes: what nobody has thought of goes too. Compressed data is copied as it is.

use super::container::{self, Chunk, Segment};
use super::decode::jpeg::PROFILE_PREFIX;
use super::exif::{self, Exif};
use super::{DevelopError, inspected};
use crate::jpeg::{APP0, APP1, APP2, APP14, DAC, DHT, DQT, DRI, EOI, JPG, SOI, SOS};
use crate::{ImageType, Limits, png};

/// The photo with nothing left but what decoding, colour and standing upright need. Its pixels stay the same.
///
/// What a viewer needs may itself carry words: the name of a colour profile stays. Held to the default [`Limits`] but
/// for its pixels, which are not touched.
pub fn strip(photo: &[u8]) -> Result<Vec<u8>, DevelopError> {
    let limits = Limits { pixels_max: u64::MAX, ..Limits::default() };
    let image_type = inspected(photo, &limits)?.image_type;
    let orientation = Exif::of(photo, image_type).orientation;
    let turned = (orientation != 1).then(|| exif::orientation_alone(orientation));
    let turned = turned.as_deref();
    match image_type {
        ImageType::Jpeg => Ok(jpeg(photo, turned)),
        ImageType::Png => Ok(png(photo, turned)),
        ImageType::WebP => webp(photo, turned),
        ImageType::Heic => Err(DevelopError::Unsupported(ImageType::Heic)),
    }
}

fn jpeg(photo: &[u8], turned: Option<&[u8]>) -> Vec<u8> {
    let mut stripped = Vec::with_capacity(photo.len());
    stripped.extend([0xFF, SOI]);
    let mut jfif = None;
    let mut rest = Vec::new();
    for segment in container::segments(photo) {
        match segment.marker {
            APP0 => jfif = jfif.or_else(|| jfif_without_thumbnail(segment.content)),
            APP2 if segment.content.starts_with(PROFILE_PREFIX) => rest.push(segment),
            // Which colours these are; the length too is fixed, so nothing can stand behind.
            APP14 if segment.content.starts_with(b"Adobe") => {
                rest.push(Segment { content: segment.content.get(..12).unwrap_or(segment.content), ..segment });
            }
            DHT | DAC | DQT | DRI | SOS => rest.push(segment),
            0xC0..=0xCF if segment.marker != JPG => rest.push(segment),
            _ => {}
        }
    }
    if let Some(jfif) = jfif {
        push_segment(&mut stripped, APP0, &jfif);
    }
    if let Some(block) = turned {
        push_segment(&mut stripped, APP1, &[exif::JPEG_PREFIX, block].concat());
    }
    for Segment { marker, content, data, .. } in rest {
        push_segment(&mut stripped, marker, content);
        stripped.extend_from_slice(data);
    }
    stripped.extend([0xFF, EOI]);
    stripped
}

/// Version, unit and densities, then a thumbnail of no size.
fn jfif_without_thumbnail(content: &[u8]) -> Option<[u8; 14]> {
    let mut jfif = *content.strip_prefix(b"JFIF\0").and(content.first_chunk::<14>())?;
    jfif[12..].fill(0);
    Some(jfif)
}

fn push_segment(stripped: &mut Vec<u8>, marker: u8, content: &[u8]) {
    // Content comes from a segment, or is shorter than one: the length fits.
    let length = u16::try_from(content.len() + 2).unwrap_or(u16::MAX);
    stripped.extend([0xFF, marker]);
    stripped.extend(length.to_be_bytes());
    stripped.extend_from_slice(content);
}

fn png(photo: &[u8], turned: Option<&[u8]>) -> Vec<u8> {
    let mut stripped = Vec::with_capacity(photo.len());
    stripped.extend(png::SIGNATURE);
    for chunk in container::png_chunks(photo) {
        match &chunk.kind {
            b"IHDR" => {
                push_png_chunk(&mut stripped, chunk);
                if let Some(block) = turned {
                    push_png_chunk(&mut stripped, Chunk { kind: *b"eXIf", content: block });
                }
            }
            b"PLTE" | b"tRNS" | b"IDAT" | b"IEND" | b"acTL" | b"fcTL" | b"fdAT" => push_png_chunk(&mut stripped, chunk),
            // How colours are meant, and how high a pixel is.
            b"gAMA" | b"cHRM" | b"sRGB" | b"iCCP" | b"cICP" | b"mDCV" | b"cLLI" | b"sBIT" | b"bKGD" | b"pHYs" => {
                push_png_chunk(&mut stripped, chunk);
            }
            _ => {}
        }
    }
    stripped
}

fn push_png_chunk(stripped: &mut Vec<u8>, Chunk { kind, content }: Chunk<'_>) {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    stripped.extend(length.to_be_bytes());
    let start = stripped.len();
    stripped.extend(kind);
    stripped.extend_from_slice(content);
    let checksum = crc32fast::hash(&stripped[start..]);
    stripped.extend(checksum.to_be_bytes());
}

fn webp(photo: &[u8], turned: Option<&[u8]>) -> Result<Vec<u8>, DevelopError> {
    const EXIF: u8 = 0x08;
    const XMP: u8 = 0x04;
    const FRAME_HEADER_BYTES: usize = 16;
    let mut stripped = Vec::with_capacity(photo.len());
    stripped.extend(b"RIFF\0\0\0\0WEBP");
    for chunk in container::webp_chunks(photo) {
        match &chunk.kind {
            b"VP8X" => {
                let mut header = chunk.content.to_vec();
                header.truncate(10);
                if let Some(flags) = header.first_mut() {
                    *flags &= !(EXIF | XMP);
                    *flags |= if turned.is_some() { EXIF } else { 0 };
                }
                push_riff_chunk(&mut stripped, Chunk { content: &header, ..chunk });
            }
            b"ANMF" => {
                let (header, parts) = chunk.content.split_at(chunk.content.len().min(FRAME_HEADER_BYTES));
                let mut frame = header.to_vec();
                for part in container::riff_chunks(parts).filter(|part| is_picture(part.kind)) {
                    push_riff_chunk(&mut frame, part);
                }
                push_riff_chunk(&mut stripped, Chunk { content: &frame, ..chunk });
            }
            b"ICCP" | b"ANIM" => push_riff_chunk(&mut stripped, chunk),
            kind if is_picture(*kind) => push_riff_chunk(&mut stripped, chunk),
            _ => {}
        }
    }
    if let Some(block) = turned {
        push_riff_chunk(&mut stripped, Chunk { kind: *b"EXIF", content: block });
    }
    let size = u32::try_from(stripped.len() - 8)
        .map_err(|_| DevelopError::Structure("the WebP is larger than its format allows".to_owned()))?;
    stripped[4..8].copy_from_slice(&size.to_le_bytes());
    Ok(stripped)
}

fn is_picture(kind: [u8; 4]) -> bool {
    matches!(&kind, b"VP8 " | b"VP8L" | b"ALPH")
}

fn push_riff_chunk(stripped: &mut Vec<u8>, Chunk { kind, content }: Chunk<'_>) {
    stripped.extend(kind);
    stripped.extend(u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes());
    stripped.extend_from_slice(content);
    if !content.len().is_multiple_of(2) {
        stripped.push(0);
    }
}
