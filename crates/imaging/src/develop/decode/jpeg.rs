//! JPEG: zune-jpeg, in its strict mode; and mozjpeg's libjpeg where detail can be left out early.

mod scaled;

use std::borrow::Cow;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{Decoded, DevelopError, Picture, damaged};
use crate::develop::container::{self, Segment};
use crate::jpeg::{APP2, DAC, DHT, DRI, JPG, RST0, RST7, SOS};
use crate::{Limits, Structure};

pub(in crate::develop) const PROFILE_PREFIX: &[u8] = b"ICC_PROFILE\0";

pub(super) fn decode<'a>(photo: &'a [u8], limits: &Limits, wanted_px: u32) -> Result<Decoded<'a>, DevelopError> {
    let frame = Frame::of(photo).ok_or_else(|| damaged(&"it has no header"))?;
    frame.refuse_what_none_decodes()?;
    let colour_profile = colour_profile(photo);
    // What libjpeg cannot make of it zune-jpeg judges: a photo is refused in the words of one decoder, for one reason.
    if let Some(picture) = scaled::decode(photo, &frame, wanted_px) {
        return Ok(Decoded { picture, colour_profile });
    }
    let picture = zune(&frame.with_trap(photo)?, limits)?;
    Ok(Decoded { picture, colour_profile })
}

fn zune(photo: &[u8], limits: &Limits) -> Result<Picture, DevelopError> {
    // Strict: a photo whose data breaks off or makes no sense would else be answered half grey.
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(u16::MAX.into())
        .set_max_height(u16::MAX.into())
        .jpeg_set_max_scans(limits.scans_max as usize)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(photo), options);
    decoder.decode_headers().map_err(|error| damaged(&error))?;
    let (Some(info), Some(bytes)) = (decoder.info(), decoder.output_buffer_size()) else {
        return Err(damaged(&"it has no header"));
    };
    let mut rgb = vec![0; bytes];
    decoder.decode_into(&mut rgb).map_err(|error| damaged(&error))?;
    Picture::new(rgb, info.width.into(), info.height.into()).ok_or_else(|| damaged(&"it is not as large as it says"))
}

/// The profile in APP2, its parts put in order (ICC.1, Annex B.4).
fn colour_profile(photo: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut parts: Vec<(u8, &[u8])> = container::header_segments(photo)
        .filter(|segment| segment.marker == APP2)
        .filter_map(|segment| match segment.content.strip_prefix(PROFILE_PREFIX)? {
            [number, _of, part @ ..] => Some((*number, part)),
            _ => None,
        })
        .collect();
    parts.sort_by_key(|(number, _)| *number);
    match parts[..] {
        [] => None,
        [(_, profile)] => Some(Cow::Borrowed(profile)),
        _ => Some(Cow::Owned(parts.into_iter().flat_map(|(_, part)| part).copied().collect())),
    }
}

/// What the frame header and the first scan say.
struct Frame<'a> {
    marker: u8,
    precision_bits: u8,
    width_px: u64,
    height_px: u64,
    /// Sampling factors, across and down, of each component.
    sampling: Vec<(u64, u64)>,
    first_scan_components: usize,
    /// Of the first scan.
    data: &'a [u8],
    /// Where in the photo the first scan ends.
    data_end: usize,
    /// In minimum coded units; 0 if there are no restarts.
    restart_interval: u64,
}

impl<'a> Frame<'a> {
    fn of(photo: &'a [u8]) -> Option<Self> {
        let is_frame =
            |segment: &Segment<'_>| matches!(segment.marker, 0xC0..=0xCF) && !matches!(segment.marker, DHT | JPG | DAC);
        let frame = container::header_segments(photo).find(is_frame)?;
        let scan = container::segments(photo).find(|segment| segment.marker == SOS)?;
        let [precision_bits, y1, y0, x1, x0, _, components @ ..] = frame.content else { return None };
        Some(Self {
            marker: frame.marker,
            precision_bits: *precision_bits,
            width_px: u16::from_be_bytes([*x1, *x0]).into(),
            height_px: u16::from_be_bytes([*y1, *y0]).into(),
            sampling: components
                .as_chunks()
                .0
                .iter()
                .map(|[_, hv, _]| (u64::from(hv >> 4), u64::from(hv & 15)))
                .collect(),
            first_scan_components: usize::from(*scan.content.first()?),
            data: scan.data,
            data_end: scan.end,
            restart_interval: container::header_segments(photo)
                .filter(|segment| segment.marker == DRI)
                .filter_map(|segment| segment.content.first_chunk().copied().map(u16::from_be_bytes))
                .last()
                .unwrap_or_default()
                .into(),
        })
    }

