//! JPEG by hand: the segments as ITU-T T.81 has them.

use super::{check, check_within, photos};
use crate::Limits;

const SOI: &[u8] = &[0xFF, 0xD8];
const EOI: &[u8] = &[0xFF, 0xD9];

fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() + 2).unwrap();
    [&[0xFF, marker], &length.to_be_bytes()[..], content].concat()
}

fn frame_of(marker: u8, precision: u8, width: u16, height: u16, components: u8) -> Vec<u8> {
    let mut content = vec![precision];
    content.extend(height.to_be_bytes());
    content.extend(width.to_be_bytes());
    content.push(components);
    (1..=components).for_each(|id| content.extend([id, 0x11, 0]));
    segment(marker, &content)
}

fn frame(width: u16, height: u16) -> Vec<u8> {
    frame_of(0xC0, 8, width, height, 1)
}

fn scan(data: &[u8]) -> Vec<u8> {
    [&segment(0xDA, &[1, 1, 0, 0, 63, 0]), data].concat()
}

/// The parts between a start and an end of image.
fn jpeg(parts: &[&[u8]]) -> Vec<u8> {
    [SOI, &parts.concat(), EOI].concat()
}

#[test]
fn segments_are_walked() {
    let (frame, scan) = (&frame(16, 9)[..], &scan(b"data")[..]);
    let good = "image/jpeg 16x9";
    let table: [(&[&[u8]], &str); 28] = [
        (&[frame, scan], good),
        (&[&segment(0xE0, b"JFIF\0"), &segment(0xDB, &[0; 65]), frame, &segment(0xC4, &[0; 20]), scan], good),
        (&[frame, scan, &segment(0xFE, b"between"), scan], good),
        (&[&segment(0xFE, b""), &[0xFF, 0x01], frame, scan], good),
        (&[&[0xFF, 0xFF, 0xFF], frame, &[0xFF, 0xFF], scan, &[0xFF]], good),
        (&[&segment(0xFE, b"<html><script>alert(1)</script>"), frame, scan], good),
        (&[&segment(0xCC, &[0, 0]), frame, &segment(0xDD, &[0, 4]), scan], good),
        (&[], "image_malformed: … holds no picture"),
        (&[frame], "image_malformed: … holds no picture"),
        (&[frame, &scan[..10]], "image_malformed: … holds no picture"),
        (&[scan], "image_malformed: … before the frame header"),
        (&[frame, frame, scan], "image_malformed: … second frame header"),
        (&[frame, scan, frame], "image_malformed: … second frame header"),
        (&[&[0xFF, 0xC0, 0, 1], frame, scan], "image_malformed: … shorter than its own length"),
        (&[&[0xFF, 0xE0, 0, 0], frame, scan], "image_malformed: … shorter than its own length"),
        (&[&[0xFF, 0xE0, 0xFF, 0xFF], frame, scan], "image_truncated"),
        (&[&[0xFF, 0x6A], b"junk", frame, scan], "image_malformed: … marker where none"),
        (&[b"junk", frame, scan], "image_type_unsupported"),
        (&[&segment(0xE0, b"JFIF"), b"junk", frame, scan], "image_malformed: … between two JPEG segments"),
        (&[SOI, frame, scan], "image_malformed: … a second JPEG begins"),
        (&[&[0xFF, 0xD0], frame, scan], "image_malformed: … marker where none"),
        (&[&[0xFF, 0x00], frame, scan], "image_malformed: … marker where none"),
        (&[&segment(0xC8, b""), frame, scan], "image_malformed: … marker where none"),
        (&[&segment(0xF7, b"JPEG-LS"), frame, scan], "image_malformed: … marker where none"),
        (&[&segment(0x02, b""), frame, scan], "image_malformed: … marker where none"),
        (&[&segment(0xDE, &[8, 0, 9, 0, 16, 0]), frame, scan], "image_malformed: … hierarchical"),
        (&[frame, &segment(0xDF, &[0x11]), scan], "image_malformed: … hierarchical"),
        (&[frame, scan, &segment(0xDC, &[0, 9])], "image_malformed: … height only behind"),
    ];
    for (parts, expect) in table {
        check(&jpeg(parts), expect);
    }
}

