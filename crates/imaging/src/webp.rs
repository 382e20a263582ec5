//! WebP, RFC 9649: a RIFF file of chunks, each padded to an even length.
//!
//! Three layouts: a lossy (`VP8 `) or lossless (`VP8L`) picture alone, or the extended one (`VP8X`), whose header has a
//! canvas for a still picture or for the frames of an animation. Bytes behind the RIFF chunk are not looked at.

use std::io::{Read, Seek};

use crate::defect::malformed;
use crate::source::Source;
use crate::{Defect, Limits, Size};

const RIFF_HEADER_BYTES: u64 = 8;
const ANIMATION: u8 = 0x02;
const WHAT: &str = "a WebP chunk contradicts the lengths around it";

pub(crate) fn is_signature(head: &[u8]) -> bool {
    head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP")
}

pub(crate) fn inspect<R: Read + Seek>(source: &mut Source<R>, limits: &Limits) -> Result<Size, Defect> {
    let [_, _, _, _, s0, s1, s2, s3, ..] = source.read::<12>()?;
    let end = u64::from(u32::from_le_bytes([s0, s1, s2, s3])) + RIFF_HEADER_BYTES;
    source.require(end.saturating_sub(source.position()))?;
    let first = Chunk::open(source, end)?;
    if let Some(size) = read_picture(source, &first, limits)? {
        return Ok(size);
    }
    if first.kind != *b"VP8X" {
        return malformed("the WebP begins with neither a picture nor the extended header");
    }
    let [flags, _, _, _, w0, w1, w2, h0, h1, h2, ..] = source.read_within::<10>(first.content_end, WHAT)?;
    let canvas = Size::new(one_based([w0, w1, w2]), one_based([h0, h1, h2]), limits)?;
    source.skip_to(first.end)?;
    let has_picture = if flags & ANIMATION == 0 {
        has_still(source, end, canvas, limits)?
    } else {
        has_frames(source, end, canvas, limits)?
    };
    if has_picture { Ok(canvas) } else { malformed("the WebP holds no image data") }
}

/// A chunk whose content is the next to read.
struct Chunk {
    kind: [u8; 4],
    content_end: u64,
    /// With the padding.
    end: u64,
}

impl Chunk {
    /// Reads the header of a chunk that must, padding included, lie before `parent_end`.
    fn open<R: Read + Seek>(source: &mut Source<R>, parent_end: u64) -> Result<Self, Defect> {
        let [k0, k1, k2, k3, s0, s1, s2, s3] = source.read_within(parent_end, WHAT)?;
        let length = u64::from(u32::from_le_bytes([s0, s1, s2, s3]));
        let content_end = source.position() + length;
        let end = content_end + length % 2;
        if end > parent_end {
            return malformed(WHAT);
        }
        Ok(Self { kind: [k0, k1, k2, k3], content_end, end })
    }
}

/// Walks the chunks of an extended still picture (2.7.1.1), whose bitstream fills the canvas exactly.
fn has_still<R: Read + Seek>(source: &mut Source<R>, end: u64, canvas: Size, limits: &Limits) -> Result<bool, Defect> {
    let mut pictures = 0_u32;
    while source.position() < end {
        let chunk = Chunk::open(source, end)?;
        if let Some(size) = read_picture(source, &chunk, limits)? {
            pictures = pictures.saturating_add(1);
            if size != canvas || pictures > 1 {
                return malformed("the WebP's picture does not fill its canvas, or is not the only one");
            }
        }
        source.skip_to(chunk.end)?;
    }
    Ok(pictures == 1)
}

/// Walks the chunks of an animation (2.7.1.1). Pictures outside of its frames do not count.
fn has_frames<R: Read + Seek>(source: &mut Source<R>, end: u64, canvas: Size, limits: &Limits) -> Result<bool, Defect> {
    let mut frames = 0_u32;
    while source.position() < end {
        let chunk = Chunk::open(source, end)?;
        if chunk.kind == *b"ANMF" {
            frames = frames.saturating_add(1);
            limits.hold_frames(frames)?;
            check_frame(source, &chunk, canvas, limits)?;
        }
        source.skip_to(chunk.end)?;
    }
    Ok(frames > 0)
}