    /// Kinds that cameras do not make, in words that help more than a decoder's.
    fn refuse_what_none_decodes(&self) -> Result<(), DevelopError> {
        let kind = match (self.marker, self.precision_bits) {
            (0xC0..=0xC2, 8) => return Ok(()),
            (0xC3 | 0xC7 | 0xCB | 0xCF, _) => "a lossless JPEG",
            (0xC9..=0xCF, _) => "an arithmetic-coded JPEG",
            (_, 12) => "a JPEG of 12 bits a sample",
            _ => "a hierarchical JPEG",
        };
        Err(DevelopError::Undecodable(format!("it is {kind}, which few programs read; export it as a baseline JPEG")))
    }

    fn is_progressive(&self) -> bool {
        self.marker == 0xC2
    }

    /// Everything is in one scan, as cameras do it.
    fn is_one_scan(&self) -> bool {
        !self.is_progressive() && self.first_scan_components == self.sampling.len()
    }

    /// Minimum coded units across and down, and how many blocks each is.
    fn units(&self) -> Units {
        let largest = |factors: fn(&(u64, u64)) -> u64| self.sampling.iter().map(factors).max().unwrap_or(1).max(1);
        let (across, down) = (largest(|(h, _)| *h), largest(|(_, v)| *v));
        let (columns, rows) = (self.width_px.div_ceil(8 * across), self.height_px.div_ceil(8 * down));
        Units { columns, rows, across, down }
    }

    /// The photo as zune-jpeg is to read it. Even in its strict mode it takes an end of image that comes too early for
    /// the end, and answers the rest of the picture grey. So another marker stands there, which it refuses to meet in
    /// the data, behind more bytes than it ever reads ahead.
    fn with_trap(&self, photo: &'a [u8]) -> Result<Cow<'a, [u8]>, DevelopError> {
        const READ_AHEAD: [u8; 16] = [0; 16];
        const RESERVED_MARKER: [u8; 2] = [0xFF, 0x02];
        if !self.is_one_scan() {
            return Ok(Cow::Borrowed(photo));
        }
        if self.restart_interval > 0 {
            // It looks for a restart behind the last unit too and would meet the trap. The restarts tell as well.
            let Units { columns, rows, .. } = self.units();
            let units = match self.sampling[..] {
                // Alone, a component's blocks are the units, whatever its sampling.
                [_] => self.width_px.div_ceil(8) * self.height_px.div_ceil(8),
                _ => columns * rows,
            };
            let expected = units.div_ceil(self.restart_interval).saturating_sub(1);
            let found = memchr::memchr_iter(0xFF, self.data)
                .filter(|at| matches!(self.data.get(at + 1), Some(RST0..=RST7)))
                .count();
            return if (found as u64) < expected {
                Err(damaged(&"it ends too early"))
            } else {
                Ok(Cow::Borrowed(photo))
            };
        }
        let (before, behind) = photo.split_at(self.data_end);
        Ok(Cow::Owned([before, &READ_AHEAD, &RESERVED_MARKER, behind].concat()))
    }
}

struct Units {
    columns: u64,
    rows: u64,
    /// Blocks of 8 by 8 in one.
    across: u64,
    down: u64,
}

/// libjpeg takes less: its picture is smaller.
pub(super) fn footprint(photo: &[u8], structure: &Structure) -> u64 {
    let Some(frame) = Frame::of(photo) else {
        // inspect() has seen the frame and a scan, so this is not reached; a guess for every kind of JPEG.
        return super::pixels(structure) * 12;
    };
    // A narrow photo with coarse sampling is padded to many times its pixels.
    let Units { columns, rows, across, down } = frame.units();
    let coefficients = if frame.is_one_scan() {
        0
    } else {
        // The whole picture as 16-bit coefficients, until its last scan.
        frame.sampling.iter().map(|(h, v)| columns * rows * h * v * 64 * 2).sum()
    };
    // A row of units of each component, 16 bits a sample, as decoded, upsampled, and two kept for the edges.
    let unit_row = columns * across * 8 * down * 8 * 2;
    let at_work = unit_row * frame.sampling.len() as u64 * 4;
    // Exif, XMP, profiles: the decoder takes copies.
    let metadata: usize = container::header_segments(photo).map(|segment| segment.content.len()).sum();
    // And one copy of the photo, for the trap.
    super::pixels(structure) * 3 + coefficients + at_work + (2 * metadata + photo.len()) as u64
}
