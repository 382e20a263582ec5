//! What [`imaging::memory_bytes`] promises, counted: everything the room asks the allocator for while it develops.
//!
//! libwebp and libjpeg have an allocator of their own that cannot be counted here;
//! `scripts/corpora` develops under a limit of the kernel.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use imaging::{DevelopError, Limits, Recipe, develop, memory_bytes, verify};
use jpeg_encoder::{Encoder, SamplingFactor};

struct Counting;

static TAKEN: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// Tests share the allocator.
static TURN: Mutex<()> = Mutex::new(());

#[expect(unsafe_code, reason = "the only way to stand in the allocator's place")]
// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let taken = TAKEN.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(taken, Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        TAKEN.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Peak of what `work` takes beyond what was taken before.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = TAKEN.load(Relaxed);
    PEAK.store(before, Relaxed);
    let done = work();
    (done, (PEAK.load(Relaxed) - before) as u64)
}

/// Smooth with some grain: compresses as photos do.
fn rgb(width: u32, height: u32) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut bytes = Vec::with_capacity(width as usize * height as usize * 3);
    for y in 0..height {
        for x in 0..width {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let grain = state % 8;
            let tone = (u64::from(x) * 120 / u64::from(width)) + (u64::from(y) * 100 / u64::from(height)) + grain;
            bytes.extend([tone, tone / 2 + 40, 200 - tone / 2].map(|value| u8::try_from(value).unwrap()));
        }
    }
    bytes
}

fn jpeg(width: u16, height: u16, set: impl Fn(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 85);
    set(&mut encoder);
    encoder.encode(&rgb(width.into(), height.into()), width, height, jpeg_encoder::ColorType::Rgb).unwrap();
    bytes
}

fn png(width: u32, height: u32, samples: &[u8], set: impl Fn(&mut png::Encoder<'_, &mut Vec<u8>>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_compression(png::Compression::Fast);
    set(&mut encoder);
    encoder.write_header().unwrap().write_image_data(samples).unwrap();
    bytes
}

fn webp(width: u32, height: u32, colour: image_webp::ColorType, samples: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    image_webp::WebPEncoder::new(&mut bytes).encode(samples, width, height, colour).unwrap();
    bytes
}

/// A name, the photo, and whether it is an ordinary large one.
fn corpus() -> Vec<(&'static str, Vec<u8>, bool)> {
    let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let sixteen = rgb(900, 700).repeat(2);
    let alpha: Vec<u8> = rgb(1500, 1000).chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 200]).collect();
    let lossy = develop(&jpeg(1280, 960, |_| {}), &Recipe::default()).unwrap().derivatives.swap_remove(3).bytes;
    assert!(lossy.starts_with(b"RIFF"));
    let grey = rgb(1500, 1000)[..1_500_000].to_vec();
    let rgba = |e: &mut png::Encoder<'_, &mut Vec<u8>>| e.set_color(png::ColorType::Rgba);
    vec![
        ("12-megapixel JPEG", jpeg(4000, 3000, |_| {}), true),
        ("3-megapixel JPEG, 4:4:4", jpeg(2000, 1500, |e| e.set_sampling_factor(SamplingFactor::F_1_1)), true),
        ("3-megapixel JPEG in P3", jpeg(2000, 1500, |e| e.add_icc_profile(&profile).unwrap()), true),
        ("progressive JPEG", jpeg(2000, 1500, |e| e.set_progressive(true)), true),
        (
            "progressive JPEG, 4:4:4",
            jpeg(1500, 1000, |e| {
                e.set_progressive(true);
                e.set_sampling_factor(SamplingFactor::F_1_1);
            }),
            false,
        ),
        ("720p JPEG", jpeg(1280, 720, |_| {}), false),
        ("small JPEG", jpeg(64, 48, |_| {}), false),
        ("high JPEG", jpeg(1, 65_535, |_| {}), false),
        ("wide JPEG", jpeg(65_535, 1, |_| {}), false),
        (
            "high progressive JPEG, 4:1:1",
            jpeg(1, 65_535, |e| {
                e.set_progressive(true);
                e.set_sampling_factor(SamplingFactor::F_4_1);
            }),
            false,
        ),
        ("PNG", png(3000, 2000, &rgb(3000, 2000), |e| e.set_color(png::ColorType::Rgb)), true),
        ("PNG with alpha", png(1500, 1000, &alpha, rgba), false),
        ("grey PNG", png(1500, 1000, &grey, |e| e.set_color(png::ColorType::Grayscale)), false),
        (
            "16-bit PNG",
            png(900, 700, &sixteen, |e| {
                e.set_color(png::ColorType::Rgb);
                e.set_depth(png::BitDepth::Sixteen);
            }),
            false,
        ),
        ("wide PNG", png(65_535, 1, &rgb(65_535, 1), |e| e.set_color(png::ColorType::Rgb)), false),
        ("lossless WebP", webp(2000, 1500, image_webp::ColorType::Rgb8, &rgb(2000, 1500)), true),
        ("lossless WebP with alpha", webp(1500, 1000, image_webp::ColorType::Rgba8, &alpha), false),
        ("lossy WebP", lossy, false),
    ]
}

