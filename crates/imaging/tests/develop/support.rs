//! Photos made on the spot, and a look at what became of them.

use imaging::{Derivative, DerivativeSize, Developed, ImageType, Recipe, develop};
use jpeg_encoder::{ColorType, Encoder};

/// Packed RGB.
#[derive(Clone)]
pub(crate) struct Raster {
    pub(crate) rgb: Vec<u8>,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Raster {
    pub(crate) fn of(width: u32, height: u32, colour: impl Fn(u32, u32) -> [u8; 3]) -> Self {
        let rgb = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).flat_map(|(x, y)| colour(x, y)).collect();
        Self { rgb, width, height }
    }

    pub(crate) fn at(&self, x: u32, y: u32) -> [u8; 3] {
        let start = (y * self.width + x) as usize * 3;
        *self.rgb[start..].first_chunk().unwrap()
    }

    /// How far the channels are off on average.
    pub(crate) fn distance(&self, other: &Self) -> f64 {
        assert_eq!((self.width, self.height), (other.width, other.height));
        let off: u32 = self.rgb.iter().zip(&other.rgb).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        f64::from(off) / f64::from(self.width * self.height * 3)
    }

    pub(crate) fn jpeg(&self) -> Vec<u8> {
        self.jpeg_with(|_| {})
    }

    pub(crate) fn jpeg_with(&self, set: impl Fn(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 95);
        set(&mut encoder);
        let side = |px: u32| u16::try_from(px).unwrap();
        encoder.encode(&self.rgb, side(self.width), side(self.height), ColorType::Rgb).unwrap();
        bytes
    }

    pub(crate) fn png(&self, exif: Option<&[u8]>) -> Vec<u8> {
        let mut info = png::Info::with_size(self.width, self.height);
        info.color_type = png::ColorType::Rgb;
        info.bit_depth = png::BitDepth::Eight;
        info.exif_metadata = exif.map(|exif| exif.to_vec().into());
        png(info, &self.rgb)
    }

    pub(crate) fn webp(&self, exif: Option<&[u8]>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = image_webp::WebPEncoder::new(&mut bytes);
        if let Some(exif) = exif {
            encoder.set_exif_metadata(exif.to_vec());
        }
        encoder.encode(&self.rgb, self.width, self.height, image_webp::ColorType::Rgb8).unwrap();
        bytes
    }
}

pub(crate) fn png(info: png::Info<'_>, samples: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = png::Encoder::with_info(&mut bytes, info).unwrap().write_header().unwrap();
    writer.write_image_data(samples).unwrap();
    writer.finish().unwrap();
    bytes
}

/// Nothing in it is symmetric: the corners differ, and a bright bar stands off the middle.
pub(crate) fn scene(width: u32, height: u32) -> Raster {
    Raster::of(width, height, |x, y| {
        let (across, down) = (x * 255 / width, y * 255 / height);
        if (40..90).contains(&across) && (20..200).contains(&down) {
            return [240, 220, 60];
        }
        [across, down, 255 - u32::midpoint(across, down)].map(|value| u8::try_from(value).unwrap())
    })
}

/// Detail everywhere, the same on every run.
pub(crate) fn textured(width: u32, height: u32) -> Raster {
    let mut photo = scene(width, height);
    let mut state = 0x2545_F491_4F6C_DD1D;
    for value in &mut photo.rgb {
        *value = value.saturating_add(u8::try_from(next_random(&mut state) % 24).unwrap());
    }
    photo
}

/// xorshift64.
pub(crate) fn next_random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Puts a segment behind a JPEG's first two bytes.
pub(crate) fn with_segment(jpeg: &[u8], marker: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xFF, marker], &length, content, &jpeg[2..]].concat()
}

pub(crate) fn with_exif(jpeg: &[u8], block: &[u8]) -> Vec<u8> {
    with_segment(jpeg, 0xE1, &[b"Exif\0\0", block].concat())
}

