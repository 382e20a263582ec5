//! The parts a photo is made of, as slices of it: JPEG segments, PNG and WebP chunks.
//!
//! For photos that [`crate::inspect`] has passed. Where one still contradicts itself the walk ends; nothing panics.

use crate::jpeg::{EOI, RST0, RST7, SOS, TEM};

/// One marker of a JPEG, with its segment and, for a start of scan, the entropy-coded data behind it.
#[derive(Clone, Copy)]
pub(super) struct Segment<'a> {
    pub(super) marker: u8,
    /// Behind the length field.
    pub(super) content: &'a [u8],
    /// Entropy-coded data with its restart markers; empty but behind a start of scan.
    pub(super) data: &'a [u8],
    /// Where in the photo all of it ends.
    pub(super) end: usize,
}

/// The segments between start and end of image. What stands behind the end of image is not the photo's.
pub(super) fn segments(photo: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    let mut rest = photo.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (marker, content, behind) = split_segment(rest)?;
        let (data, behind) = if marker == SOS { behind.split_at(data_length(behind)) } else { behind.split_at(0) };
        rest = behind;
        Some(Segment { marker, content, data, end: photo.len() - rest.len() })
    })
}

/// Those before the first scan: its data, which is most of a photo, is not walked through.
pub(super) fn header_segments(photo: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    let mut rest = photo.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (marker, content, behind) = split_segment(rest).filter(|(marker, ..)| *marker != SOS)?;
        rest = behind;
        Some(Segment { marker, content, data: &[], end: photo.len() - rest.len() })
    })
}

/// The next marker, what its segment holds, and what stands behind; none at the end of image.
fn split_segment(mut rest: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    loop {
        let (&[0xFF, marker], behind) = rest.split_first_chunk()? else { return None };
        match marker {
            0xFF => rest = rest.get(1..)?, // A fill byte.
            TEM => rest = behind,
            EOI => return None,
            _ => {
                let (length, _) = behind.split_first_chunk()?;
                let (segment, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
                return Some((marker, segment.get(2..)?, behind));
            }
        }
    }
}

fn data_length(rest: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = rest.get(at..).and_then(|rest| memchr::memchr(0xFF, rest)) {
        at += found;
        match rest.get(at + 1) {
            Some(0 | RST0..=RST7) => at += 2,
            Some(0xFF) => at += 1,
            _ => return at,
        }
    }
    rest.len()
}

/// A chunk of a PNG or a RIFF file.
#[derive(Clone, Copy)]
pub(super) struct Chunk<'a> {
    pub(super) kind: [u8; 4],
    pub(super) content: &'a [u8],
}

/// The chunks of a PNG up to its end, `IEND` included.
pub(super) fn png_chunks(photo: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut rest = photo.get(crate::png::SIGNATURE.len()..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, behind) = rest.split_first_chunk()?;
        let (kind, behind) = behind.split_first_chunk()?;
        let (content, behind) = behind.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        // Behind the checksum, or nowhere: the last chunk ends the walk.
        rest = if kind == b"IEND" { &[] } else { behind.get(4..)? };
        Some(Chunk { kind: *kind, content })
    })
}

/// The chunks of a WebP. In the simple layouts, where nothing but the picture counts, it is the only one.
pub(super) fn webp_chunks(photo: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let size = photo.get(4..8).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or_default();
    let end = usize::try_from(u32::from_le_bytes(size)).unwrap_or(usize::MAX).saturating_add(8).min(photo.len());
    let is_extended = photo.get(12..16) == Some(b"VP8X");
    riff_chunks(photo.get(12..end).unwrap_or_default()).take(if is_extended { usize::MAX } else { 1 })
}

/// Chunks one behind the other, each padded to an even length.
pub(super) fn riff_chunks(mut rest: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    std::iter::from_fn(move || {
        let (kind, behind) = rest.split_first_chunk()?;
        let (length, behind) = behind.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (content, behind) = behind.split_at_checked(length)?;
        rest = behind.get(length % 2..).unwrap_or_default();
        Some(Chunk { kind: *kind, content })
    })
}
