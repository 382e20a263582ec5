//! However a camera was held, its photo stands upright.

use imaging::ImageType;

use super::support::{Raster, developed, orientation, preview, scene, with_exif};

/// Exif 4.6.5.1: which side of what is seen the first stored row is, and which the first stored column.
const SIDES: [(char, char); 8] =
    [('t', 'l'), ('t', 'r'), ('b', 'r'), ('b', 'l'), ('l', 't'), ('r', 't'), ('r', 'b'), ('l', 'b')];

/// The picture as a camera stores it that says `orientation`.
fn stored(upright: &Raster, orientation: u16) -> Raster {
    let (row_side, column_side) = SIDES[usize::from(orientation) - 1];
    let is_turned = orientation >= 5;
    let (width, height) = if is_turned { (upright.height, upright.width) } else { (upright.width, upright.height) };
    Raster::of(width, height, |column, row| {
        let mut seen = (0, 0);
        for (side, step) in [(row_side, row), (column_side, column)] {
            match side {
                't' => seen.1 = step,
                'b' => seen.1 = upright.height - 1 - step,
                'l' => seen.0 = step,
                _ => seen.0 = upright.width - 1 - step,
            }
        }
        upright.at(seen.0, seen.1)
    })
}

#[test]
fn all_eight_orientations_come_out_upright() {
    let upright = scene(120, 72);
    for says in 1..=8 {
        let stored = stored(&upright, says);
        let block = orientation(says);
        for (format, photo) in [
            ("JPEG", with_exif(&stored.jpeg(), &block)),
            ("PNG", stored.png(Some(&block))),
            ("WebP", stored.webp(Some(&block))),
            ("WebP with JPEG's prefix", stored.webp(Some(&[b"Exif\0\0", &block[..]].concat()))),
        ] {
            let developed = developed(&photo);
            assert_eq!(u16::from(developed.orientation), says, "{format}");
            assert_eq!((developed.width_px, developed.height_px), (120, 72), "{format}, orientation {says}");
            for derived in [ImageType::Jpeg, ImageType::WebP] {
                let mean = preview(&developed, derived).distance(&upright);
                assert!(mean < 4.0, "{format}, orientation {says}, as {derived:?}: {mean} off");
            }
        }
    }
}

#[test]
fn the_yardstick_tells_every_orientation_from_every_other() {
    let upright = scene(72, 72);
    for one in 1..=8 {
        for other in 1..one {
            let mean = stored(&upright, one).distance(&stored(&upright, other));
            assert!(mean > 12.0, "{one} and {other} differ by {mean} only");
        }
    }
}

#[test]
fn nonsense_is_upright() {
    let upright = scene(60, 36);
    for says in [0, 9, 255, 256 + 6, 65_535] {
        for photo in [with_exif(&upright.jpeg(), &orientation(says)), upright.png(Some(&orientation(says)))] {
            let developed = developed(&photo);
            assert_eq!(developed.orientation, 1, "{says}");
            assert_eq!((developed.width_px, developed.height_px), (60, 36));
        }
    }
    // The right value of the wrong type, and a block cut off in the entry.
    let mut block = orientation(6);
    block[13] = 2;
    assert_eq!(developed(&with_exif(&upright.jpeg(), &block)).orientation, 1);
    assert_eq!(developed(&with_exif(&upright.jpeg(), &orientation(6)[..16])).orientation, 1);
}

#[test]
fn large_photos_are_turned_after_they_were_made_small() {
    let upright = scene(2400, 1500);
    let photo = with_exif(&stored(&upright, 6).jpeg(), &orientation(6));
    let developed = developed(&photo);
    assert_eq!((developed.width_px, developed.height_px), (2400, 1500));
    let mean = preview(&developed, ImageType::Jpeg).distance(&scene(1280, 800));
    assert!(mean < 4.0, "{mean} off");
}
