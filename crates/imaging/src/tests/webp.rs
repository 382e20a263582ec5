//! WebP by hand: chunks in a RIFF file.

use super::{check, check_within};
use crate::Limits;

pub(super) fn chunk(kind: &[u8], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap();
    let padding = vec![0; content.len() % 2];
    [kind, &length.to_le_bytes(), content, &padding].concat()
}

pub(super) fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
    let content = [&b"WEBP"[..], &chunks.concat()].concat();
    [&b"RIFF"[..], &u32::try_from(content.len()).unwrap().to_le_bytes(), &content].concat()
}

fn lossy_of(tag: u32, width: u16, height: u16) -> Vec<u8> {
    let content = [
        &tag.to_le_bytes()[..3],
        &[0x9D, 0x01, 0x2A],
        &width.to_le_bytes(),
        &height.to_le_bytes(),
        b"seventeen of data",
    ];
    chunk(b"VP8 ", &content.concat())
}

pub(super) fn lossy(width: u16, height: u16) -> Vec<u8> {
    lossy_of(0x10 | 17 << 5, width, height)
}

fn lossless_of(bits: u32) -> Vec<u8> {
    chunk(b"VP8L", &[&[0x2F], &bits.to_le_bytes()[..], b"data"].concat())
}

fn lossless(width: u32, height: u32) -> Vec<u8> {
    lossless_of((width - 1) | (height - 1) << 14)
}

fn numbers(stored: &[u32]) -> Vec<u8> {
    stored.iter().flat_map(|number| number.to_le_bytes()[..3].to_vec()).collect()
}

fn extended(flags: u8, width: u32, height: u32) -> Vec<u8> {
    chunk(b"VP8X", &[&[flags, 0, 0, 0], &numbers(&[width - 1, height - 1])[..]].concat())
}

fn frame([left, top, width, height]: [u32; 4], chunks: &[Vec<u8>]) -> Vec<u8> {
    let control = numbers(&[left / 2, top / 2, width - 1, height - 1, 100]);
    chunk(b"ANMF", &[&control, &[0][..], &chunks.concat()].concat())
}

pub(super) fn animation(width: u16, height: u16, frames: usize) -> Vec<u8> {
    let size = [0, 0, width.into(), height.into()];
    let frame = frame(size, &[chunk(b"ALPH", b"alpha"), lossy(width, height)]);
    riff(&[extended(0x12, width.into(), height.into()), chunk(b"ANIM", &[0; 6]), frame.repeat(frames)])
}

#[test]
fn still_pictures_are_measured() {
    let exif = chunk(b"EXIF", b"odd");
    let no_start = chunk(b"VP8 ", &[0x10, 0, 0, 0x9D, 0x01, 0x2B, 1, 0, 1, 0, 9]);
    let no_data = chunk(b"VP8 ", &[0x10, 0, 0, 0x9D, 0x01, 0x2A, 1, 0, 1, 0]);
    let canvas = || extended(0, 5, 4);
    let unlike = "image_malformed: … fill its canvas";
    let table = [
        (vec![lossy(16_383, 1)], "image/webp 16383x1"),
        (vec![lossy(0x8000 | 5, 0x4000 | 4)], "image/webp 5x4"),
        (vec![lossless(16_384, 3_000)], "image/webp 16384x3000"),
        (vec![lossy(5, 4), chunk(b"junk", b"?")], "image/webp 5x4"),
        (vec![canvas(), chunk(b"ICCP", b"x"), chunk(b"ALPH", b"x"), lossy(5, 4), exif.clone()], "image/webp 5x4"),
        (vec![canvas(), lossless(5, 4), chunk(b"what", b"")], "image/webp 5x4"),
        (vec![lossy(0, 4)], "image_malformed: … width or height of 0"),
        (vec![lossy_of(0x11, 5, 4)], "image_malformed: … key frame"),
        (vec![lossy_of(0x00, 5, 4)], "image_malformed: … key frame"),
        (vec![lossy_of(0x18, 5, 4)], "image_malformed: … key frame"),
        (vec![lossy_of(0x10 | 18 << 5, 5, 4)], "image_malformed: … first partition"),
        (vec![no_start], "image_malformed: … start code"),
        (vec![no_data], "image_malformed: … without data"),
        (vec![chunk(b"VP8 ", b"short")], "image_malformed: … lengths around it"),
        (vec![lossless_of(1 << 29)], "image_malformed: … unknown version"),
        (vec![chunk(b"VP8L", b"\x2e\0\0\0\0data")], "image_malformed: … signature"),
        (vec![chunk(b"VP8L", b"\x2f\0\0\0\0")], "image_malformed: … without data"),
        (vec![lossless(16_384, 16_384)], "image_too_many_pixels"),
        (vec![], "image_malformed: … lengths around it"),
        (vec![exif.clone(), lossy(5, 4)], "image_malformed: … begins with neither"),
        (vec![canvas(), exif], "image_malformed: … no image data"),
        (vec![canvas(), lossy(5, 5)], unlike),
        (vec![canvas(), lossy(5, 4), lossless(5, 4)], unlike),
        (vec![chunk(b"VP8X", &[0; 9]), lossy(1, 1)], "image_malformed: … lengths around it"),
        (vec![extended(0, 1 << 24, 1 << 24)], "image_too_many_pixels"),
    ];
    for (chunks, expect) in table {
        check(&riff(&chunks), expect);
    }
}