#[test]
fn no_photo_takes_more_than_was_estimated() {
    let _turn = TURN.lock().unwrap();
    let recipe = Recipe::default();
    let mut wrong = Vec::new();
    for (name, photo, is_ordinary) in corpus() {
        let estimate = memory_bytes(&photo, &recipe).unwrap();
        let (developed, taken) = peak_of(|| develop(&photo, &recipe));
        developed.unwrap();
        eprintln!("{name}: {} of {} kB", taken / 1_000, estimate / 1_000);
        if taken > estimate || (is_ordinary && estimate > 4 * taken) {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn a_bomb_is_refused_from_its_header() {
    let _turn = TURN.lock().unwrap();
    // 160 megapixels of black in some hundred kilobytes.
    let bomb = png(16_000, 10_000, &vec![0; 16_000 * 10_000 / 8], |e| e.set_depth(png::BitDepth::One));
    assert!(bomb.len() < 500_000);
    let mut claims = jpeg(16, 16, |_| {});
    let frame = claims.windows(2).position(|two| two == [0xFF, 0xC0]).unwrap();
    claims[frame + 5..frame + 9].fill(0xFF);
    let recipe = Recipe::default();
    for photo in [&bomb, &claims] {
        for attempt in [|p: &[u8], r: &Recipe| develop(p, r).map(drop), |p: &[u8], r: &Recipe| verify(p, r)] {
            let (outcome, taken) = peak_of(|| attempt(photo, &recipe));
            assert!(matches!(outcome, Err(DevelopError::Structure(_))), "{outcome:?}");
            assert!(taken < 100_000, "{taken} bytes for a refusal");
        }
        let (estimate, taken) = peak_of(|| memory_bytes(photo, &recipe));
        assert!(estimate.is_err() && taken < 100_000);
    }
}

#[test]
fn a_profile_cannot_blow_up() {
    let _turn = TURN.lock().unwrap();
    // 60 MB of zeros, deflated into an iCCP chunk by the encoder.
    let mut info = png::Info::with_size(64, 64);
    (info.color_type, info.bit_depth) = (png::ColorType::Rgb, png::BitDepth::Eight);
    info.icc_profile = Some(vec![0; 60_000_000].into());
    let mut photo = Vec::new();
    let writer = png::Encoder::with_info(&mut photo, info).unwrap().write_header();
    writer.unwrap().write_image_data(&rgb(64, 64)).unwrap();
    let recipe = Recipe { limits: Limits::default(), ..Recipe::default() };
    let estimate = memory_bytes(&photo, &recipe).unwrap();
    let (_, taken) = peak_of(|| develop(&photo, &recipe));
    assert!(taken <= estimate && estimate < 40_000_000, "{taken} of {estimate}");
}
