//! What a file is, by its bytes alone.

use super::{check, describe, photos};
use crate::{Defect, HEAD_BYTES, ImageType, Limits, inspect, sniff};

#[test]
fn files_that_are_no_photo_are_told_apart_from_bad_photos() {
    let strangers: [&[u8]; 17] = [
        b"<svg xmlns='http://www.w3.org/2000/svg' width='1' height='1'/>",
        b"<?xml version='1.0'?><svg/>",
        b"push graphic-context\nviewbox 0 0 640 480\npop graphic-context",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n",
        b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff;",
        b"%PDF-1.7\n1 0 obj\n",
        b"<!DOCTYPE html><script>alert(1)</script>",
        b"PK\x03\x04\x14\x00\x00\x00\x08\x00",
        b"II*\x00\x08\x00\x00\x00",
        b"BM\x1e\x00\x00\x00\x00\x00\x00\x00",
        b"RIFF\x24\x00\x00\x00WAVEfmt ",
        b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00isommp42",
        b"\xff\xd8",
        b"\x89PNG\n\x1a\n",
        b"\0",
        b"image/jpeg",
        b"\xef\xbb\xbftext",
    ];
    for stranger in strangers {
        check(stranger, "image_type_unsupported");
        assert_eq!(sniff(stranger), None);
    }
    check(b"", "image_empty");
    assert_eq!(sniff(b""), None);
}

#[test]
fn a_picture_behind_a_foreign_beginning_stays_foreign() {
    for photo in photos::all() {
        for beginning in [&b"%PDF-1.7\n"[..], b"PK\x03\x04", b"GIF89a", b"<svg>", b"\0", b"\n"] {
            check(&[beginning, &photo.bytes].concat(), "image_type_unsupported");
        }
    }
}

#[test]
fn every_photo_is_sniffed_and_measured() {
    for photo in photos::all() {
        check(&photo.bytes, &photo.expect);
        let head = &photo.bytes[..photo.bytes.len().min(HEAD_BYTES)];
        let sniffed = sniff(head).map(ImageType::content_type);
        assert_eq!(sniffed, photo.expect.split(' ').next(), "{}", photo.name);
        assert_eq!(sniff(&photo.bytes), sniff(head), "{}", photo.name);
    }
}

#[test]
fn content_types_and_extensions_go_both_ways() {
    let table = [
        (ImageType::Jpeg, "image/jpeg", "jpg"),
        (ImageType::Png, "image/png", "png"),
        (ImageType::WebP, "image/webp", "webp"),
        (ImageType::Heic, "image/heic", "heic"),
    ];
    for (image_type, content_type, extension) in table {
        assert_eq!(image_type.content_type(), content_type);
        assert_eq!(image_type.extension(), extension);
        assert_eq!(ImageType::from_content_type(content_type), Some(image_type));
        let loose = format!(" {}; q=1", content_type.to_uppercase());
        assert_eq!(ImageType::from_content_type(&loose), Some(image_type));
    }
    for foreign in ["", ";", "image/", "image/svg+xml", "image/avif", "image/jpeg2", "text/html"] {
        assert_eq!(ImageType::from_content_type(foreign), None);
    }
}

#[test]
fn every_defect_has_a_code_of_its_own_and_words_to_act_on() {
    let defects = [
        Defect::Empty,
        Defect::NotAnImage,
        Defect::Truncated { length_bytes: 7 },
        Defect::Malformed { what: "it is broken" },
        Defect::TooManyPixels { pixels: 9, pixels_max: 8 },
        Defect::TooManyScans { scans_max: 3 },
        Defect::TooManyFrames { frames_max: 2 },
        Defect::Io(std::io::Error::other("disk")),
    ];
    let codes: std::collections::BTreeSet<_> = defects.iter().map(Defect::code).collect();
    assert_eq!(codes.len(), defects.len());
    for defect in &defects {
        assert_eq!(defect.is_unsupported_type(), matches!(defect, Defect::NotAnImage));
        assert!(defect.to_string().contains("; "), "what is wrong; what to do: {defect}");
        assert!(defect.code().starts_with("image_"));
    }
}

#[test]
fn the_budget_is_inclusive() {
    for photo in photos::all() {
        let size = inspect(std::io::Cursor::new(&photo.bytes), &Limits::default()).unwrap();
        let pixels = u64::from(size.width_px) * u64::from(size.height_px);
        for (pixels_max, expect) in [(pixels, photo.expect.as_str()), (pixels - 1, "image_too_many_pixels")] {
            let limits = Limits { pixels_max, ..Limits::default() };
            let outcome = describe(inspect(std::io::Cursor::new(&photo.bytes), &limits));
            assert!(outcome.starts_with(expect), "{}: {outcome}", photo.name);
        }
    }
}
