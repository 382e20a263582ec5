//! What parent and child say to each other over the child's standard input and output.
//!
//! First each greets: sixteen bytes that no other program sends, then a frame with its version. Then the parent sends a
//! frame for each photo and the child answers with one. A frame is two lengths (32 bits each, little-endian), a header
//! in JSON, and bytes: the photo on the way there, what was made of it on the way back.
//!
//! **Promises** that no length the other side names is believed before it was held to a limit. What an answer may
//! contain is judged in `answer.rs`.

use std::io::{self, Read, Write};

use imaging::{DerivativeSize, ImageType, Limits, Recipe};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Protections;

/// Changes with every release: a program replaced under a running server must not be mistaken for its own.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What a parent says first.
pub(crate) const PARENT_GREETS: [u8; 16] = *b"filmgate-parent\n";
/// What a child says first. Another word than the parent's, so that a program that only echoes is found out.
pub(crate) const CHILD_GREETS: [u8; 16] = *b"filmgate-child:\n";
/// Longest header. A `Developed` with four derivatives takes less than 2 KiB.
pub(crate) const HEADER_BYTES_MAX: u32 = 64 * 1024;
/// The two lengths.
pub(crate) const LENGTHS_BYTES: usize = 8;

/// The parent's greeting.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ParentHello {
    pub(crate) version: String,
    pub(crate) niceness: i32,
    /// The whole budget; no photo is allowed more.
    pub(crate) memory_bytes_max: u64,
}

/// The child's greeting, sent when it is confined.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ChildHello {
    pub(crate) version: String,
    pub(crate) protections: Protections,
}

/// As much of a greeting as every version understands.
#[derive(Debug, Deserialize)]
pub(crate) struct AnyHello {
    pub(crate) version: String,
}

/// What is asked about a photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Operation {
    Develop,
    Verify,
    Strip,
}

/// The header that goes before a photo.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) operation: Operation,
    pub(crate) recipe: WireRecipe,
    /// What decoding it may take beyond what the child has already.
    pub(crate) memory_bytes: u64,
}

/// The header that goes before what was made of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) outcome: Outcome,
    /// The child has grown and wants to be replaced.
    pub(crate) leaving: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Developed(WireDeveloped),
    Verified,
    Stripped,
    Undecodable(String),
    Unsupported(String),
}

/// [`imaging::Developed`] without the pictures. Fractions travel as their bits: JSON knows neither infinity nor, in
/// every reader, the last digit.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WireDeveloped {
    pub(crate) image_type: String,
    pub(crate) width_px: u32,
    pub(crate) height_px: u32,
    pub(crate) orientation: u8,
    pub(crate) taken_at: Option<String>,
    pub(crate) placeholder: Vec<u8>,
    pub(crate) sharpness_bits: u64,
    pub(crate) brightness_bits: u64,
    pub(crate) perceptual_hash: u64,
    pub(crate) derivatives: Vec<WireDerivative>,
}

/// [`imaging::Derivative`]; its picture is the next `bytes` of the frame.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WireDerivative {
    pub(crate) size: String,
    pub(crate) image_type: String,
    pub(crate) width_px: u32,
    pub(crate) height_px: u32,
    pub(crate) bytes: u64,
}

/// [`Recipe`] as it travels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WireRecipe {
    pixels_max: u64,
    scans_max: u32,
    frames_max: u32,
    thumb_px: u32,
    preview_px: u32,
    jpeg_quality: u8,
    webp_quality: u8,
    formats: Vec<String>,
}

impl From<&Recipe> for WireRecipe {
    fn from(recipe: &Recipe) -> Self {
        // Taken apart field by field: a field added to the recipe must not be forgotten here in silence.
        let Recipe { limits, thumb_px, preview_px, jpeg_quality, webp_quality, formats } = recipe;
        let Limits { pixels_max, scans_max, frames_max } = *limits;
        Self {
            pixels_max,
            scans_max,
            frames_max,
            thumb_px: *thumb_px,
            preview_px: *preview_px,
            jpeg_quality: *jpeg_quality,
            webp_quality: *webp_quality,
            formats: formats.iter().map(|format| format.content_type().to_owned()).collect(),
        }
    }
}

