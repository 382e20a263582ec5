//! Images by hand, of whatever size and shape their headers shall claim.

use std::io::Write;

/// The checksum of a PNG chunk.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

pub(super) fn png_chunk(kind: &[u8], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    let summed = [kind, content].concat();
    [&length[..], &summed, &crc32(&summed).to_be_bytes()].concat()
}

/// What a PNG's header says of its pixels.
#[derive(Clone, Copy)]
pub(super) struct Pixels {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) bit_depth: u8,
    /// 0 grey, 2 colour, 3 palette.
    pub(super) colour_type: u8,
}

impl Pixels {
    pub(super) fn grey(width: u32, height: u32) -> Self {
        Self { width, height, bit_depth: 8, colour_type: 0 }
    }
}

/// Header, these chunks, image data of `data` and the end.
pub(super) fn png(pixels: Pixels, chunks: &[Vec<u8>], data: &[u8]) -> Vec<u8> {
    let Pixels { width, height, bit_depth, colour_type } = pixels;
    let sizes = [width.to_be_bytes(), height.to_be_bytes()].concat();
    let header = [&sizes[..], &[bit_depth, colour_type, 0, 0, 0]].concat();
    let chunks = [png_chunk(b"IHDR", &header), chunks.concat(), png_chunk(b"IDAT", data), png_chunk(b"IEND", b"")];
    [&b"\x89PNG\r\n\x1a\n"[..], &chunks.concat()].concat()
}

/// The animation header of a PNG, of so many frames for ever.
pub(super) fn png_animation(frames: u32) -> Vec<u8> {
    png_chunk(b"acTL", &[frames.to_be_bytes(), [0; 4]].concat())
}

/// A frame of a PNG's animation: one pixel of it.
pub(super) fn png_frame(sequence: u32) -> Vec<u8> {
    let numbers = [sequence, 1, 1, 0, 0].map(u32::to_be_bytes).concat();
    png_chunk(b"fcTL", &[&numbers[..], &[0, 1, 0, 10, 0, 0]].concat())
}

/// What a JPEG's headers say of it.
#[derive(Clone, Copy)]
pub(super) struct Scanned {
    /// The second byte of the frame's marker: 0xC0 baseline, 0xC2 progressive.
    pub(super) process: u8,
    pub(super) precision_bits: u8,
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) components: u8,
    pub(super) scans: usize,
}

impl Scanned {
    pub(super) fn baseline(width: u16, height: u16) -> Self {
        Self { process: 0xC0, precision_bits: 8, width, height, components: 3, scans: 1 }
    }
}

pub(super) fn jpeg_segment(marker: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() + 2).unwrap().to_be_bytes();
    [&[0xFF, marker], &length[..], content].concat()
}

/// These segments, the frame's header, and its scans.
pub(super) fn jpeg(scanned: Scanned, segments: &[Vec<u8>]) -> Vec<u8> {
    let Scanned { process, precision_bits, width, height, components, scans } = scanned;
    let [[h1, h0], [w1, w0]] = [height, width].map(u16::to_be_bytes);
    let mut frame = vec![precision_bits, h1, h0, w1, w0, components];
    (1..=components).for_each(|id| frame.extend([id, 0x11, 0]));
    let mut scan = vec![components];
    (1..=components).for_each(|id| scan.extend([id, 0]));
    scan.extend([0, 63, 0]);
    let scan = [jpeg_segment(0xDA, &scan), b"data".to_vec()].concat();
    [&[0xFF, 0xD8], &segments.concat()[..], &jpeg_segment(process, &frame), &scan.repeat(scans), &[0xFF, 0xD9]].concat()
}

/// An EXIF segment of one directory, with this orientation; the next directory stands at `next`: 0 for none, 8 for this
/// one again.
pub fn exif(orientation: u16, next: u32) -> Vec<u8> {
    let mut content = b"Exif\0\0MM\0\x2A\0\0\0\x08\0\x01".to_vec();
    content.extend([0x01, 0x12, 0, 3, 0, 0, 0, 1]);
    content.extend(orientation.to_be_bytes());
    content.extend([0, 0]);
    content.extend(next.to_be_bytes());
    jpeg_segment(0xE1, &content)
}

fn webp_chunk(kind: &[u8], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_le_bytes();
    [kind, &length, content, &vec![0; content.len() % 2]].concat()
}

fn webp(chunks: &[Vec<u8>]) -> Vec<u8> {
    webp_chunk(b"RIFF", &[&b"WEBP"[..], &chunks.concat()].concat())
}

/// A lossless picture, by its header.
fn webp_picture(width: u32, height: u32) -> Vec<u8> {
    let bits = (width - 1) | (height - 1) << 14;
    webp_chunk(b"VP8L", &[&[0x2F], &bits.to_le_bytes()[..], b"data"].concat())
}

pub(super) fn webp_still(width: u32, height: u32) -> Vec<u8> {
    webp(&[webp_picture(width, height)])
}

pub(super) fn webp_animated(frames: usize) -> Vec<u8> {
    let frame = webp_chunk(b"ANMF", &[&[0; 16][..], &webp_picture(1, 1)].concat());
    let canvas = [0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    webp(&[webp_chunk(b"VP8X", &canvas), webp_chunk(b"ANIM", &[0; 6]), frame.repeat(frames)])
}

fn boxed(kind: &[u8], content: &[u8]) -> Vec<u8> {
    [&u32::try_from(content.len() + 8).unwrap().to_be_bytes()[..], kind, content].concat()
}

/// The least that is a HEIC: a type, a description of size and place, and the place.
pub fn heic(width: u32, height: u32, data: &[u8]) -> Vec<u8> {
    let file_type = boxed(b"ftyp", b"heic\0\0\0\0mif1heic");
    let size = boxed(b"ispe", &[[0; 4], width.to_be_bytes(), height.to_be_bytes()].concat());
    let properties = boxed(b"iprp", &boxed(b"ipco", &size));
    let described = |offset: usize| {
        let numbers = [offset, data.len()].map(|number| u32::try_from(number).unwrap().to_be_bytes()).concat();
        // Version 1, fields of four bytes, one item of one extent in the file.
        let locations = [&[1, 0, 0, 0, 0x44, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1], &numbers[..]].concat();
        boxed(b"meta", &[&[0; 4][..], &boxed(b"iloc", &locations), &properties].concat())
    };
    let offset = file_type.len() + described(0).len() + 8;
    [file_type, described(offset), boxed(b"mdat", data)].concat()
}

/// A ZIP archive of one stored file.
pub(super) fn zip() -> Vec<u8> {
    let (name, content) = (b"evil.html", b"<script>alert(1)</script>");
    let name_length = u16::try_from(name.len()).unwrap().to_le_bytes();
    let length = u32::try_from(content.len()).unwrap().to_le_bytes();
    let common = [&[0; 8][..], &crc32(content).to_le_bytes(), &length, &length, &name_length].concat();
    let mut out = Vec::new();
    // Writing to memory cannot fail.
    out.write_all(&[b"PK\x03\x04\x0A\0", &common[2..], &[0, 0], name, content].concat()).unwrap();
    let directory_at = u32::try_from(out.len()).unwrap().to_le_bytes();
    let entry = [b"PK\x01\x02\x0A\0\x0A\0", &common[2..], &[0; 16], name].concat();
    let entry_length = u32::try_from(entry.len()).unwrap().to_le_bytes();
    let end = [b"PK\x05\x06\0\0\0\0\x01\0\x01\0", &entry_length[..], &directory_at, &[0, 0]].concat();
    [out, entry, end].concat()
}
