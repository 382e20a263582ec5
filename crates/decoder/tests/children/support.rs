//! Photos, pools, and what can be seen of them from outside.

use std::path::PathBuf;
use std::time::Duration;

use decoder::{Decoder, DecoderOptions, Recipe};
use prometheus_client::registry::Registry;
use tokio::time::{Instant, sleep};

pub const MIB: u64 = 1024 * 1024;
/// Longer than anything here may take, on however busy a machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn options() -> DecoderOptions {
    DecoderOptions {
        program: PathBuf::from(env!("CARGO_BIN_EXE_filmgate-decoder")),
        arguments: Vec::new(),
        processes_max: 2,
        memory_bytes_max: 512 * MIB,
        timeout: PATIENCE,
        niceness: 5,
        recipe: Recipe::default(),
    }
}

/// A pool, and its metrics.
pub struct Pool {
    pub decoder: Decoder,
    registry: Registry,
}

impl Pool {
    pub fn new(options: DecoderOptions) -> Self {
        let decoder = Decoder::new(options);
        let mut registry = Registry::default();
        decoder.register_metrics(&mut registry);
        Self { decoder, registry }
    }

    /// The value of a metric, by its name and labels as they are printed.
    pub fn metric(&self, name: &str) -> i64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is not among\n{text}")).parse().unwrap()
    }

    pub async fn wait_until(&self, name: &str, value: i64) {
        let metric = || self.metric(name);
        assert!(comes_true(|| metric() == value).await, "{name} is {} and never was {value}", self.metric(name));
    }
}

/// Asks until it is so, or patience ends.
pub async fn comes_true(mut is_so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        if Instant::now() > end {
            return false;
        }
        sleep(Duration::from_millis(10)).await;
    }
    true
}

/// What a decode of the photo takes of the budget: its estimate and itself, in whole MiB.
pub fn weight_bytes(photo: &[u8]) -> u64 {
    let estimate_bytes = imaging::memory_bytes(photo, &options().recipe).unwrap();
    (estimate_bytes + photo.len() as u64).next_multiple_of(MIB)
}

/// A picture that no two sides of are alike, with some noise: three bytes for each pixel.
fn pixels(width_px: u16, height_px: u16) -> Vec<u8> {
    let (width, height) = (u32::from(width_px), u32::from(height_px));
    let shades = |x: u32, y: u32| [x * 255 / width, y * 255 / height, (x * 7919 + y * 104_729) % 64];
    let all = (0..height).flat_map(|y| (0..width).flat_map(move |x| shades(x, y)));
    all.map(|shade| u8::try_from(shade).unwrap()).collect()
}

fn jpeg(width_px: u16, height_px: u16, progressive: bool) -> Vec<u8> {
    let mut jpeg = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut jpeg, 85);
    encoder.set_progressive(progressive);
    encoder.encode(&pixels(width_px, height_px), width_px, height_px, jpeg_encoder::ColorType::Rgb).unwrap();
    jpeg
}

/// A JPEG as cameras make it.
pub fn photo(width_px: u16, height_px: u16) -> Vec<u8> {
    jpeg(width_px, height_px, false)
}

/// The same in every format that this version decodes.
pub fn every_format(width_px: u16, height_px: u16) -> [(&'static str, Vec<u8>); 4] {
    let (width, height) = (u32::from(width_px), u32::from(height_px));
    let pixels = pixels(width_px, height_px);
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    let mut webp = Vec::new();
    image_webp::WebPEncoder::new(&mut webp).encode(&pixels, width, height, image_webp::ColorType::Rgb8).unwrap();
    [
        ("JPEG", photo(width_px, height_px)),
        ("progressive JPEG", jpeg(width_px, height_px, true)),
        ("PNG", png),
        ("WebP", webp),
    ]
}

/// A photo with a comment that tells a debug build of the child what to play.
pub fn poison(fault: &str) -> Vec<u8> {
    commented(&photo(64, 48), &format!("FILMGATE-FAULT-{fault}"))
}

/// The photo with a comment right after its start.
pub fn commented(photo: &[u8], comment: &str) -> Vec<u8> {
    let length = u16::try_from(comment.len() + 2).unwrap().to_be_bytes();
    let (start, rest) = photo.split_at(2);
    [start, &[0xff, 0xfe], &length, comment.as_bytes(), rest].concat()
}