impl WireRecipe {
    pub(crate) fn into_recipe(self) -> io::Result<Recipe> {
        let formats = self.formats.iter().map(|format| image_type(format)).collect::<Option<Vec<_>>>();
        Ok(Recipe {
            limits: Limits { pixels_max: self.pixels_max, scans_max: self.scans_max, frames_max: self.frames_max },
            thumb_px: self.thumb_px,
            preview_px: self.preview_px,
            jpeg_quality: self.jpeg_quality,
            webp_quality: self.webp_quality,
            formats: formats.ok_or_else(|| malformed("the recipe names a format that nobody knows"))?,
        })
    }
}

pub(crate) fn image_type(content_type: &str) -> Option<ImageType> {
    ImageType::from_content_type(content_type)
}

pub(crate) fn derivative_size(word: &str) -> Option<DerivativeSize> {
    [DerivativeSize::Thumb, DerivativeSize::Preview].into_iter().find(|size| size.as_str() == word)
}

/// How long the parts of a frame are, within the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lengths {
    pub(crate) header_bytes: u32,
    pub(crate) body_bytes: u32,
}

impl Lengths {
    /// Reads both lengths and holds them to the limits.
    pub(crate) fn parse(bytes: [u8; LENGTHS_BYTES], body_bytes_max: u64) -> io::Result<Self> {
        let [h0, h1, h2, h3, b0, b1, b2, b3] = bytes;
        let lengths = Self {
            header_bytes: u32::from_le_bytes([h0, h1, h2, h3]),
            body_bytes: u32::from_le_bytes([b0, b1, b2, b3]),
        };
        if lengths.header_bytes > HEADER_BYTES_MAX {
            return Err(malformed("a header of more than 64 KiB was announced"));
        }
        if u64::from(lengths.body_bytes) > body_bytes_max {
            return Err(malformed("more bytes were announced than the answer can have"));
        }
        Ok(lengths)
    }
}

/// Lengths and header of a frame; the body goes after it.
pub(crate) fn frame<T: Serialize>(header: &T, body_bytes: usize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(header)?;
    let header_bytes = u32::try_from(json.len()).ok().filter(|bytes| *bytes <= HEADER_BYTES_MAX);
    let header_bytes = header_bytes.ok_or_else(|| malformed("the header is longer than 64 KiB"))?;
    let body_bytes = u32::try_from(body_bytes).map_err(|_| malformed("a body of 4 GiB or more cannot be sent"))?;
    let mut frame = Vec::with_capacity(LENGTHS_BYTES + json.len());
    frame.extend_from_slice(&header_bytes.to_le_bytes());
    frame.extend_from_slice(&body_bytes.to_le_bytes());
    frame.extend_from_slice(&json);
    Ok(frame)
}

/// Parses a header.
pub(crate) fn header<T: DeserializeOwned>(json: &[u8]) -> io::Result<T> {
    serde_json::from_slice(json).map_err(|_| malformed("its header cannot be read"))
}

/// The child's reading: a whole header, and how long the body is that follows. None where the input ends before it.
pub(crate) fn read_header<T: DeserializeOwned>(source: &mut impl Read) -> io::Result<Option<(T, u32)>> {
    let mut bytes = [0; LENGTHS_BYTES];
    match source.read_exact(&mut bytes) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let lengths = Lengths::parse(bytes, u64::from(u32::MAX))?;
    let mut json = vec![0; lengths.header_bytes as usize];
    source.read_exact(&mut json)?;
    Ok(Some((header(&json)?, lengths.body_bytes)))
}

/// The child's writing.
pub(crate) fn write_frame<T: Serialize>(sink: &mut impl Write, header: &T, body: &[&[u8]]) -> io::Result<()> {
    sink.write_all(&frame(header, body.iter().map(|part| part.len()).sum())?)?;
    body.iter().try_for_each(|part| sink.write_all(part))?;
    sink.flush()
}

pub(crate) fn malformed(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
