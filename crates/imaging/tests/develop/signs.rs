//! Placeholder and quality signs say of a photo what a person would.

use super::support::{Raster, developed, next_random, orientation, scene, textured, with_exif};

fn mapped(photo: &Raster, map: impl Fn(u8) -> u8) -> Raster {
    Raster { rgb: photo.rgb.iter().map(|value| map(*value)).collect(), ..photo.clone() }
}

/// A box of five by five.
fn blurred(photo: &Raster) -> Raster {
    Raster::of(photo.width, photo.height, |x, y| {
        let mut sums = [0_u32; 3];
        for dy in 0..5 {
            for dx in 0..5 {
                let pixel = photo.at((x + dx).min(photo.width - 1), (y + dy).min(photo.height - 1));
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += u32::from(value);
                }
            }
        }
        sums.map(|sum| u8::try_from(sum / 25).unwrap())
    })
}

fn differing_bits(a: &Raster, b: &Raster) -> u32 {
    (developed(&a.jpeg()).perceptual_hash ^ developed(&b.jpeg()).perceptual_hash).count_ones()
}

/// Blocks of random grey, as different from another of its kind as photos get.
fn blocks(mut seed: u64) -> Raster {
    let greys: Vec<u8> = (0..12 * 9).map(|_| next_random(&mut seed).to_be_bytes()[0]).collect();
    Raster::of(720, 540, |x, y| [greys[(y / 60 * 12 + x / 60) as usize]; 3])
}

#[test]
fn a_blurred_copy_is_less_sharp() {
    let photo = textured(800, 600);
    let (sharp, soft) = (developed(&photo.jpeg()).sharpness, developed(&blurred(&photo).jpeg()).sharpness);
    assert!(soft * 3.0 < sharp, "{soft} against {sharp}");
    assert!(developed(&Raster::of(640, 480, |_, _| [90; 3]).jpeg()).sharpness < 0.01);
}

#[test]
fn sharpness_does_not_depend_on_how_many_pixels_a_camera_has() {
    let of = |scale: u32| {
        let pattern = Raster::of(640 * scale, 480 * scale, |x, y| {
            [if (x / scale / 8 + y / scale / 8).is_multiple_of(2) { 60 } else { 190 }; 3]
        });
        developed(&pattern.jpeg()).sharpness
    };
    let (two, three) = (of(2), of(3));
    assert!((two / three - 1.0).abs() < 0.15, "{two} and {three}");
}

#[test]
fn a_dark_copy_is_less_bright() {
    let photo = scene(500, 400);
    let (bright, dark) =
        (developed(&photo.jpeg()).brightness, developed(&mapped(&photo, |value| value / 4).jpeg()).brightness);
    assert!(dark < bright / 3.0, "{dark} against {bright}");
    let of_grey = |grey: u8| developed(&Raster::of(64, 64, |_, _| [grey; 3]).jpeg()).brightness;
    assert!(of_grey(0) < 0.01 && (of_grey(128) - 0.5).abs() < 0.01 && of_grey(255) > 0.99);
}

#[test]
fn near_duplicates_hash_near_and_others_far() {
    let frame = blocks(7);
    let moved = Raster::of(720, 540, |x, y| frame.at((x + 3).min(719), (y + 2).min(539)));
    for near in [moved, mapped(&frame, |value| value / 2 + 40), blurred(&frame)] {
        let bits = differing_bits(&frame, &near);
        assert!(bits <= 6, "{bits} bits");
    }
    for seed in 8..16 {
        let bits = differing_bits(&frame, &blocks(seed));
        assert!(bits >= 16, "{bits} bits to {seed}");
    }
}

#[test]
fn signs_are_those_of_the_upright_picture() {
    let upright = textured(640, 400);
    // Orientation 3 is stored upside down.
    let last = upright.rgb.len() / 3 - 1;
    let stored = Raster::of(640, 400, |x, y| {
        let pixel = last - (y * 640 + x) as usize;
        *upright.rgb[pixel * 3..].first_chunk().unwrap()
    });
    let (one, three) = (developed(&upright.jpeg()), developed(&with_exif(&stored.jpeg(), &orientation(3))));
    assert!((one.perceptual_hash ^ three.perceptual_hash).count_ones() <= 2);
    assert!((one.sharpness / three.sharpness - 1.0).abs() < 0.05);
    assert!((one.brightness - three.brightness).abs() < 0.005);
    let far = developed(&stored.jpeg()).perceptual_hash;
    assert!((one.perceptual_hash ^ far).count_ones() > 12, "the yardstick tells upside down from upright");
}

#[test]
fn the_placeholder_is_small_and_of_the_photos_colours() {
    for (width, height) in [(800, 600), (600, 800), (50, 40), (1, 1), (900, 1), (1, 900)] {
        let developed = developed(&Raster::of(width, height, |_, _| [200, 40, 60]).jpeg());
        assert!((5..=30).contains(&developed.placeholder.len()), "{width}x{height}");
        let (red, green, blue, alpha) = thumbhash::thumb_hash_to_average_rgba(&developed.placeholder).unwrap();
        let off = [red - 200.0 / 255.0, green - 40.0 / 255.0, blue - 60.0 / 255.0, alpha - 1.0];
        assert!(off.iter().all(|off| off.abs() < 0.06), "{width}x{height}: {off:?}");
        let shape = thumbhash::thumb_hash_to_approximate_aspect_ratio(&developed.placeholder).unwrap();
        assert_eq!(shape > 1.0, width > height, "{width}x{height}: {shape}");
    }
}
