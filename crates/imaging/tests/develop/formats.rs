//! Every kind of photo: served, or refused in words, never a panic.

use imaging::{DevelopError, ImageType, Recipe, develop, memory_bytes, strip, verify};
use jpeg_encoder::ColorType as JpegColour;
use png::{BitDepth, ColorType};

use super::support::{Raster, check_refused, decoded, developed, png, preview, scene, textured, with_segment};

fn info(width: u32, height: u32, color_type: ColorType, bit_depth: BitDepth) -> png::Info<'static> {
    let mut info = png::Info::with_size(width, height);
    (info.color_type, info.bit_depth) = (color_type, bit_depth);
    info
}

/// The colour in the middle of the preview of a photo that has one colour.
#[track_caller]
fn check_colour(photo: &[u8], expect: [u8; 3]) {
    let preview = preview(&developed(photo), ImageType::Jpeg);
    let found = preview.at(preview.width / 2, preview.height / 2);
    let is_near = found.iter().zip(expect).all(|(found, expect)| found.abs_diff(expect) <= 3);
    assert!(is_near, "expected {expect:?}, got {found:?}");
}

fn jpeg_of(colour: JpegColour, pixel: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    jpeg_encoder::Encoder::new(&mut bytes, 95).encode(&pixel.repeat(24 * 16), 24, 16, colour).unwrap();
    bytes
}

#[test]
fn jpegs_of_every_colour_and_process() {
    check_colour(&jpeg_of(JpegColour::Luma, &[77]), [77; 3]);
    check_colour(&jpeg_of(JpegColour::Rgb, &[200, 30, 60]), [200, 30, 60]);
    // 20 % cyan, 40 % magenta, 60 % yellow, 20 % black.
    for colour in [JpegColour::Cmyk, JpegColour::CmykAsYcck] {
        check_colour(&jpeg_of(colour, &[51, 102, 153, 51]), [163, 122, 82]);
    }
    let scene = scene(150, 90);
    let plain = preview(&developed(&scene.jpeg()), ImageType::Jpeg);
    for photo in [
        scene.jpeg_with(|encoder| encoder.set_progressive(true)),
        scene.jpeg_with(|encoder| encoder.set_restart_interval(3)),
        scene.jpeg_with(|encoder| encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::F_2_1)),
        scene.jpeg_with(|encoder| encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::F_4_1)),
    ] {
        let mean = preview(&developed(&photo), ImageType::Jpeg).distance(&plain);
        assert!(mean < 3.0, "{mean} off");
    }
}

#[test]
fn pngs_of_every_colour_and_depth() {
    use BitDepth::{Eight, One, Sixteen};
    let check = |color_type, depth, pixel: &[u8], expect| {
        check_colour(&png(info(8, 8, color_type, depth), &pixel.repeat(64)), expect);
    };
    check(ColorType::Grayscale, Eight, &[90], [90; 3]);
    check(ColorType::Grayscale, Sixteen, &[90, 255], [90; 3]);
    check(ColorType::Rgb, Eight, &[10, 20, 200], [10, 20, 200]);
    check(ColorType::Rgb, Sixteen, &[10, 0, 20, 0, 200, 0], [10, 20, 200]);
    // Half transparent, on white.
    check(ColorType::GrayscaleAlpha, Eight, &[0, 127], [128; 3]);
    check(ColorType::Rgba, Eight, &[255, 0, 0, 127], [255, 128, 128]);
    check(ColorType::Rgba, Sixteen, &[255, 0, 0, 0, 0, 0, 0, 0], [255; 3]);
    check_colour(&png(info(8, 8, ColorType::Grayscale, One), &[0xFF; 8]), [255; 3]);
    let mut palette = info(8, 8, ColorType::Indexed, Eight);
    palette.palette = Some(vec![0, 0, 0, 30, 140, 70].into());
    check_colour(&png(palette.clone(), &[1; 64]), [30, 140, 70]);
    palette.trns = Some(vec![255, 0].into());
    check_colour(&png(palette, &[1; 64]), [255; 3]);
}

