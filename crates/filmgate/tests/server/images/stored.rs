//! What is stored: unusual photos, and photos that are something else as well, each served as the type it truly is.

use testkit::{Request, photo};

use super::made::{self, Pixels, Scanned};
use super::{Called, FRAME, upload};
use crate::support::{assert_stored, clear, rows_of_catalog, server, with_comment};

const PAGE: &[u8] = b"<!doctype html><html><script>alert(document.cookie)</script></html>";
const AS_PAGE: Called<'_> = Called { filename: "index.html", content_type: "text/html" };
const AS_PROGRAM: Called<'_> = Called { filename: "frame.php", content_type: "application/x-httpd-php" };
const AS_PNG: Called<'_> = Called { filename: "frame.png", content_type: "image/png" };

/// A photo, what its client calls it, and what it truly is.
type Case<'a> = (&'a str, Called<'a>, Vec<u8>, &'a str);

fn check(cases: &[Case<'_>]) {
    let server = server();
    for (name, called, bytes, true_type) in cases {
        let answer = upload(&server, called, bytes);
        let stored = assert_stored(&server, name, &answer, &[bytes]);
        let filename = &stored[0].filename;
        let extension = true_type.trim_start_matches("image/").replace("jpeg", "jpg");
        assert!(filename.ends_with(&format!(".{extension}")), "{name}: {filename}");
        let file = server.participant().file(filename).unwrap();
        let headers = ["content-type", "x-content-type-options", "content-security-policy", "content-disposition"];
        let disposition = format!("inline; filename=\"{filename}\"");
        let expected = [*true_type, "nosniff", "default-src 'none'; sandbox", &disposition];
        assert_eq!(headers.map(|header| file.header(header).unwrap_or_default()), expected, "{name}");
        assert_eq!(rows_of_catalog(&server)[0]["content_type"], *true_type, "{name}");
        clear(&server);
    }
    println!("images: {} stored and served as what they are", cases.len());
}

#[test]
fn a_photo_keeps_its_true_type() {
    let jpeg = photo::jpeg(40, 30, 1);
    check(&[
        ("a JPEG", FRAME, jpeg.clone(), "image/jpeg"),
        ("a PNG called JPEG", FRAME, photo::png(40, 30, 1), "image/png"),
        ("a JPEG called PNG", AS_PNG, jpeg.clone(), "image/jpeg"),
        ("a WebP called JPEG", FRAME, photo::webp(40, 30, 1), "image/webp"),
        ("a HEIC called PNG", AS_PNG, made::heic(4_032, 3_024, b"data"), "image/heic"),
        ("a JPEG called a program", AS_PROGRAM, jpeg, "image/jpeg"),
    ]);
}

#[test]
fn a_photo_that_is_something_else_as_well_is_served_as_a_photo() {
    let (jpeg, png) = (photo::jpeg(40, 30, 1), photo::png(40, 30, 1));
    let behind = |photo: &[u8], more: &[u8]| [photo, more].concat();
    check(&[
        ("a page in a JPEG's comment", AS_PAGE, with_comment(&jpeg, PAGE), "image/jpeg"),
        ("a page behind a JPEG", AS_PAGE, behind(&jpeg, PAGE), "image/jpeg"),
        ("a page behind a PNG", AS_PAGE, behind(&png, PAGE), "image/png"),
        ("a page behind a WebP", AS_PAGE, behind(&photo::webp(40, 30, 1), PAGE), "image/webp"),
        ("an archive behind a JPEG", FRAME, behind(&jpeg, &made::zip()), "image/jpeg"),
        ("a program in a JPEG's comment", AS_PROGRAM, with_comment(&jpeg, b"<?php system($_GET[0]);"), "image/jpeg"),
        ("another photo behind a photo", FRAME, behind(&jpeg, &png), "image/jpeg"),
    ]);
}

#[test]
fn an_unusual_photo_is_stored_exactly() {
    let jpeg = |change: fn(&mut Scanned)| {
        let mut scanned = Scanned::baseline(40, 30);
        change(&mut scanned);
        made::jpeg(scanned, &[])
    };
    let with_exif = |orientation, next| made::jpeg(Scanned::baseline(40, 30), &[made::exif(orientation, next)]);
    let deep = Pixels { bit_depth: 16, colour_type: 2, ..Pixels::grey(4, 4) };
    let animated = |frames| {
        let control = (0..frames).map(made::png_frame);
        made::png(Pixels::grey(1, 1), &[vec![made::png_animation(frames)], control.collect()].concat(), b"data")
    };
    check(&[
        ("1 x 65535", FRAME, photo::jpeg(1, 65_535, 1), "image/jpeg"),
        ("65535 x 1", FRAME, photo::jpeg(65_535, 1, 1), "image/jpeg"),
        ("1 x 1", FRAME, photo::jpeg(1, 1, 1), "image/jpeg"),
        ("64 megapixels, by its header", FRAME, made::png(Pixels::grey(8_000, 8_000), &[], b"data"), "image/png"),
        ("CMYK", FRAME, jpeg(|scanned| scanned.components = 4), "image/jpeg"),
        ("grey", FRAME, jpeg(|scanned| scanned.components = 1), "image/jpeg"),
        ("100 progressive scans", FRAME, jpeg(|scanned| (scanned.process, scanned.scans) = (0xC2, 100)), "image/jpeg"),
        ("12-bit JPEG", FRAME, jpeg(|scanned| (scanned.process, scanned.precision_bits) = (0xC1, 12)), "image/jpeg"),
        ("16-bit PNG", FRAME, made::png(deep, &[], b"data"), "image/png"),
        ("an animation of 16 frames", FRAME, animated(16), "image/png"),
        ("an animated WebP", FRAME, made::webp_animated(16), "image/webp"),
        ("orientation 0", FRAME, with_exif(0, 0), "image/jpeg"),
        ("orientation 9", FRAME, with_exif(9, 0), "image/jpeg"),
        ("orientation 65535", FRAME, with_exif(65_535, 0), "image/jpeg"),
        ("an EXIF directory that is its own next", FRAME, with_exif(1, 8), "image/jpeg"),
        ("an EXIF directory far outside", FRAME, with_exif(1, u32::MAX), "image/jpeg"),
        ("the least HEIC", FRAME, made::heic(1, 1, b"d"), "image/heic"),
    ]);
}

/// A photo is shown, not sniffed: also where a page asks for something else of it.
#[test]
fn a_photo_is_served_alike_however_it_is_asked_for() {
    let server = server();
    let photo = with_comment(&photo::jpeg(40, 30, 1), PAGE);
    let stored = assert_stored(&server, "a page in a photo", &upload(&server, &AS_PAGE, &photo), &[&photo]);
    let target = format!("/assessment/camera/file/{}", stored[0].filename);
    let asked = [("Accept", "text/html"), ("Range", "lines=0-99"), ("Sec-Fetch-Dest", "document")];
    for (name, value) in asked {
        let request = Request::get(&target).cookie(&server.demo().participant.cookie).header(name, value);
        let answer = request.send(server.address()).unwrap();
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/jpeg")), "{name}: {value}");
        assert!(answer.body == photo, "{name}: {value}: other bytes");
    }
    println!("images: {} ways to ask", asked.len());
}
