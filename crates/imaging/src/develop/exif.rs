//! The two facts wanted of Exif: how the photo stands and when it was taken.
//!
//! Reads two directories at most, the first and the one it points to, each once and with its entries counted: nothing
//! an Exif block says can make it walk in circles. What is odd is as if it were absent.

use super::container::{self, Segment};
use crate::ImageType;
use crate::jpeg::APP1;

/// What stands before the TIFF structure in a JPEG's APP1.
pub(super) const JPEG_PREFIX: &[u8] = b"Exif\0\0";

const ORIENTATION: u16 = 0x0112;
const EXIF_DIRECTORY: u16 = 0x8769;
const DATE_TIME_ORIGINAL: u16 = 0x9003;
const OFFSET_TIME_ORIGINAL: u16 = 0x9011;
const SUB_SEC_TIME_ORIGINAL: u16 = 0x9291;
/// Cameras write some fifty. A block is 64 KiB in a JPEG, so there is no room for many more.
const ENTRIES_MAX: usize = 512;

/// What a photo says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exif {
    /// 1 to 8.
    pub(super) orientation: u8,
    pub(super) taken_at: Option<String>,
}

impl Exif {
    /// By the photo's Exif block; upright and without a time if there is none.
    pub(super) fn of(photo: &[u8], image_type: ImageType) -> Self {
        block(photo, image_type).map_or(Self { orientation: 1, taken_at: None }, Self::read)
    }

    /// Of a TIFF structure.
    pub(super) fn read(block: &[u8]) -> Self {
        let tiff = Tiff::open(block);
        let orientation = tiff.as_ref().and_then(Tiff::orientation).unwrap_or(1);
        let taken_at = tiff.as_ref().and_then(Tiff::taken_at);
        Self { orientation, taken_at }
    }

    /// Width and height as a viewer shows them.
    pub(super) fn upright_size(&self, width_px: u32, height_px: u32) -> (u32, u32) {
        if self.orientation >= 5 { (height_px, width_px) } else { (width_px, height_px) }
    }
}

/// The smallest TIFF structure that says how a picture stands.
pub(super) fn orientation_alone(orientation: u8) -> Vec<u8> {
    let mut block = b"MM\0\x2A\0\0\0\x08\0\x01".to_vec();
    block.extend(ORIENTATION.to_be_bytes());
    block.extend([0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0]);
    block
}

/// Where the photo keeps its Exif; the first counts.
fn block(photo: &[u8], image_type: ImageType) -> Option<&[u8]> {
    match image_type {
        ImageType::Jpeg => container::header_segments(photo).find_map(|Segment { marker, content, .. }| {
            (marker == APP1).then(|| content.strip_prefix(JPEG_PREFIX)).flatten()
        }),
        ImageType::Png => container::png_chunks(photo).find(|chunk| chunk.kind == *b"eXIf").map(|chunk| chunk.content),
        ImageType::WebP => container::webp_chunks(photo)
            .find(|chunk| chunk.kind == *b"EXIF")
            // Some writers leave JPEG's prefix on.
            .map(|chunk| chunk.content.strip_prefix(JPEG_PREFIX).unwrap_or(chunk.content)),
        ImageType::Heic => None,
    }
}

struct Tiff<'a> {
    block: &'a [u8],
    is_big_endian: bool,
}

/// A directory's entry: its type, its count, and the four bytes that hold its value or say where it is.
struct Entry {
    kind: u16,
    count: usize,
    value: [u8; 4],
}

impl<'a> Tiff<'a> {
    fn open(block: &'a [u8]) -> Option<Self> {
        let is_big_endian = match block.get(..4)? {
            b"MM\0\x2A" => true,
            b"II\x2A\0" => false,
            _ => return None,
        };
        Some(Self { block, is_big_endian })
    }

    fn u16(&self, bytes: [u8; 2]) -> u16 {
        if self.is_big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    fn u32(&self, bytes: [u8; 4]) -> usize {
        let value = if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        usize::try_from(value).unwrap_or(usize::MAX)
    }

    fn bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.block.get(at..)?.first_chunk().copied()
    }

    fn first_directory(&self) -> Option<usize> {
        Some(self.u32(self.bytes(4)?))
    }

    fn entry(&self, directory: usize, wanted: u16) -> Option<Entry> {
        let entries = usize::from(self.u16(self.bytes(directory)?)).min(ENTRIES_MAX);
        (0..entries).find_map(|index| {
            let at = directory.checked_add(2 + index * 12)?;
            let [t0, t1, k0, k1, c0, c1, c2, c3, value @ ..] = self.bytes::<12>(at)?;
            let count = self.u32([c0, c1, c2, c3]);
            (self.u16([t0, t1]) == wanted).then(|| Entry { kind: self.u16([k0, k1]), count, value })
        })
    }

    fn orientation(&self) -> Option<u8> {
        const SHORT: u16 = 3;
        let Entry { kind: SHORT, value: [v0, v1, ..], .. } = self.entry(self.first_directory()?, ORIENTATION)? else {
            return None;
        };
        u8::try_from(self.u16([v0, v1])).ok().filter(|orientation| (1..=8).contains(orientation))
    }

    fn text(&self, directory: usize, tag: u16) -> Option<String> {
        const ASCII: u16 = 2;
        const LONGEST: usize = 32;
        let entry = self.entry(directory, tag).filter(|entry| entry.kind == ASCII && entry.count <= LONGEST)?;
        let bytes = match entry.value.get(..entry.count) {
            Some(inside) => inside,
            None => self.block.get(self.u32(entry.value)..)?.get(..entry.count)?,
        };
        let text = bytes.split(|byte| *byte == 0).next()?;
        str::from_utf8(text).ok().map(|text| text.trim().to_owned())
    }

    fn taken_at(&self) -> Option<String> {
        const LONG: u16 = 4;
        let pointer = self.entry(self.first_directory()?, EXIF_DIRECTORY).filter(|entry| entry.kind == LONG)?;
        let directory = self.u32(pointer.value);
        let mut taken_at = iso_8601(&self.text(directory, DATE_TIME_ORIGINAL)?)?;
        if let Some(fraction) = self.text(directory, SUB_SEC_TIME_ORIGINAL).filter(|text| is_digits(text)) {
            taken_at.push('.');
            taken_at.extend(fraction.chars().take(9));
        }
        taken_at.extend(self.text(directory, OFFSET_TIME_ORIGINAL).filter(|text| is_offset(text)));
        Some(taken_at)
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `2026:11:23 22:27:59` as ISO 8601, if it is a time: cameras without a clock write zeros or blanks.
fn iso_8601(text: &str) -> Option<String> {
    let (date, time) = text.split_once(' ')?;
    let [year, month, day] = numbers(date)?;
    let [hour, minute, second] = numbers(time)?;
    let is_time = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    is_time.then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"))
}

fn numbers(text: &str) -> Option<[u16; 3]> {
    let mut parts = text.split(':').map(|part| is_digits(part).then(|| part.parse().ok()).flatten());
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// `+02:00`.
fn is_offset(text: &str) -> bool {
    let [b'+' | b'-', h1, h0, b':', m1, m0] = text.as_bytes() else { return false };
    [h1, h0, m1, m0].iter().all(|byte| byte.is_ascii_digit()) && *h1 <= b'1' && *m1 <= b'5'
}