#[test]
fn frame_headers_are_held_to_the_standard() {
    let scan = &scan(b"data")[..];
    for marker in (0xC0..=0xCF).filter(|marker| ![0xC4, 0xC8, 0xCC].contains(marker)) {
        check(&jpeg(&[&frame_of(marker, 8, 3, 2, 3), scan]), "image/jpeg 3x2");
    }
    let short = segment(0xC0, &[8, 0, 1, 0, 1]);
    let missing_component = segment(0xC0, &[8, 0, 1, 0, 1, 2, 1, 0x11, 0]);
    let surplus = segment(0xC0, &[8, 0, 1, 0, 1, 1, 1, 0x11, 0, 0]);
    let table = [
        (frame(1, 65_535), "image/jpeg 1x65535"),
        (frame(65_535, 1), "image/jpeg 65535x1"),
        (frame_of(0xC0, 8, 4, 4, 4), "image/jpeg 4x4"),
        (frame_of(0xC1, 12, 4, 4, 1), "image/jpeg 4x4"),
        (frame_of(0xC3, 16, 4, 4, 1), "image/jpeg 4x4"),
        (frame(0, 5), "image_malformed: … width or height of 0"),
        (frame(5, 0), "image_malformed: … width or height of 0"),
        (frame_of(0xC0, 12, 4, 4, 1), "image_malformed: … precision"),
        (frame_of(0xC2, 16, 4, 4, 1), "image_malformed: … precision"),
        (frame_of(0xC3, 1, 4, 4, 1), "image_malformed: … precision"),
        (frame_of(0xC0, 8, 4, 4, 0), "image_malformed: … colour component"),
        (frame_of(0xC0, 8, 4, 4, 255), "image_malformed: … colour component"),
        (short, "image_malformed: … contradicts its own length"),
        (missing_component, "image_malformed: … contradicts its own length"),
        (surplus, "image_malformed: … contradicts its own length"),
        (segment(0xC0, &[8, 0, 1, 0, 1, 1, 1, 0x01, 0]), "image_malformed: … sampling"),
        (segment(0xC0, &[8, 0, 1, 0, 1, 1, 1, 0x15, 0]), "image_malformed: … sampling"),
    ];
    for (frame, expect) in table {
        check(&jpeg(&[&frame, scan]), expect);
    }
}

#[test]
fn pixels_are_counted_before_anything_behind_the_header() {
    // Nothing stands behind the header, so a walk that went on would call it truncated.
    check(&[SOI, &frame(65_535, 65_535)].concat(), "image_too_many_pixels: … 4294836225");
    check(&[SOI, &frame(8_001, 8_000)].concat(), "image_too_many_pixels");
    check(&[SOI, &frame(8_000, 8_000)].concat(), "image_truncated");
}

#[test]
fn scan_headers_are_held_to_the_standard() {
    let table: [(&[u8], &str); 5] = [
        (&[4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0], "image/jpeg 2x2"),
        (&[0, 0, 63, 0], "image_malformed: … no colour component"),
        (&[5, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 0, 63, 0], "image_malformed: … more than four"),
        (&[2, 1, 0, 0, 63, 0], "image_malformed: … scan header contradicts"),
        (&[], "image_malformed: … scan header contradicts"),
    ];
    for (header, expect) in table {
        check(&jpeg(&[&frame(2, 2), &segment(0xDA, header), b"data"]), expect);
    }
}

#[test]
fn entropy_coded_data_ends_at_the_first_true_marker() {
    let table: [(&[u8], &str); 9] = [
        (b"\xff\x00\xff\x00data\xff\x00", "image/jpeg 2x2"),
        (b"a\xff\xd0b\xff\xd7c\xff\xd0\xff\xd1", "image/jpeg 2x2"),
        (b"a\xff\xff\xff\xd3b\xff\xff", "image/jpeg 2x2"),
        (b"a\xff\xff\x00b", "image/jpeg 2x2"),
        (b"\xff\x00", "image/jpeg 2x2"),
        (b"\xff\xd0data", "image_malformed: … holds no picture"),
        (b"\xff", "image_malformed: … holds no picture"),
        (b"a\xff\x33b", "image_malformed: … marker where none"),
        (b"a\xff\xd8b", "image_malformed: … a second JPEG"),
    ];
    for (data, expect) in table {
        check(&jpeg(&[&frame(2, 2), &scan(data)]), expect);
        // The tail of the data and the marker behind it fall on every side of the edge of the read buffer.
        for padding in 32_700..32_790 {
            let long = [&vec![b'-'; padding][..], data].concat();
            let expect = if expect.contains("no picture") { "image/jpeg 2x2" } else { expect };
            check(&jpeg(&[&frame(2, 2), &scan(&long)]), expect);
        }
    }
    for tail in [&b""[..], b"\xff", b"\xff\x00", b"\xff\xd0", b"\xff\xff"] {
        check(&[SOI, &frame(2, 2), &scan(b"data"), tail].concat(), "image_truncated");
    }
}

#[test]
fn scans_are_counted_no_further_than_the_budget() {
    let scan = scan(b"x");
    let progressive = |scans: usize| jpeg(&[&frame_of(0xC2, 8, 2, 2, 1), &scan.repeat(scans)]);
    check(&progressive(100), "image/jpeg 2x2");
    check(&progressive(101), "image_too_many_scans: … more than the 100");
    check(&progressive(5_000), "image_too_many_scans");
    // The cut shows that it stopped: a walk to the end would have called it truncated.
    check(&progressive(5_000)[..2_000], "image_too_many_scans");
    check_within(&progressive(3), &Limits { scans_max: 2, ..Limits::default() }, "image_too_many_scans");
}

#[test]
fn a_thumbnail_is_neither_the_photo_nor_its_end() {
    let thumbnail = photos::jpeg(16, 12, |_| {});
    let exif = segment(0xE1, &[b"Exif\0\0MM\0*", &thumbnail[..]].concat());
    let whole = jpeg(&[&exif, &frame(16, 9), &scan(b"data")]);
    check(&whole, "image/jpeg 16x9");
    check(&whole[..whole.len() - 2], "image_truncated");
    check(&[SOI, &exif].concat(), "image_truncated");
    check(&jpeg(&[&exif]), "image_malformed: … holds no picture");
    // Multi-picture phones put whole photos behind the first.
    check(&[&whole[..], &thumbnail].concat(), "image/jpeg 16x9");
}
