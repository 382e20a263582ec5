//! libjpeg, as mozjpeg has it, which decodes at 1/2, 1/4 or 1/8: most of a large photo's work is never done.
//!
//! **Promises** none rather than a picture that is grey from where its data breaks off: libjpeg itself goes on where data is
//! missing, and only warns. Where it is when the last row is out tells. Data that makes no sense and leaves it in step is
//! not heard: whether a photo is whole, zune-jpeg says.
//! **Leaves** to zune-jpeg what gains nothing here, what is not in one scan without restarts, and every complaint.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use mozjpeg::{ColorSpace, Decompress};

use super::Frame;
use crate::develop::picture::Picture;

pub(super) fn decode(photo: &[u8], frame: &Frame<'_>, wanted_px: u32) -> Option<Picture> {
    let eighths = eighths(frame, wanted_px)?;
    // Between two restarts data may be missing, and the end be where it should.
    if !frame.is_one_scan() || frame.restart_interval > 0 {
        return None;
    }
    // Its errors are panics that ask no hook.
    catch_unwind(AssertUnwindSafe(|| decompress(photo, frame, eighths).ok().flatten())).ok().flatten()
}

fn decompress(photo: &[u8], frame: &Frame<'_>, eighths: u8) -> io::Result<Option<Picture>> {
    let is_at_end = Cell::new(false);
    let mut decoder = Decompress::builder().from_reader(Scan::of(photo, frame, &is_at_end))?;
    // Its colours are left to whoever obeys their profile.
    if matches!(decoder.color_space(), ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK) {
        return Ok(None);
    }
    decoder.scale(eighths);
    let mut rows = decoder.rgb()?;
    let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
    let (width_px, height_px) = (side(rows.width()), side(rows.height()));
    let rgb = rows.read_scanlines::<u8>()?;
    Ok(if is_at_end.get() { Picture::new(rgb, width_px, height_px) } else { None })
}

/// Of the photo's sides, with which the picture is no smaller than wanted. It could do any number of them; but 4 are
/// faster than 3.
fn eighths(frame: &Frame<'_>, wanted_px: u32) -> Option<u8> {
    let longest = frame.width_px.max(frame.height_px);
    [1, 2, 4].into_iter().find(|eighths| (longest * u64::from(*eighths)).div_ceil(8) >= u64::from(wanted_px))
}

/// A photo up to the end of its scan, handed out so that it shows where the decoder is. To want more than there is, is an
/// error.
struct Scan<'a> {
    parts: [&'a [u8]; 3],
    /// Whether it has come to the scan's last bytes.
    is_at_end: &'a Cell<bool>,
}

impl<'a> Scan<'a> {
    /// More than a unit's data that makes sense, and than what an encoder pads with.
    const LAST_BYTES: usize = 64;
    /// More than the decoder ever reads ahead.
    const BEHIND: &'static [u8] = &[0; 16];

    fn of(photo: &'a [u8], frame: &Frame<'_>, is_at_end: &'a Cell<bool>) -> Self {
        let scan = photo.get(..frame.data_end).unwrap_or(photo);
        let (before, last) = scan.split_at(scan.len() - frame.data.len().min(Self::LAST_BYTES));
        Self { parts: [before, last, Self::BEHIND], is_at_end }
    }
}

impl BufRead for Scan<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let Some(at) = self.parts.iter().position(|part| !part.is_empty()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        self.is_at_end.set(at > 0);
        Ok(self.parts[at])
    }

    fn consume(&mut self, bytes: usize) {
        if let Some(part) = self.parts.iter_mut().find(|part| !part.is_empty()) {
            *part = part.get(bytes..).unwrap_or_default();
        }
    }
}

impl Read for Scan<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(target)?;
        self.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

    use super::{Frame, decode};

    /// Texture and grain, so that there is data for every unit.
    fn jpeg(width: u16, height: u16, set: impl Fn(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
        let mut state = 1_u32;
        let mut grain = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_le_bytes()[3] / 2
        };
        let rgb: Vec<u8> = (0..usize::from(width) * usize::from(height) * 3).map(|_| grain()).collect();
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 85);
        set(&mut encoder);
        encoder.encode(&rgb, width, height, ColorType::Rgb).unwrap();
        bytes
    }

    fn sides(photo: &[u8], wanted_px: u32) -> Option<(u32, u32)> {
        decode(photo, &Frame::of(photo)?, wanted_px).map(|picture| (picture.width_px(), picture.height_px()))
    }

    #[test]
    fn a_whole_photo_is_made_as_small_as_is_wanted() {
        for sampling in [SamplingFactor::F_1_1, SamplingFactor::F_2_1, SamplingFactor::F_2_2, SamplingFactor::F_1_2] {
            let photo = jpeg(803, 597, |encoder| encoder.set_sampling_factor(sampling));
            for (wanted_px, sides_px) in [(1, (101, 75)), (101, (101, 75)), (102, (201, 150)), (300, (402, 299))] {
                assert_eq!(sides(&photo, wanted_px), Some(sides_px), "{sampling:?}, {wanted_px}");
            }
            assert_eq!(sides(&photo, 403), None, "{sampling:?}");
        }
        for (width, height) in [(1, 1), (8, 8), (9, 7), (64, 16), (3, 700)] {
            assert!(sides(&jpeg(width, height, |_| {}), 1).is_some(), "{width}x{height}");
        }
    }

    #[test]
    fn what_is_not_in_one_scan_is_left_to_others() {
        assert_eq!(sides(&jpeg(320, 240, |encoder| encoder.set_progressive(true)), 40), None);
        assert_eq!(sides(&jpeg(320, 240, |encoder| encoder.set_restart_interval(4)), 40), None);
        assert_eq!(sides(&jpeg(320, 240, |encoder| encoder.set_sampling_factor(SamplingFactor::F_4_1)), 40), None);
    }

    #[test]
    fn a_photo_whose_data_is_cut_is_none() {
        let photo = jpeg(320, 240, |_| {});
        let frame = Frame::of(&photo).unwrap();
        let data_at = frame.data_end - frame.data.len();
        for cut in (data_at..frame.data_end - 40).step_by(97) {
            let torn = [&photo[..cut], &[0xFF, 0xD9]].concat();
            assert_eq!(sides(&torn, 40), None, "cut at {cut} of {}", frame.data_end);
        }
        // Some missing in the middle, some that is no picture's, some there twice.
        let middle = data_at + frame.data.len() / 2;
        let missing = [&photo[..middle], &photo[middle + 500..]].concat();
        let scribbled = [&photo[..middle], &[0xFF, 0x00].repeat(300), &photo[middle + 600..]].concat();
        let doubled = [&photo[..middle], &photo[middle - 500..]].concat();
        for (name, torn) in [("missing", missing), ("scribbled", scribbled), ("doubled", doubled)] {
            assert_eq!(sides(&torn, 40), None, "{name}");
        }
    }
}
