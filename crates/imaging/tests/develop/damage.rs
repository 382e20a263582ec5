//! Whatever becomes of a photo on the way, it is answered: developed or refused, within its budget.

use std::sync::atomic::{AtomicU32, Ordering};

use imaging::{Limits, Recipe, develop, memory_bytes, strip, thumbnail, verify};
use png::{BitDepth, ColorType};

use super::support::{exif, next_random, png, scene, textured, with_exif};

const ROUNDS: usize = 3_000;

fn corpus() -> Vec<Vec<u8>> {
    let block = exif(true, 6, &[(0x9003, "2026:11:23 22:27:59"), (0x9291, "12")]);
    let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let small = textured(40, 24);
    let mut palette = png::Info::with_size(20, 10);
    (palette.color_type, palette.bit_depth) = (ColorType::Indexed, BitDepth::Eight);
    palette.palette = Some((0..=254).collect::<Vec<u8>>().into());
    palette.trns = Some(vec![9; 40].into());
    let mut animated = Vec::new();
    let mut encoder = png::Encoder::new(&mut animated, 12, 12);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    for grey in [10; 144].chunks(144).chain([20; 144].chunks(144)) {
        writer.write_image_data(grey).unwrap();
    }
    writer.finish().unwrap();
    let mut cmyk = Vec::new();
    let pixels = small.rgb.repeat(4);
    jpeg_encoder::Encoder::new(&mut cmyk, 80)
        .encode(&pixels[..16 * 16 * 4], 16, 16, jpeg_encoder::ColorType::CmykAsYcck)
        .unwrap();
    let lossy = imaging::develop(&small.jpeg(), &Recipe::default()).unwrap().derivatives.swap_remove(1).bytes;
    assert!(lossy.starts_with(b"RIFF"));
    vec![
        with_exif(&small.jpeg(), &block),
        small.jpeg_with(|encoder| encoder.set_progressive(true)),
        small.jpeg_with(|encoder| encoder.add_icc_profile(&profile).unwrap()),
        small.jpeg_with(|encoder| encoder.set_restart_interval(1)),
        cmyk,
        small.png(Some(&block)),
        png(palette, &[7; 200]),
        animated,
        small.webp(Some(&block)),
        scene(33, 17).webp(None),
        lossy,
    ]
}

fn pick(state: &mut u64, below: usize) -> usize {
    usize::try_from(next_random(state) % below as u64).unwrap()
}

fn mutate(photo: &mut Vec<u8>, state: &mut u64) {
    for _ in 0..=pick(state, 4) {
        let at = pick(state, photo.len());
        match pick(state, 6) {
            0 => photo[at] ^= 1 << pick(state, 8),
            1 => photo[at] = next_random(state).to_le_bytes()[0],
            2 => photo[at..].iter_mut().take(4).for_each(|byte| *byte = 0xFF),
            3 => photo[at..].iter_mut().take(2).for_each(|byte| *byte = 0),
            4 => {
                let repeated = photo[at..].iter().copied().take(40).collect::<Vec<_>>();
                photo.splice(at..at, repeated);
            }
            _ => photo.truncate(photo.len() - pick(state, photo.len().min(3))),
        }
    }
    // PNG's checksums would let no mutation through to the decoder.
    if photo.starts_with(b"\x89PNG") {
        mend_checksums(photo);
    }
}

fn mend_checksums(png: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = png.get(at..).and_then(|rest| rest.first_chunk()).map(|b| u32::from_be_bytes(*b) as usize)
    {
        let Some(chunk) = length.checked_add(at + 8).and_then(|end| png.get(at + 4..end)) else { return };
        let checksum = crc32fast::hash(chunk).to_be_bytes();
        at += 8 + length;
        let Some(place) = png.get_mut(at..at + 4) else { return };
        place.copy_from_slice(&checksum);
        at += 4;
    }
}

/// A panic inside a decoder is caught by the room; the hook sees it all the same.
static PANICS: AtomicU32 = AtomicU32::new(0);

#[test]
fn mutated_photos_are_answered() {
    let corpus = corpus();
    let limits = Limits { pixels_max: 40_000, ..Limits::default() };
    let recipe = Recipe { limits, ..Recipe::default() };
    let mut state = 0x9E37_79B9_7F4A_7C15;
    let (mut decoded, mut refused) = (0_usize, 0_usize);
    std::panic::set_hook(Box::new(|info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        eprintln!("{info}");
    }));
    for round in 0..ROUNDS {
        let mut photo = corpus[round % corpus.len()].clone();
        mutate(&mut photo, &mut state);
        // Small enough for an eighth of it: by the decoder that scales.
        drop(thumbnail(&photo, 4, 80, &limits));
        let stripped = match verify(&photo, &recipe) {
            Ok(()) => {
                decoded += 1;
                strip(&photo).unwrap()
            }
            Err(error) => {
                refused += 1;
                assert!(error.to_string().len() < 400, "round {round}: {error}");
                drop(memory_bytes(&photo, &recipe));
                continue;
            }
        };
        assert_eq!(verify(&stripped, &recipe), Ok(()), "round {round}");
        // The rest of the way is the same whatever the photo was, so fewer walk it.
        if decoded.is_multiple_of(8) {
            let done = develop(&photo, &recipe).unwrap();
            assert!(done.derivatives.iter().all(|d| d.width_px * d.height_px <= 40_000), "round {round}");
            assert!(done.sharpness.is_finite() && (0.0..=1.0).contains(&done.brightness), "round {round}");
        }
    }
    drop(std::panic::take_hook());
    eprintln!("{decoded} decoded, {refused} refused, {} panics of decoders caught", PANICS.load(Ordering::Relaxed));
    assert!(decoded > ROUNDS / 20 && refused > ROUNDS / 20, "{decoded} decoded, {refused} refused");
}