#[test]
fn of_animations_the_first_frame() {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 8, 8);
    encoder.set_color(ColorType::Rgb);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[200, 10, 20].repeat(64)).unwrap();
    writer.write_image_data(&[0; 192]).unwrap();
    writer.finish().unwrap();
    check_colour(&bytes, [200, 10, 20]);

    let frame = |colour: [u8; 3]| Raster::of(16, 16, |_, _| colour).webp(None).split_off(12);
    let chunk = |kind: &[u8; 4], content: &[u8]| {
        [&kind[..], &u32::try_from(content.len()).unwrap().to_le_bytes(), content].concat()
    };
    let header = [2, 0, 0, 0, 15, 0, 0, 15, 0, 0];
    let frame_header = [0, 0, 0, 0, 0, 0, 15, 0, 0, 15, 0, 0, 40, 0, 0, 0];
    let chunks = [
        chunk(b"VP8X", &header),
        chunk(b"ANIM", &[0; 6]),
        chunk(b"ANMF", &[&frame_header[..], &frame([20, 180, 90])].concat()),
        chunk(b"ANMF", &[&frame_header[..], &frame([0, 0, 0])].concat()),
    ]
    .concat();
    let animation = chunk(b"RIFF", &[b"WEBP", &chunks[..]].concat());
    check_colour(&animation, [20, 180, 90]);
    check_colour(&strip(&animation).unwrap(), [20, 180, 90]);
}

#[test]
fn a_photo_in_display_p3_is_brought_to_srgb() {
    let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let scene = Raster::of(32, 32, |_, _| [180, 120, 90]);
    let jpeg = scene.jpeg_with(|encoder| encoder.add_icc_profile(&profile).unwrap());
    let mut info = info(32, 32, ColorType::Rgb, BitDepth::Eight);
    info.icc_profile = Some(profile.clone().into());
    let mut webp = Vec::new();
    let mut encoder = image_webp::WebPEncoder::new(&mut webp);
    encoder.set_icc_profile(profile.clone());
    encoder.encode(&scene.rgb, 32, 32, image_webp::ColorType::Rgb8).unwrap();
    // The same colour has a redder red in sRGB, whose primaries are duller.
    for photo in [jpeg, png(info, &scene.rgb), webp] {
        check_colour(&photo, [189, 118, 85]);
    }
    check_colour(&scene.jpeg(), [180, 120, 90]);
    let srgb = moxcms::ColorProfile::new_srgb().encode().unwrap();
    check_colour(&scene.jpeg_with(|encoder| encoder.add_icc_profile(&srgb).unwrap()), [180, 120, 90]);
}

#[test]
fn a_profile_that_is_broken_or_not_for_rgb_changes_nothing() {
    let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let grey = moxcms::ColorProfile::new_gray_with_gamma(2.2).encode().unwrap();
    let scene = Raster::of(32, 32, |_, _| [180, 120, 90]);
    for broken in [&profile[..100], &[7; 900], b"", &grey] {
        check_colour(&with_segment(&scene.jpeg(), 0xE2, &[b"ICC_PROFILE\0\x01\x01", broken].concat()), [180, 120, 90]);
    }
}

#[test]
fn shapes_at_the_ends_of_what_a_format_can_hold() {
    for (width, height) in [(1, 65_535), (65_535, 1), (1, 1), (2, 3), (17, 1)] {
        for photo in [scene(width, height).jpeg(), scene(width, height).png(None)] {
            let developed = developed(&photo);
            assert_eq!((developed.width_px, developed.height_px), (width, height));
        }
    }
}

#[test]
fn what_cannot_be_decoded_says_so_to_a_person() {
    let photo = textured(120, 80).jpeg();
    let frame = photo.windows(2).position(|two| two == [0xFF, 0xC0]).unwrap();
    let of_kind = |marker: u8, bits: u8| {
        let mut photo = photo.clone();
        (photo[frame + 1], photo[frame + 4]) = (marker, bits);
        photo
    };
    check_refused(&of_kind(0xC9, 8), "it is an arithmetic-coded JPEG, which few programs read");
    check_refused(&of_kind(0xC3, 8), "it is a lossless JPEG");
    check_refused(&of_kind(0xC1, 12), "12 bits");
    check_refused(b"not a photo", "by its bytes no JPEG");
    check_refused(&photo[..photo.len() / 2], "incomplete");
    assert!(matches!(develop(b"", &Recipe::default()), Err(DevelopError::Structure(_))));
}

