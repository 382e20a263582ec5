//! What is uploaded: a photo from a file, to the byte, or one that is made.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use jpeg_encoder::{ColorType, Encoder};

use crate::schedule::Chance;

/// Pixels of a made photo: what a page of the contract takes.
const WIDTH: u16 = 1280;
const HEIGHT: u16 = 720;
/// As a browser's canvas encodes.
const QUALITY: u8 = 80;
/// Marker, length, and sixteen letters that are others each time.
const SERIAL_BYTES: usize = 4 + 16;
/// The most that a comment holds, with its marker and length.
const COMMENT_BYTES_MAX: usize = 65_535 + 2;

/// Where a photo is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhotoKind {
    /// Made; each upload carries a serial number in a comment, so that no two are the same bytes.
    Synthetic,
    /// A file's bytes, the same each time.
    File,
}

/// A photo to upload again and again.
#[derive(Clone, Debug)]
pub struct Photo {
    kind: PhotoKind,
    content_type: String,
    bytes: Bytes,
}

impl Photo {
    /// A file's bytes, as they are. Whoever reads the file has seen that it is a photo.
    pub fn of_file(bytes: Vec<u8>, content_type: &str) -> Self {
        Self { kind: PhotoKind::File, content_type: content_type.to_owned(), bytes: bytes.into() }
    }

    /// A JPEG of 1280x720 and exactly `length` bytes: a gradient with as much noise as that takes.
    pub fn synthetic(length: usize) -> Result<Self> {
        let room = length.checked_sub(SERIAL_BYTES);
        let plain = encoded(0)?;
        let room = room.filter(|room| plain.len() <= *room).with_context(|| {
            format!(
                "a photo of {WIDTH} x {HEIGHT} pixels does not fit into {length} bytes: the least is {}",
                plain.len() + SERIAL_BYTES
            )
        })?;
        let (mut fits, mut noise) = (plain, (0_u8, 255_u8));
        while noise.1 - noise.0 > 1 {
            let middle = noise.0 + (noise.1 - noise.0) / 2;
            let photo = encoded(middle)?;
            if photo.len() <= room {
                (fits, noise.0) = (photo, middle);
            } else {
                noise.1 = middle;
            }
        }
        let bytes = padded(&fits, room)?;
        Ok(Self { kind: PhotoKind::Synthetic, content_type: "image/jpeg".to_owned(), bytes: bytes.into() })
    }

    /// Where it is from.
    pub const fn kind(&self) -> PhotoKind {
        self.kind
    }

    /// Its media type.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Its length as uploaded.
    pub fn length(&self) -> usize {
        self.bytes.len() + if self.kind == PhotoKind::Synthetic { SERIAL_BYTES } else { 0 }
    }

    /// The bytes of one upload, in pieces that share their memory.
    pub fn pieces(&self, serial: u64) -> Vec<Bytes> {
        match self.kind {
            PhotoKind::File => vec![self.bytes.clone()],
            PhotoKind::Synthetic => {
                let mut head = Vec::with_capacity(2 + SERIAL_BYTES);
                head.extend_from_slice(&[0xFF, 0xD8, 0xFF, 0xFE, 0, 18]);
                head.extend_from_slice(format!("{serial:016x}").as_bytes());
                vec![head.into(), self.bytes.slice(2..)]
            }
        }
    }
}

fn encoded(noise: u8) -> Result<Vec<u8>> {
    let mut chance = Chance::new(7);
    let mut pixels = Vec::with_capacity(usize::from(WIDTH) * usize::from(HEIGHT) * 3);
    for y in 0..u32::from(HEIGHT) {
        for x in 0..u32::from(WIDTH) {
            let grain = u32::from(chance.next_u64().to_le_bytes()[0]) * u32::from(noise) / 255;
            for light in [x * 170 / u32::from(WIDTH), y * 170 / u32::from(HEIGHT), (x + y) / 12] {
                pixels.push(u8::try_from((light + 20 + grain).min(255)).unwrap_or(255));
            }
        }
    }
    let mut out = Vec::new();
    Encoder::new(&mut out, QUALITY).encode(&pixels, WIDTH, HEIGHT, ColorType::Rgb).context("encoding a photo")?;
    Ok(out)
}

/// The photo, with comments and fill bytes up to exactly this length.
fn padded(photo: &[u8], length: usize) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(length);
    out.extend_from_slice(photo.get(..2).context("an encoder that wrote nothing")?);
    let mut rest = length - photo.len();
    while rest > 0 {
        // What would be left for the next comment must hold that one's head.
        let take = match rest.min(COMMENT_BYTES_MAX) {
            all if rest == all => all,
            part if rest - part < 4 => part - 4,
            part => part,
        };
        // A gap of one to three bytes: fill bytes before a marker, which the format allows.
        if take < 4 {
            out.extend(std::iter::repeat_n(0xFF, take));
        } else {
            out.extend_from_slice(&[0xFF, 0xFE]);
            out.extend_from_slice(&u16::try_from(take - 2)?.to_be_bytes());
            out.extend(std::iter::repeat_n(b'.', take - 4));
        }
        rest -= take;
    }
    out.extend_from_slice(&photo[2..]);
    ensure!(out.len() == length, "a photo of {} bytes instead of {length}", out.len());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_photo_has_the_length_asked_for_and_is_another_each_time() {
        for length in [60_000, 100_000, 100_001, 100_002, 100_003, 400_000] {
            let photo = Photo::synthetic(length).unwrap();
            let whole = |serial| photo.pieces(serial).concat();
            assert_eq!((photo.length(), whole(1).len()), (length, length));
            assert_ne!(whole(1), whole(2));
            assert!(whole(1).starts_with(&[0xFF, 0xD8]) && whole(1).ends_with(&[0xFF, 0xD9]));
        }
        let error = Photo::synthetic(900).unwrap_err().to_string();
        assert!(error.contains("does not fit into 900 bytes"), "{error}");
    }
}