/// A TIFF structure with texts in its Exif directory, big- or little-endian.
pub(crate) fn exif(is_big_endian: bool, orientation: u16, texts: &[(u16, &str)]) -> Vec<u8> {
    let short = |value: u16| if is_big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let long = |value: usize| {
        let value = u32::try_from(value).unwrap();
        if is_big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    };
    let entry = |tag: u16, kind: u16, count: usize, value: [u8; 4]| {
        [&short(tag)[..], &short(kind), &long(count), &value].concat()
    };
    let mut block = if is_big_endian { b"MM".to_vec() } else { b"II".to_vec() };
    block.extend(short(42));
    block.extend(long(8));
    block.extend(short(2));
    let [o0, o1] = short(orientation);
    block.extend(entry(0x0112, 3, 1, [o0, o1, 0, 0]));
    block.extend(entry(0x8769, 4, 1, long(38)));
    block.extend(long(0));
    assert_eq!(block.len(), 38);
    block.extend(short(u16::try_from(texts.len()).unwrap()));
    let mut values: Vec<u8> = Vec::new();
    for (tag, text) in texts {
        let text = [text.as_bytes(), b"\0"].concat();
        let at = 38 + 2 + texts.len() * 12 + 4 + values.len();
        let value = if text.len() <= 4 {
            std::array::from_fn(|index| text.get(index).copied().unwrap_or_default())
        } else {
            values.extend(&text);
            long(at)
        };
        block.extend(entry(*tag, 2, text.len(), value));
    }
    block.extend(long(0));
    block.extend(values);
    block
}

pub(crate) fn orientation(orientation: u16) -> Vec<u8> {
    exif(true, orientation, &[])
}

#[track_caller]
pub(crate) fn developed(photo: &[u8]) -> Developed {
    develop(photo, &Recipe::default()).unwrap()
}

/// The words of the error; `expect` must be in them.
#[track_caller]
pub(crate) fn check_refused(photo: &[u8], expect: &str) {
    let error = develop(photo, &Recipe::default()).map(drop).expect_err(expect).to_string();
    assert!(error.contains(expect), "expected «{expect}», got «{error}»");
}

pub(crate) fn derivative(developed: &Developed, size: DerivativeSize, image_type: ImageType) -> &Derivative {
    developed.derivatives.iter().find(|found| (found.size, found.image_type) == (size, image_type)).unwrap()
}

/// The preview of a developed photo in a format, decoded again.
pub(crate) fn preview(developed: &Developed, image_type: ImageType) -> Raster {
    decoded(&derivative(developed, DerivativeSize::Preview, image_type).bytes)
}

/// By the libraries themselves, so that a mistake of ours does not meet itself.
pub(crate) fn decoded(bytes: &[u8]) -> Raster {
    if bytes.starts_with(b"RIFF") {
        let mut decoder = image_webp::WebPDecoder::new(std::io::Cursor::new(bytes)).unwrap();
        let (width, height) = decoder.dimensions();
        let mut pixels = vec![0; decoder.output_buffer_size().unwrap()];
        decoder.read_image(&mut pixels).unwrap();
        let channels = if decoder.has_alpha() { 4 } else { 3 };
        let rgb = pixels.chunks_exact(channels).flat_map(|pixel| &pixel[..3]).copied().collect();
        Raster { rgb, width, height }
    } else if bytes.starts_with(b"\x89PNG") {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut rgb).unwrap();
        assert_eq!(frame.color_type, png::ColorType::Rgb);
        Raster { rgb, width: frame.width, height: frame.height }
    } else {
        let mut decoder = zune_jpeg::JpegDecoder::new(zune_jpeg::zune_core::bytestream::ZCursor::new(bytes));
        let rgb = decoder.decode().unwrap();
        let info = decoder.info().unwrap();
        Raster { rgb, width: info.width.into(), height: info.height.into() }
    }
}