/// The JPEG without the last third of its data, its end put back: its structure is whole.
fn torn(photo: &[u8]) -> Vec<u8> {
    let data = photo.windows(2).rposition(|two| two == [0xFF, 0xDA]).unwrap() + 14;
    [&photo[..data + (photo.len() - data) * 2 / 3], &[0xFF, 0xD9]].concat()
}

#[test]
fn a_jpeg_with_broken_data_is_refused_rather_than_half_grey() {
    let picture = textured(320, 240);
    let plain = picture.jpeg();
    let mut cmyk = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut cmyk, 90);
    encoder.encode(&picture.rgb[..240 * 240 * 4], 240, 240, JpegColour::CmykAsYcck).unwrap();
    for (name, photo) in [
        ("plain", plain.clone()),
        ("with restarts", picture.jpeg_with(|encoder| encoder.set_restart_interval(7))),
        ("4:2:0", picture.jpeg_with(|encoder| encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::F_2_2))),
        ("smooth", scene(320, 240).jpeg()),
        ("CMYK", cmyk),
    ] {
        assert_eq!(verify(&photo, &Recipe::default()), Ok(()), "{name}");
        let outcome = verify(&torn(&photo), &Recipe::default());
        assert!(matches!(outcome, Err(DevelopError::Undecodable(_))), "{name}: {outcome:?}");
        check_refused(&torn(&photo), "its image data is damaged");
    }
    // Nonsense in the middle: ones alone, which no table has a code of.
    let data = plain.windows(2).position(|two| two == [0xFF, 0xDA]).unwrap() + 14;
    let mut scribbled = plain;
    scribbled[data + 4_000..data + 4_400].copy_from_slice(&[0xFF, 0x00].repeat(200));
    check_refused(&scribbled, "its image data is damaged");
}

#[test]
fn a_whole_jpeg_is_never_taken_for_a_torn_one() {
    // Flat ones have less data than a decoder reads ahead, odd ones a unit that is mostly padding.
    for (width, height) in [(1, 1), (8, 8), (9, 7), (16, 64), (64, 16), (333, 5), (5, 333), (640, 480)] {
        for picture in [Raster::of(width, height, |_, _| [128; 3]), textured(width, height)] {
            for interval in [0, 1, 2, 5] {
                let photo = picture.jpeg_with(|encoder| encoder.set_restart_interval(interval));
                assert_eq!(verify(&photo, &Recipe::default()), Ok(()), "{width}x{height}, restarts {interval}");
            }
            let grey: Vec<u8> = picture.rgb.chunks_exact(3).map(|pixel| pixel[1]).collect();
            let mut photo = Vec::new();
            let mut encoder = jpeg_encoder::Encoder::new(&mut photo, 90);
            encoder.set_restart_interval(3);
            let side = |px: u32| u16::try_from(px).unwrap();
            encoder.encode(&grey, side(width), side(height), JpegColour::Luma).unwrap();
            assert_eq!(verify(&photo, &Recipe::default()), Ok(()), "{width}x{height}, grey");
        }
    }
}

#[test]
fn a_photo_over_budget_is_refused_by_every_door() {
    let recipe = Recipe { limits: imaging::Limits { pixels_max: 999, ..Default::default() }, ..Recipe::default() };
    let photo = scene(100, 10).jpeg();
    for outcome in [
        develop(&photo, &recipe).map(drop),
        verify(&photo, &recipe),
        memory_bytes(&photo, &recipe).map(drop),
        imaging::thumbnail(&photo, 10, 80, &recipe.limits).map(drop),
    ] {
        assert!(
            matches!(&outcome, Err(DevelopError::Structure(words)) if words.contains("1000 pixels")),
            "{outcome:?}"
        );
    }
    assert_eq!(decoded(&strip(&photo).unwrap()).width, 100);
}
