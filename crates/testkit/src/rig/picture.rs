//! Pictures as a browser would see them: whether bytes are one at all, and whether two show the same.

use std::io::Cursor;

use anyhow::{Context, Result, anyhow, bail, ensure};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;

/// Cells that a picture is compared by, in each direction.
const CELLS: usize = 8;
/// Two sizes of one picture differ by less, of 255: measured, a thumbnail and its photo by at most 3. Different photos
/// of [`photo::jpeg`](crate::photo::jpeg) differ by more.
const SAME_MAX: f64 = 6.0;

/// A decoded picture.
#[derive(Clone, Debug)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    rgb: Vec<u8>,
}

impl Picture {
    /// A JPEG or a WebP, told by its first bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let (width, height, rgb) = if bytes.starts_with(b"RIFF") {
            let mut decoder = image_webp::WebPDecoder::new(Cursor::new(bytes)).context("a broken WebP")?;
            ensure!(!decoder.has_alpha(), "a WebP with transparency");
            let (width, height) = decoder.dimensions();
            let mut rgb = vec![0; decoder.output_buffer_size().context("a WebP without a size")?];
            decoder.read_image(&mut rgb).context("a broken WebP")?;
            (usize::try_from(width)?, usize::try_from(height)?, rgb)
        } else if bytes.starts_with(&[0xFF, 0xD8]) {
            let mut decoder = JpegDecoder::new(ZCursor::new(bytes));
            let rgb = decoder.decode().map_err(|error| anyhow!("a broken JPEG: {error:?}"))?;
            let (width, height) = decoder.dimensions().context("a JPEG without a size")?;
            (width, height, rgb)
        } else {
            bail!("neither JPEG nor WebP: {:02x?}", &bytes[..bytes.len().min(12)]);
        };
        ensure!(width > 0 && height > 0 && rgb.len() == width * height * 3, "not as many pixels as it says");
        Ok(Self { width, height, rgb })
    }

    /// The mean of each cell and colour.
    #[allow(clippy::cast_precision_loss, reason = "sums of bytes, for a comparison")]
    fn cells(&self) -> Vec<f64> {
        let mut sums = vec![0_u64; CELLS * CELLS * 3];
        let mut counts = vec![0_u64; CELLS * CELLS * 3];
        for (row, line) in self.rgb.chunks(self.width * 3).enumerate() {
            for (column, pixel) in line.chunks(3).enumerate() {
                let cell = (row * CELLS / self.height) * CELLS + column * CELLS / self.width;
                for (colour, value) in pixel.iter().enumerate() {
                    sums[cell * 3 + colour] += u64::from(*value);
                    counts[cell * 3 + colour] += 1;
                }
            }
        }
        sums.iter().zip(counts).map(|(sum, count)| *sum as f64 / count.max(1) as f64).collect()
    }

    /// How far two pictures differ on average, of 255, whatever their sizes.
    #[allow(clippy::cast_precision_loss, reason = "a small count")]
    pub fn difference(&self, other: &Self) -> f64 {
        let (these, those) = (self.cells(), other.cells());
        these.iter().zip(&those).map(|(one, other)| (one - other).abs()).sum::<f64>() / these.len() as f64
    }

    /// Whether both show the same, in whatever size.
    pub fn shows(&self, other: &Self) -> bool {
        self.difference(other) < SAME_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::photo;

    #[test]
    fn a_picture_is_told_from_every_other_and_not_from_itself_in_another_size() {
        let pictures: Vec<Picture> =
            (0..12).map(|seed| Picture::decode(&photo::jpeg(640, 480, seed)).unwrap()).collect();
        for (at, one) in pictures.iter().enumerate() {
            let small = Picture::decode(&photo::jpeg(320, 240, at as u64)).unwrap();
            assert!(one.shows(&small), "{at}: {}", one.difference(&small));
            for (other_at, other) in pictures.iter().enumerate().filter(|(other, _)| *other != at) {
                assert!(!one.shows(other), "{at} and {other_at}: {}", one.difference(other));
            }
        }
        assert_eq!((pictures[0].width, pictures[0].height), (640, 480));
    }

    #[test]
    fn what_is_none_is_an_error() {
        let whole = photo::jpeg(64, 48, 1);
        assert!(Picture::decode(&whole).is_ok());
        assert!(Picture::decode(&photo::webp(64, 48, 1)).is_ok());
        for bytes in [&b""[..], b"RIFF", b"GIF89a", &whole[..20]] {
            assert!(Picture::decode(bytes).is_err(), "{bytes:02x?}");
        }
    }
}
