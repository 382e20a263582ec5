//! Whole, good photos to begin with: by real encoders where there is a small one, put together by hand elsewhere.

use super::{heic, webp};

pub(super) struct Photo {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    /// As [`super::check`] has it.
    pub(super) expect: String,
}

pub(super) fn all() -> Vec<Photo> {
    let photo = |name, bytes, expect: &str| Photo { name, bytes, expect: expect.to_owned() };
    vec![
        photo("baseline JPEG", jpeg(67, 45, |_| {}), "image/jpeg 67x45"),
        photo("progressive JPEG", jpeg(33, 50, |encoder| encoder.set_progressive(true)), "image/jpeg 33x50"),
        photo("JPEG with restarts", jpeg(64, 48, |encoder| encoder.set_restart_interval(1)), "image/jpeg 64x48"),
        photo("JPEG with a profile", jpeg(8, 8, add_profile), "image/jpeg 8x8"),
        photo("PNG", png(19, 7, |_| {}, 8, 1), "image/png 19x7"),
        photo("palette PNG", png(5, 4, use_palette, 8, 1), "image/png 5x4"),
        photo("16-bit PNG", png(6, 3, |encoder| encoder.set_depth(::png::BitDepth::Sixteen), 16, 1), "image/png 6x3"),
        photo("animated PNG", png(9, 9, |encoder| encoder.set_animated(3, 0).unwrap(), 8, 3), "image/png 9x9"),
        photo("lossless WebP", lossless_webp(31, 17, |_| {}), "image/webp 31x17"),
        photo("extended WebP", lossless_webp(8, 9, |encoder| encoder.set_exif_metadata(vec![7; 5])), "image/webp 8x9"),
        photo("lossy WebP", webp::riff(&[webp::lossy(20, 30)]), "image/webp 20x30"),
        photo("animated WebP", webp::animation(40, 30, 4), "image/webp 40x30"),
        photo("HEIC", heic::photo(), "image/heic 4032x3024"),
        photo("HEIC described last", heic::described_last(), "image/heic 4032x3024"),
        photo("HEIC with open-ended data", heic::open_ended(), "image/heic 4032x3024"),
    ]
}

/// Not smooth, so that the data is long and holds many 0xFF.
pub(super) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    std::iter::repeat_with(|| next_random(&mut state).to_be_bytes()[0]).take(length).collect()
}

/// xorshift64: the same numbers on every run.
pub(super) fn next_random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

pub(super) fn jpeg(width: u16, height: u16, set: impl Fn(&mut jpeg_encoder::Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 90);
    set(&mut encoder);
    let pixels = noise(usize::from(width) * usize::from(height) * 3);
    encoder.encode(&pixels, width, height, jpeg_encoder::ColorType::Rgb).unwrap();
    bytes
}

fn add_profile(encoder: &mut jpeg_encoder::Encoder<&mut Vec<u8>>) {
    encoder.add_icc_profile(&noise(700)).unwrap();
}

fn png(
    width: u32,
    height: u32,
    set: impl Fn(&mut ::png::Encoder<'_, &mut Vec<u8>>),
    depth: usize,
    frames: u32,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut bytes, width, height);
    set(&mut encoder);
    let mut writer = encoder.write_header().unwrap();
    let frame_bytes = width as usize * height as usize * depth / 8;
    for _ in 0..frames {
        writer.write_image_data(&vec![0; frame_bytes]).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

fn use_palette(encoder: &mut ::png::Encoder<'_, &mut Vec<u8>>) {
    encoder.set_color(::png::ColorType::Indexed);
    encoder.set_palette(noise(12));
}

fn lossless_webp(width: u32, height: u32, set: impl Fn(&mut image_webp::WebPEncoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = image_webp::WebPEncoder::new(&mut bytes);
    set(&mut encoder);
    let pixels = noise(width as usize * height as usize * 3);
    encoder.encode(&pixels, width, height, image_webp::ColorType::Rgb8).unwrap();
    bytes
}
