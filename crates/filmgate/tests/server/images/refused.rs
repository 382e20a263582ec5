//! What is no photo of ours, or too much of one.

use serde_json::json;
use testkit::{Form, Server, photo};

use super::made::{self, Pixels, Scanned};
use super::{Called, FRAME, upload};
use crate::support::{assert_refused, assert_stored, batch, clear, server};

/// A photo and the answer it must get.
type Case = (&'static str, Vec<u8>, u16, &'static str);

fn check(server: &Server, cases: Vec<Case>) {
    let count = cases.len();
    for (name, bytes, status, code) in cases {
        assert_refused(server, name, &upload(server, &FRAME, &bytes), status, code);
    }
    println!("images: {count} refusals");
}

#[test]
fn a_file_of_another_type_is_refused_whatever_it_is_called() {
    let server = server();
    let svg = "<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
    let eps = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n(%pipe%id) (r) file\n";
    let mvg = "push graphic-context\nviewbox 0 0 1 1\nfill 'url(https://a.example/\"|id\")'\npop graphic-context\n";
    let others: [(&str, &[u8]); 22] = [
        ("SVG", svg.as_bytes()),
        ("EPS", eps.as_bytes()),
        ("EPS with a preview", b"\xC5\xD0\xD3\xC6\x1E\0\0\0"),
        ("MVG", mvg.as_bytes()),
        ("MSL", b"<?xml version=\"1.0\"?><image><read filename=\"/etc/passwd\"/></image>"),
        ("HTML", b"<!doctype html><script>alert(1)</script>"),
        ("a script", b"#!/bin/sh\nid\n"),
        ("GIF", b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xFF\xFF\xFF,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;"),
        ("BMP", b"BM\x3A\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"),
        ("TIFF", b"II\x2A\0\x08\0\0\0\0\0\0\0"),
        ("PDF", b"%PDF-1.7\n"),
        ("ZIP", b"PK\x03\x04\x14\0\0\0"),
        ("AVIF", b"\0\0\0\x18ftypavif\0\0\0\0mif1avif"),
        ("a video", b"\0\0\0\x18ftypisom\0\0\0\0isommp42"),
        ("a program", b"\x7FELF\x02\x01\x01\0"),
        ("WAVE, also RIFF", b"RIFF\x24\0\0\0WAVEfmt "),
        ("text", b"hello"),
        ("a space before a JPEG", b" \xFF\xD8\xFF\xE0\0\x10JFIF"),
        ("one byte of a JPEG", b"\xFF"),
        ("two bytes of a JPEG", b"\xFF\xD8"),
        ("NULs", &[0; 5_000]),
        ("0xFF", &[0xFF; 5_000]),
    ];
    let names = [
        FRAME,
        Called { filename: "photo.png", content_type: "image/png" },
        Called { filename: "photo", content_type: "application/octet-stream" },
    ];
    for (name, bytes) in &others {
        for called in &names {
            assert_refused(&server, name, &upload(&server, called, bytes), 415, "image_type_unsupported");
        }
    }
    println!("images: {} refusals of other types", others.len() * names.len());
}

#[test]
fn an_empty_photo_and_one_cut_short_are_refused() {
    let server = server();
    assert_refused(&server, "empty", &upload(&server, &FRAME, b""), 422, "image_empty");
    let photos = [
        ("JPEG", photo::jpeg(40, 30, 1)),
        ("JPEG of 100 KB", photo::jpeg_bytes(100_000, 1)),
        ("PNG", photo::png(40, 30, 1)),
        ("WebP", photo::webp(40, 30, 1)),
        ("animated WebP", made::webp_animated(3)),
        ("HEIC", made::heic(4_032, 3_024, &[7; 400])),
    ];
    let mut count = 1;
    for (name, photo) in &photos {
        // From just behind what tells the type to just before the end.
        let (first, last) = (24, photo.len() - 1);
        for step in 0..=12 {
            let length = first + (last - first) * step / 12;
            let answer = upload(&server, &FRAME, &photo[..length]);
            assert_refused(&server, &format!("{name}, {length} bytes of it"), &answer, 422, "image_truncated");
            count += 1;
        }
    }
    println!("images: {count} refusals of photos cut short");
}

#[test]
fn more_than_anyone_should_decode_is_refused() {
    let server = server();
    let huge = |width, height| Pixels { colour_type: 2, ..Pixels::grey(width, height) };
    let progressive = |scans| Scanned { process: 0xC2, scans, ..Scanned::baseline(640, 480) };
    let (pixels, scans, frames) = ("image_too_many_pixels", "image_too_many_scans", "image_too_many_frames");
    let one = Pixels::grey(1, 1);
    let many_frames: Vec<Vec<u8>> = (0..100_000).map(made::png_frame).collect();
    check(
        &server,
        vec![
            ("a PNG of 160 megapixels in 467 kB", made::png(huge(16_000, 10_000), &[], &[0; 466_943]), 422, pixels),
            ("a PNG of 2^62 pixels", made::png(huge((1 << 31) - 1, (1 << 31) - 1), &[], b"data"), 422, pixels),
            ("a PNG of a pixel too many", made::png(huge(64_000_001, 1), &[], b"data"), 422, pixels),
            ("a JPEG of 65535 x 65535", made::jpeg(Scanned::baseline(65_535, 65_535), &[]), 422, pixels),
            ("a WebP of 16384 x 16384", made::webp_still(16_384, 16_384), 422, pixels),
            ("a HEIC of 2^64 pixels", made::heic(u32::MAX, u32::MAX, b"data"), 422, pixels),
            ("a JPEG of 101 scans", made::jpeg(progressive(101), &[]), 422, scans),
            ("one of 5,000", made::jpeg(progressive(5_000), &[]), 422, scans),
            ("one of 100,000", made::jpeg(progressive(100_000), &[]), 422, scans),
            (
                "a PNG that declares 100,000 frames",
                made::png(one, &[made::png_animation(100_000)], b"data"),
                422,
                frames,
            ),
            ("a PNG that has them and declares none", made::png(one, &many_frames, b"data"), 422, frames),
            ("a WebP of 100,000 frames", made::webp_animated(100_000), 422, frames),
            ("a WebP of 17", made::webp_animated(17), 422, frames),
        ],
    );
}

#[test]
fn a_photo_that_contradicts_itself_is_refused() {
    let server = server();
    let good = photo::png(40, 30, 1);
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    let jpeg = photo::jpeg(40, 30, 1);
    let malformed = "image_malformed";
    let of = |scanned| made::jpeg(scanned, &[]);
    let one = Pixels::grey(1, 1);
    check(
        &server,
        vec![
            ("a flipped bit in a PNG", flipped, 422, malformed),
            ("a PNG of no width", made::png(Pixels::grey(0, 5), &[], b"data"), 422, malformed),
            ("a PNG of negative width", made::png(Pixels::grey(1 << 31, 1), &[], b"data"), 422, malformed),
            ("a PNG without data", made::png(one, &[], b""), 422, malformed),
            ("a PNG of 3 bits", made::png(Pixels { bit_depth: 3, ..one }, &[], b"data"), 422, malformed),
            ("a palette PNG without one", made::png(Pixels { colour_type: 3, ..one }, &[], b"data"), 422, malformed),
            ("a JPEG of no height", of(Scanned::baseline(5, 0)), 422, malformed),
            ("a JPEG without a scan", of(Scanned { scans: 0, ..Scanned::baseline(5, 5) }), 422, malformed),
            ("a JPEG of nine colours", of(Scanned { components: 9, ..Scanned::baseline(5, 5) }), 422, malformed),
            ("a JPEG of no colours", of(Scanned { components: 0, ..Scanned::baseline(5, 5) }), 422, malformed),
            ("a JPEG of 1 bit", of(Scanned { precision_bits: 1, ..Scanned::baseline(5, 5) }), 422, malformed),
            ("a JPEG that ends at once", b"\xFF\xD8\xFF\xD9".to_vec(), 422, malformed),
            ("a JPEG in a JPEG", [&jpeg[..2], &jpeg].concat(), 422, malformed),
            ("bytes between its segments", [&jpeg[..2], b"\xFF\xFE\0\x02hello", &jpeg[2..]].concat(), 422, malformed),
            ("a segment of no length", [&jpeg[..2], b"\xFF\xFE\0\0", &jpeg[2..]].concat(), 422, malformed),
            ("a HEIC of no width", made::heic(0, 5, b"data"), 422, malformed),
        ],
    );
}

/// All captures of one request are stored or none is.
#[test]
fn one_bad_photo_refuses_the_whole_request() {
    let server = server();
    let (good, bad) = (photo::jpeg_bytes(50_000, 1), photo::jpeg_bytes(50_000, 2)[..40_000].to_vec());
    let form = |photos: &[&[u8]], unwanted: Option<usize>| {
        let form = Form::new().text("session_id", &server.demo().participant.session_id);
        photos.iter().enumerate().fold(form, |form, (index, photo)| {
            let trigger = if unwanted == Some(index) { "MANUAL" } else { "INTERVAL" };
            form.file(&format!("capture_{index}"), "frame.jpg", "image/jpeg", photo)
                .json(&format!("metadata_{index}"), &json!({"trigger": trigger}))
        })
    };
    let orders: [&[&[u8]]; 3] = [&[&bad, &good, &good], &[&good, &bad, &good], &[&good, &good, &bad]];
    for (at, photos) in orders.into_iter().enumerate() {
        let answer = batch(&server, &form(photos, None)).send(server.address()).unwrap();
        assert_refused(&server, "one of three is cut short", &answer, 422, "image_truncated");
        assert!(answer.text().contains(&format!("capture_{at}")), "it is not said which: {answer:?}");
        // What the settings do not want is not looked at.
        let answer = batch(&server, &form(photos, Some(at))).send(server.address()).unwrap();
        assert_stored(&server, "the bad one was not wanted", &answer, &[&good, &good]);
        clear(&server);
    }
    println!("images: {} whole requests refused for one photo", orders.len());
}
