//! PNG by hand: chunks with true checksums, so that what is wrong is what the case says.

use super::{check, check_within};
use crate::{Limits, png::SIGNATURE};

fn chunk(kind: &[u8], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap();
    let body = [kind, content].concat();
    [&length.to_be_bytes()[..], &body, &crc32fast::hash(&body).to_be_bytes()].concat()
}

/// Depth, colour type, compression, filter, interlace.
fn header_of(width: u32, height: u32, rest: [u8; 5]) -> Vec<u8> {
    chunk(b"IHDR", &[&width.to_be_bytes()[..], &height.to_be_bytes(), &rest].concat())
}

fn header(width: u32, height: u32) -> Vec<u8> {
    header_of(width, height, [8, 2, 0, 0, 0])
}

fn png(chunks: &[&[u8]]) -> Vec<u8> {
    [&SIGNATURE, &chunks.concat()[..]].concat()
}

fn frame([width, height, left, top]: [u32; 4]) -> Vec<u8> {
    let mut content = vec![0; 4];
    content.extend([width, height, left, top].iter().flat_map(|number| number.to_be_bytes()));
    content.extend([0; 6]);
    chunk(b"fcTL", &content)
}

fn animation(frames: u32) -> Vec<u8> {
    chunk(b"acTL", &[frames.to_be_bytes(), [0; 4]].concat())
}

#[test]
fn chunks_are_walked() {
    let (header, data, end) = (&header(4, 3)[..], &chunk(b"IDAT", b"data")[..], &chunk(b"IEND", b"")[..]);
    let (palette, text) = (&chunk(b"PLTE", &[0; 6])[..], &chunk(b"tEXt", b"Comment\0hello")[..]);
    let paletted = &header_of(4, 3, [8, 3, 0, 0, 0])[..];
    let good = "image/png 4x3";
    let table: [(&[&[u8]], &str); 26] = [
        (&[header, data, end], good),
        (&[header, text, data, data, &chunk(b"IDAT", b""), text, end], good),
        (&[header, data, end, b"PK\x03\x04"], good),
        (&[header, palette, data, end], good),
        (&[paletted, palette, data, end], good),
        (&[header, data, &chunk(b"IDAT", &vec![1; 100_000]), end], good),
        (&[header, data], "image_truncated"),
        (&[], "image_truncated"),
        (&[data, end], "image_malformed: … not begin with its header"),
        (&[&chunk(b"CgBI", &[0; 4]), header, data, end], "image_malformed: … not begin with its header"),
        (&[&chunk(b"IHDR", &[1; 12]), data, end], "image_malformed: … not of the size"),
        (&[&chunk(b"IHDR", &[1; 14]), data, end], "image_malformed: … not of the size"),
        (&[header, header, data, end], "image_malformed: … must be understood"),
        (&[header, end], "image_malformed: … no image data"),
        (&[header, &chunk(b"IDAT", b""), end], "image_malformed: … no image data"),
        (&[header, data, text, data, end], "image_malformed: … interrupted"),
        (&[header, data, &chunk(b"IEND", b"x")], "image_malformed: … last chunk is not empty"),
        (&[paletted, data, end], "image_malformed: … needs a palette"),
        (&[paletted, palette, palette, data, end], "image_malformed: … palette is"),
        (&[header, data, palette, end], "image_malformed: … palette is"),
        (&[paletted, &chunk(b"PLTE", &[0; 5]), data, end], "image_malformed: … palette is"),
        (&[paletted, &chunk(b"PLTE", b""), data, end], "image_malformed: … palette is"),
        (&[paletted, &chunk(b"PLTE", &[0; 771]), data, end], "image_malformed: … palette is"),
        (&[header, &chunk(b"JDAT", b""), data, end], "image_malformed: … must be understood"),
        (&[header, &chunk(b"a\0b?", b""), data, end], "image_malformed: … four letters"),
        (&[header, &[0x80, 0, 0, 0], b"tEXt", data, end], "image_malformed: … more than 2 GiB"),
    ];
    for (chunks, expect) in table {
        check(&png(chunks), expect);
    }
    check(&png(&[header, &[0x7F, 0xFF, 0xFF, 0xFF], b"tEXt", data, end]), "image_truncated");
    let mut unlike = text.to_vec();
    unlike[10] ^= 1;
    check(&png(&[header, &unlike, data, end]), "image_malformed: … checksum");
}