#[test]
fn lengths_must_fit_into_each_other() {
    let whole = riff(&[lossy(5, 4), chunk(b"EXIF", b"odd")]);
    for (claimed, expect) in [
        (whole.len() - 8, "image/webp 5x4"),
        (whole.len() - 7, "image_truncated"),
        (u32::MAX as usize, "image_truncated"),
        (0, "image_malformed: … lengths around it"),
        (30, "image_malformed: … lengths around it"),
    ] {
        let claimed = u32::try_from(claimed).unwrap().to_le_bytes();
        check(&[&whole[..4], &claimed, &whole[8..]].concat(), expect);
    }
    let too_long = [&b"VP8 "[..], &u32::MAX.to_le_bytes(), b"data"].concat();
    check(&riff(&[too_long]), "image_malformed: … lengths around it");
    let unpadded = [&b"EXIF"[..], &3_u32.to_le_bytes(), b"odd"].concat();
    check(&riff(&[extended(0, 5, 4), lossy(5, 4), unpadded]), "image_malformed: … lengths around it");
}

#[test]
fn animations_are_counted_no_further_than_the_budget() {
    check(&animation(40, 30, 16), "image/webp 40x30");
    check(&animation(40, 30, 17), "image_too_many_frames: … more than the 16");
    check(&animation(40, 30, 100_000), "image_too_many_frames");
    check_within(&animation(4, 3, 2), &Limits { frames_max: 1, ..Limits::default() }, "image_too_many_frames");
    let outside = "image_malformed: … outside its canvas";
    let table = [
        (vec![frame([2, 0, 8, 10], &[lossless(8, 10)])], "image/webp 10x10"),
        (vec![frame([0, 0, 10, 10], &[lossy(10, 10), chunk(b"what", b"")]), lossy(3, 3)], "image/webp 10x10"),
        (vec![], "image_malformed: … no image data"),
        (vec![lossy(10, 10)], "image_malformed: … no image data"),
        (vec![frame([2, 0, 9, 10], &[lossy(9, 10)])], outside),
        (vec![frame([0, 10, 1, 1], &[lossy(1, 1)])], outside),
        (vec![frame([0x01FF_FFFE, 0x01FF_FFFE, 1, 1], &[lossy(1, 1)])], outside),
        (vec![frame([0, 0, 10, 10], &[])], "image_malformed: … frame … holds no image data"),
        (vec![frame([0, 0, 10, 10], &[lossy(9, 10)])], "image_malformed: … fill its frame"),
        (vec![chunk(b"ANMF", &[0; 15])], "image_malformed: … lengths around it"),
        (vec![frame([0, 0, 10, 10], &[b"VP8 \xff\xff\0\0".to_vec()])], "image_malformed: … lengths around it"),
    ];
    for (chunks, expect) in table {
        check(&riff(&[vec![extended(0x02, 10, 10)], chunks].concat()), expect);
    }
}
