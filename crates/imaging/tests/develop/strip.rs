//! A stripped photo has the same pixels and tells nothing else.

use imaging::{Structure, inspect, strip};

use super::support::{decoded, developed, exif, png, scene, textured, with_exif, with_segment};

const CANARY: &[u8] = b"CANARY-4711";

fn canaries(bytes: &[u8]) -> usize {
    bytes.windows(CANARY.len()).filter(|window| *window == CANARY).count()
}

fn structure(photo: &[u8]) -> Structure {
    inspect(std::io::Cursor::new(photo), &imaging::Limits::default()).unwrap()
}

/// Strips a photo that carries canaries and holds the result to what was promised.
#[track_caller]
fn check(photo: &[u8]) -> Vec<u8> {
    assert!(canaries(photo) > 0, "the photo carries what must go");
    let stripped = strip(photo).unwrap();
    assert_eq!(canaries(&stripped), 0);
    assert_eq!(structure(&stripped), structure(photo));
    assert_eq!(decoded(&stripped).rgb, decoded(photo).rgb);
    let (before, after) = (developed(photo), developed(&stripped));
    assert_eq!((after.orientation, &after.derivatives), (before.orientation, &before.derivatives));
    assert_eq!(after.taken_at, None);
    assert_eq!(strip(&stripped).unwrap(), stripped, "stripped twice is stripped");
    stripped
}

fn block(orientation: u16) -> Vec<u8> {
    exif(false, orientation, &[(0x9003, "2026:11:23 22:27:59"), (0xA430, "CANARY-4711")])
}

#[test]
fn jpegs() {
    for (orientation, set) in [
        (1, (|_| {}) as fn(&mut jpeg_encoder::Encoder<&mut Vec<u8>>)),
        (6, |encoder| encoder.set_progressive(true)),
        (8, |encoder| encoder.set_restart_interval(2)),
        (3, |encoder| encoder.add_icc_profile(&moxcms::ColorProfile::new_display_p3().encode().unwrap()).unwrap()),
    ] {
        let mut photo = textured(90, 70).jpeg_with(set);
        for (marker, content) in [
            (0xE1, &b"http://ns.adobe.com/xap/1.0/\0CANARY-4711"[..]),
            (0xE1, b"Exif\0\0MM\0*CANARY-4711"),
            (0xE2, b"MPF\0CANARY-4711"),
            (0xE0, b"JFXX\0\x10CANARY-4711"),
            (0xED, b"Photoshop 3.0\0CANARY-4711"),
            (0xEB, b"CANARY-4711"),
            (0xFE, b"CANARY-4711"),
        ] {
            photo = with_segment(&photo, marker, content);
        }
        let photo = [&with_exif(&photo, &block(orientation)), CANARY].concat();
        let stripped = check(&photo);
        assert_eq!(with_exif_blocks(&stripped), usize::from(orientation != 1));
    }
}

fn with_exif_blocks(jpeg: &[u8]) -> usize {
    jpeg.windows(6).filter(|window| window == b"Exif\0\0").count()
}

#[test]
fn what_a_jpegs_colours_need_stays() {
    let mut bytes = Vec::new();
    let pixels = [51, 102, 153, 51].repeat(64);
    jpeg_encoder::Encoder::new(&mut bytes, 95).encode(&pixels, 8, 8, jpeg_encoder::ColorType::CmykAsYcck).unwrap();
    let stripped = check(&with_segment(&bytes, 0xFE, CANARY));
    assert!(stripped.windows(5).any(|window| window == b"Adobe"));
    // Words behind the Adobe segment's own fields go, as does a thumbnail in the JFIF segment.
    let adobe = [b"Adobe\0\x64\0\0\0\0\x01", CANARY].concat();
    check(&with_segment(&scene(16, 16).jpeg(), 0xEE, &adobe));
    let jfif = [b"JFIF\0\x01\x02\0\0\x01\0\x01\x01\x04", CANARY, b"."].concat();
    let stripped = check(&with_segment(&scene(16, 16).jpeg(), 0xE0, &jfif));
    assert_eq!(&stripped[2..20], b"\xFF\xE0\0\x10JFIF\0\x01\x02\0\0\x01\0\x01\0\0");
}

#[test]
fn pngs() {
    for orientation in [1, 6] {
        let photo = scene(60, 40);
        let mut info = png::Info::with_size(60, 40);
        (info.color_type, info.bit_depth) = (png::ColorType::Rgb, png::BitDepth::Eight);
        info.exif_metadata = Some(block(orientation).into());
        info.source_gamma = Some(png::ScaledFloat::new(0.45455));
        let bytes = png(info, &photo.rgb);
        let end = bytes.len() - 12;
        let chunk = |kind: &[u8; 4]| {
            let content = [b"Comment\0", CANARY].concat();
            let checked = [&kind[..], &content].concat();
            let length = u32::try_from(content.len()).unwrap().to_be_bytes();
            [&length[..], &checked, &crc32fast::hash(&checked).to_be_bytes()].concat()
        };
        let (text, own) = (chunk(b"tEXt"), chunk(b"prIv"));
        let stripped = check(&[&bytes[..33], &text, &bytes[33..end], &own, &bytes[end..], CANARY].concat());
        let has = |kind: &[u8]| stripped.windows(4).any(|window| window == kind);
        assert_eq!((has(b"gAMA"), has(b"eXIf"), has(b"tEXt")), (true, orientation != 1, false));
    }
}

#[test]
fn webps() {
    for orientation in [1, 6] {
        let photo = textured(50, 31);
        let mut bytes = Vec::new();
        let mut encoder = image_webp::WebPEncoder::new(&mut bytes);
        encoder.set_exif_metadata(block(orientation));
        encoder.set_xmp_metadata([b"<xmp>", CANARY].concat());
        encoder.set_icc_profile(moxcms::ColorProfile::new_display_p3().encode().unwrap());
        encoder.encode(&photo.rgb, 50, 31, image_webp::ColorType::Rgb8).unwrap();
        bytes.extend([&b"prIv\x0B\0\0\0"[..], CANARY, &[0]].concat());
        let size = u32::try_from(bytes.len() - 8).unwrap().to_le_bytes();
        bytes[4..8].copy_from_slice(&size);
        bytes.extend_from_slice(CANARY);
        let stripped = check(&bytes);
        let has = |kind: &[u8]| stripped.windows(4).any(|window| window == kind);
        assert_eq!((has(b"ICCP"), has(b"EXIF"), has(b"XMP ")), (true, orientation != 1, false));
    }
    check(&[&scene(20, 20).webp(None)[..], CANARY].concat());
}

#[test]
fn what_is_no_photo_is_refused() {
    assert!(strip(b"no photo").is_err());
    let photo = scene(20, 20).jpeg();
    assert!(strip(&photo[..photo.len() - 1]).is_err());
}
