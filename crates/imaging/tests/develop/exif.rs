//! When a photo was taken, and blocks that try to lead astray.

use imaging::{Developed, Recipe, develop};

use super::support::{exif, scene, with_exif, with_segment};

const DATE_TIME_ORIGINAL: u16 = 0x9003;
const OFFSET_TIME_ORIGINAL: u16 = 0x9011;
const SUB_SEC_TIME_ORIGINAL: u16 = 0x9291;

/// Without derivatives, which are not looked at here.
fn developed(photo: &[u8]) -> Developed {
    develop(photo, &Recipe { formats: Vec::new(), ..Recipe::default() }).unwrap()
}

#[track_caller]
fn check(texts: &[(u16, &str)], expect: Option<&str>) {
    for is_big_endian in [true, false] {
        let photo = with_exif(&scene(16, 8).jpeg(), &exif(is_big_endian, 1, texts));
        assert_eq!(developed(&photo).taken_at.as_deref(), expect);
    }
}

#[test]
fn the_time_has_only_what_the_camera_wrote() {
    let date = (DATE_TIME_ORIGINAL, "2026:11:23 22:27:59");
    check(&[], None);
    check(&[date], Some("2026-11-23T22:27:59"));
    check(&[date, (SUB_SEC_TIME_ORIGINAL, "07")], Some("2026-11-23T22:27:59.07"));
    check(&[date, (SUB_SEC_TIME_ORIGINAL, "123456")], Some("2026-11-23T22:27:59.123456"));
    check(&[date, (OFFSET_TIME_ORIGINAL, "-03:30")], Some("2026-11-23T22:27:59-03:30"));
    check(&[date, (SUB_SEC_TIME_ORIGINAL, "5"), (OFFSET_TIME_ORIGINAL, "+02:00")], Some("2026-11-23T22:27:59.5+02:00"));
    check(&[(SUB_SEC_TIME_ORIGINAL, "5"), (OFFSET_TIME_ORIGINAL, "+02:00")], None);
}

#[test]
fn what_is_no_time_is_none() {
    for text in [
        "0000:00:00 00:00:00",
        "    :  :     :  :  ",
        "2026:13:01 00:00:00",
        "2026:11:23 24:00:00",
        "2026:11:23",
        "2026:11:23:01 00:00:00",
        "2026-11-23T22:27:59",
        "+026:11:23 22:27:59",
        "\u{661}\u{662}:11:23 22:27:59",
        "a patient's name, not a time at all, and long",
        "",
    ] {
        check(&[(DATE_TIME_ORIGINAL, text)], None);
    }
    let date = (DATE_TIME_ORIGINAL, "2026:11:23 22:27:59");
    for nonsense in ["+2:00", "02:00", "+99:00", "+02:60", "Z", "+02:00:00", "; drop"] {
        check(&[date, (OFFSET_TIME_ORIGINAL, nonsense)], Some("2026-11-23T22:27:59"));
    }
    check(&[date, (SUB_SEC_TIME_ORIGINAL, "1x")], Some("2026-11-23T22:27:59"));
}

#[test]
fn a_block_cannot_lead_in_circles_or_outside() {
    let photo = scene(16, 8).jpeg();
    let whole = exif(false, 6, &[(DATE_TIME_ORIGINAL, "2026:11:23 22:27:59")]);
    let with_pointer = |to: u32| {
        let mut block = whole.clone();
        block[30..34].copy_from_slice(&to.to_le_bytes());
        block
    };
    // To the first directory, to itself, to the end and behind it: no time there, the orientation stands.
    for to in [8, 30, 0, u32::try_from(whole.len()).unwrap(), u32::MAX, u32::MAX - 1] {
        let developed = developed(&with_exif(&photo, &with_pointer(to)));
        assert_eq!((developed.orientation, developed.taken_at), (6, None), "pointer to {to}");
    }
    let mut counted = whole.clone();
    counted[8..10].fill(0xFF);
    assert_eq!(developed(&with_exif(&photo, &counted)).orientation, 6);
    for length in 0..whole.len() {
        developed(&with_exif(&photo, &whole[..length]));
    }
}

#[test]
fn of_two_blocks_the_first_counts_and_other_segments_are_none() {
    let photo = with_exif(&scene(16, 8).jpeg(), &exif(true, 8, &[]));
    assert_eq!(developed(&with_exif(&photo, &exif(true, 3, &[]))).orientation, 3);
    let xmp = with_segment(&photo, 0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>");
    assert_eq!(developed(&xmp).orientation, 8);
}