/// A frame lies within the canvas, and one picture fills the frame. Any rest of the chunk is passed over.
fn check_frame<R: Read + Seek>(
    source: &mut Source<R>,
    frame: &Chunk,
    canvas: Size,
    limits: &Limits,
) -> Result<(), Defect> {
    let [x0, x1, x2, y0, y1, y2, w0, w1, w2, h0, h1, h2, ..] = source.read_within::<16>(frame.content_end, WHAT)?;
    let size = Size::new(one_based([w0, w1, w2]), one_based([h0, h1, h2]), limits)?;
    // Offsets are stored halved. 24-bit numbers: neither the doubling nor the sums can overflow.
    let (left_px, top_px) = (little_endian([x0, x1, x2]) * 2, little_endian([y0, y1, y2]) * 2);
    if left_px + size.width_px > canvas.width_px || top_px + size.height_px > canvas.height_px {
        return malformed("a frame of the animated WebP lies outside its canvas");
    }
    while source.position() < frame.content_end {
        let chunk = Chunk::open(source, frame.content_end)?;
        match read_picture(source, &chunk, limits)? {
            Some(picture) if picture == size => return Ok(()),
            Some(_) => return malformed("a picture of the animated WebP does not fill its frame"),
            None => source.skip_to(chunk.end)?,
        }
    }
    malformed("a frame of the animated WebP holds no image data")
}

/// The size in the header of a lossy or lossless bitstream; none if the chunk is another.
fn read_picture<R: Read + Seek>(
    source: &mut Source<R>,
    chunk: &Chunk,
    limits: &Limits,
) -> Result<Option<Size>, Defect> {
    let (width_px, height_px) = match &chunk.kind {
        b"VP8 " => read_lossy_header(source, chunk)?,
        b"VP8L" => read_lossless_header(source, chunk)?,
        _ => return Ok(None),
    };
    if source.position() == chunk.content_end {
        return malformed("a WebP picture is a header without data");
    }
    Size::new(width_px, height_px, limits).map(Some)
}

/// RFC 6386, 9.1: a frame tag, a start code, then two 14-bit numbers, each under a two-bit scale.
fn read_lossy_header<R: Read + Seek>(source: &mut Source<R>, chunk: &Chunk) -> Result<(u32, u32), Defect> {
    let [t0, t1, t2, 0x9D, 0x01, 0x2A, w0, w1, h0, h1] = source.read_within(chunk.content_end, WHAT)? else {
        return malformed("a lossy WebP picture does not begin with its start code");
    };
    let tag = little_endian([t0, t1, t2]);
    let (is_inter_frame, version, is_shown) = (tag & 1 == 1, (tag >> 1) & 7, (tag >> 4) & 1 == 1);
    if is_inter_frame || version > 3 || !is_shown {
        return malformed("a lossy WebP picture is no visible key frame");
    }
    let first_partition_bytes = u64::from(tag >> 5);
    if first_partition_bytes > chunk.content_end - source.position() {
        return malformed("a lossy WebP picture is shorter than its first partition");
    }
    let dimension = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3FFF);
    Ok((dimension(w0, w1), dimension(h0, h1)))
}

/// RFC 9649, 3.4: a signature, then width and height less one (14 bits each), a hint, and a version of 0.
fn read_lossless_header<R: Read + Seek>(source: &mut Source<R>, chunk: &Chunk) -> Result<(u32, u32), Defect> {
    let [0x2F, b0, b1, b2, b3] = source.read_within(chunk.content_end, WHAT)? else {
        return malformed("a lossless WebP picture does not begin with its signature");
    };
    let bits = u32::from_le_bytes([b0, b1, b2, b3]);
    if bits >> 29 != 0 {
        return malformed("a lossless WebP picture is of an unknown version");
    }
    Ok(((bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1))
}

fn little_endian([b0, b1, b2]: [u8; 3]) -> u32 {
    u32::from_le_bytes([b0, b1, b2, 0])
}

fn one_based(stored: [u8; 3]) -> u32 {
    little_endian(stored) + 1
}