#[test]
fn header_values_must_go_together() {
    let rest = &[chunk(b"PLTE", &[0; 6]), chunk(b"IDAT", b"data"), chunk(b"IEND", b"")].concat()[..];
    for colour_type in 0..=7_u8 {
        let depths: &[u8] = match colour_type {
            0 => &[1, 2, 4, 8, 16],
            3 => &[1, 2, 4, 8],
            2 | 4 | 6 => &[8, 16],
            _ => &[],
        };
        for depth in 0..=17 {
            let expect = if depths.contains(&depth) { "image/png 2x2" } else { "image_malformed: … go together" };
            check(&png(&[&header_of(2, 2, [depth, colour_type, 0, 0, 0]), rest]), expect);
        }
    }
    let table = [
        ([8, 2, 0, 0, 1], "image/png 2x2"),
        ([8, 2, 0, 0, 2], "image_malformed: … go together"),
        ([8, 2, 1, 0, 0], "image_malformed: … go together"),
        ([8, 2, 0, 1, 0], "image_malformed: … go together"),
    ];
    for (values, expect) in table {
        check(&png(&[&header_of(2, 2, values), rest]), expect);
    }
}

#[test]
fn pixels_are_counted_before_anything_behind_the_header() {
    let table = [
        ((16_000, 10_000), "image_too_many_pixels: … 160000000"),
        (((1 << 31) - 1, (1 << 31) - 1), "image_too_many_pixels"),
        ((64_000_001, 1), "image_too_many_pixels"),
        ((8_000, 8_000), "image_truncated"),
        ((1 << 31, 1), "image_malformed: … impossible width"),
        ((1, u32::MAX), "image_malformed: … impossible width"),
        ((0, 1), "image_malformed: … width or height of 0"),
        ((1, 0), "image_malformed: … width or height of 0"),
    ];
    for ((width, height), expect) in table {
        check(&png(&[&header(width, height)]), expect);
    }
}

#[test]
fn animations_are_counted_no_further_than_the_budget() {
    let (header, data, end) = (&header(4, 3)[..], &chunk(b"IDAT", b"data")[..], &chunk(b"IEND", b"")[..]);
    let whole = &frame([4, 3, 0, 0])[..];
    let frame_data = &chunk(b"fdAT", b"\0\0\0\x01data")[..];
    let outside = "image_malformed: … outside its picture";
    let table: [(&[&[u8]], &str); 15] = [
        (&[header, &animation(1), whole, data, end], "image/png 4x3"),
        (&[header, &animation(2), whole, data, whole, frame_data, end], "image/png 4x3"),
        (&[header, &animation(1), data, &frame([1, 1, 3, 2]), frame_data, end], "image/png 4x3"),
        (&[header, &animation(100_000)], "image_too_many_frames: … more than the 16"),
        (&[header, &animation(17)], "image_too_many_frames"),
        (&[header, data, &whole.repeat(100_000)], "image_too_many_frames"),
        (&[header, &animation(2), whole, data, end], "image_malformed: … number of frames"),
        (&[header, &animation(1), whole, data, whole, frame_data, end], "image_malformed: … number of frames"),
        (&[header, &animation(0), data, end], "image_malformed: … animation header"),
        (&[header, &animation(1), &animation(1), data, end], "image_malformed: … animation header"),
        (&[header, data, &animation(1), end], "image_malformed: … animation header"),
        (&[header, &animation(1), &frame([5, 3, 0, 0]), data, end], outside),
        (&[header, &animation(1), &frame([4, 3, 0, 1]), data, end], outside),
        (&[header, &animation(1), &frame([4, 0, 0, 0]), data, end], outside),
        (&[header, &animation(1), &frame([2, 2, u32::MAX, u32::MAX]), data, end], outside),
    ];
    for (chunks, expect) in table {
        check(&png(chunks), expect);
    }
    let two = png(&[header, &animation(2), whole, data, whole, frame_data, end]);
    check_within(&two, &Limits { frames_max: 1, ..Limits::default() }, "image_too_many_frames");
}
