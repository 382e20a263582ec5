//! What is shown of a photo: as large as asked for, never larger than it was, and silent about it.

use imaging::{DerivativeSize, DevelopError, ImageType, Recipe, develop, thumbnail};

use super::support::{decoded, derivative, developed, exif, scene, textured, with_exif, with_segment};

#[test]
fn sizes_are_the_recipes_and_never_larger_than_the_photo() {
    for ((width, height), thumb, preview) in [
        ((2000, 1000), (320, 160), (1280, 640)),
        ((1000, 2000), (160, 320), (640, 1280)),
        ((800, 600), (320, 240), (800, 600)),
        ((200, 100), (200, 100), (200, 100)),
        ((1, 1), (1, 1), (1, 1)),
        ((3000, 2), (320, 1), (1280, 1)),
    ] {
        let developed = developed(&scene(width, height).jpeg());
        assert_eq!((developed.width_px, developed.height_px), (width, height));
        for (size, expect) in [(DerivativeSize::Thumb, thumb), (DerivativeSize::Preview, preview)] {
            for image_type in [ImageType::Jpeg, ImageType::WebP] {
                let found = derivative(&developed, size, image_type);
                let picture = decoded(&found.bytes);
                assert_eq!((found.width_px, found.height_px), expect, "{width}x{height} {size:?} {image_type:?}");
                assert_eq!((picture.width, picture.height), expect, "{width}x{height} {size:?} {image_type:?}");
            }
        }
        assert_eq!(developed.derivatives.len(), 4);
    }
}

#[test]
fn pictures_look_like_the_photo() {
    let developed = developed(&scene(1600, 900).jpeg());
    for (size, expect) in [(DerivativeSize::Thumb, scene(320, 180)), (DerivativeSize::Preview, scene(1280, 720))] {
        for image_type in [ImageType::Jpeg, ImageType::WebP] {
            let mean = decoded(&derivative(&developed, size, image_type).bytes).distance(&expect);
            assert!(mean < 3.0, "{size:?} {image_type:?}: {mean} off");
        }
    }
}

#[test]
fn a_recipe_is_followed() {
    let photo = textured(900, 600).jpeg();
    let recipe = Recipe { thumb_px: 50, preview_px: 90, formats: vec![ImageType::WebP], ..Recipe::default() };
    let sizes: Vec<_> = develop(&photo, &recipe)
        .unwrap()
        .derivatives
        .into_iter()
        .map(|found| (found.size, found.image_type, found.width_px, found.height_px))
        .collect();
    let webp = ImageType::WebP;
    assert_eq!(sizes, [(DerivativeSize::Thumb, webp, 50, 33), (DerivativeSize::Preview, webp, 90, 60)]);
    // Nonsense is brought to the nearest sense.
    let recipe = Recipe { thumb_px: 0, preview_px: u32::MAX, jpeg_quality: 0, webp_quality: 255, ..Recipe::default() };
    assert_eq!(develop(&photo, &recipe).unwrap().derivatives.len(), 4);
    let length = |jpeg_quality, webp_quality, image_type| {
        let recipe = Recipe { jpeg_quality, webp_quality, ..Recipe::default() };
        derivative(&develop(&photo, &recipe).unwrap(), DerivativeSize::Preview, image_type).bytes.len()
    };
    assert!(length(40, 40, ImageType::Jpeg) * 3 < length(95, 95, ImageType::Jpeg) * 2);
    assert!(length(40, 40, ImageType::WebP) * 3 < length(95, 95, ImageType::WebP) * 2);
    // A derivative in a format that is none is an error, not silently missing.
    let recipe = Recipe { formats: vec![ImageType::Png], ..Recipe::default() };
    assert!(matches!(develop(&photo, &recipe), Err(DevelopError::Undecodable(_))));
}

#[test]
fn the_same_photo_gives_the_same_bytes() {
    let photo = textured(700, 500).jpeg();
    assert_eq!(developed(&photo), developed(&photo));
}

#[test]
fn a_thumbnail_alone_is_upright_and_small() {
    let photo = with_exif(&textured(900, 600).jpeg(), &exif(true, 6, &[]));
    let bytes = thumbnail(&photo, 320, 80, &Recipe::default().limits).unwrap();
    let picture = decoded(&bytes);
    assert_eq!((picture.width, picture.height), (213, 320));
    check_silent(&bytes);
}

#[test]
fn derivatives_carry_no_metadata() {
    let block = exif(true, 6, &[(0x9003, "2026:11:23 22:27:59"), (0x010E, "CANARY")]);
    let scene = textured(400, 300);
    let jpeg = with_segment(&with_exif(&scene.jpeg(), &block), 0xFE, b"CANARY");
    let jpeg = [with_segment(&jpeg, 0xE1, b"http://ns.adobe.com/xap/1.0/\0CANARY"), b"CANARY".to_vec()].concat();
    for photo in [jpeg, scene.png(Some(&block)), scene.webp(Some(&block))] {
        assert!(contains(&photo, b"CANARY"));
        for found in developed(&photo).derivatives {
            check_silent(&found.bytes);
        }
    }
}

/// Nothing but structure: a walk of its own, for the room's could overlook the same thing twice.
#[track_caller]
fn check_silent(bytes: &[u8]) {
    assert!(!contains(bytes, b"CANARY"));
    if bytes.starts_with(b"RIFF") {
        assert_eq!(&bytes[8..16], b"WEBPVP8 ", "no extended header, so no room for metadata");
        let chunk = u32::from_le_bytes(*bytes[16..].first_chunk().unwrap()) as usize;
        assert_eq!(20 + chunk.next_multiple_of(2), bytes.len(), "nothing behind the picture");
        return;
    }
    let mut at = 2;
    loop {
        assert_eq!(bytes[at], 0xFF);
        let length = usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
        match bytes[at + 1] {
            // JFIF without a thumbnail.
            0xE0 => assert_eq!(
                (&bytes[at + 4..at + 9], length, &bytes[at + 16..at + 18]),
                (&b"JFIF\0"[..], 16, &[0, 0][..])
            ),
            0xC0 | 0xC2 | 0xC4 | 0xDB | 0xDD => {}
            0xDA => break,
            marker => panic!("a segment {marker:#x}"),
        }
        at += length + 2;
    }
    assert!(bytes.ends_with(&[0xFF, 0xD9]));
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
