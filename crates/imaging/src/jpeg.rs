//! JPEG, ITU-T T.81 Annex B: markers, their segments, and entropy-coded data in between.
//!
//! Walked strictly: each segment is passed by its length and a marker must follow it, so the thumbnail inside an Exif
//! segment, which is a JPEG of its own, is never looked into. The walk ends at the first end-of-image marker.

use std::io::{Read, Seek};

use memchr::memchr;

use crate::defect::malformed;
use crate::source::Source;
use crate::{Defect, Limits, Size};

/// Start of image, and the first byte of the marker that must follow.
pub(crate) const SIGNATURE: [u8; 3] = [0xFF, SOI, 0xFF];

pub(crate) const TEM: u8 = 0x01;
pub(crate) const DHT: u8 = 0xC4;
pub(crate) const JPG: u8 = 0xC8;
pub(crate) const DAC: u8 = 0xCC;
pub(crate) const RST0: u8 = 0xD0;
pub(crate) const RST7: u8 = 0xD7;
pub(crate) const SOI: u8 = 0xD8;
pub(crate) const EOI: u8 = 0xD9;
pub(crate) const SOS: u8 = 0xDA;
pub(crate) const DQT: u8 = 0xDB;
pub(crate) const DNL: u8 = 0xDC;
pub(crate) const DRI: u8 = 0xDD;
const DHP: u8 = 0xDE;
const EXP: u8 = 0xDF;
pub(crate) const APP0: u8 = 0xE0;
pub(crate) const APP1: u8 = 0xE1;
pub(crate) const APP2: u8 = 0xE2;
pub(crate) const APP14: u8 = 0xEE;
const APP15: u8 = 0xEF;
const COM: u8 = 0xFE;

pub(crate) fn inspect<R: Read + Seek>(source: &mut Source<R>, limits: &Limits) -> Result<Size, Defect> {
    source.skip_to(2)?;
    let mut frame = None;
    let mut scans = 0;
    let mut has_data = false;
    loop {
        match read_marker(source)? {
            EOI => break,
            SOS if frame.is_none() => return malformed("a JPEG scan stands before the frame header"),
            SOS => {
                if scans == limits.scans_max {
                    return Err(Defect::TooManyScans { scans_max: limits.scans_max });
                }
                scans += 1;
                read_scan_header(source)?;
                has_data |= pass_entropy_coded_data(source)?;
            }
            DHT | DAC | DQT | DRI | APP0..=APP15 | COM => {
                let end = read_segment_end(source)?;
                source.skip_to(end)?;
            }
            TEM => {}
            DHP | EXP => return malformed("it is a hierarchical JPEG, which no common decoder reads"),
            DNL => return malformed("the JPEG gives its height only behind its first scan"),
            // After the tables above, what is left of this range are the frame headers.
            marker @ 0xC0..=0xCF if marker != JPG => {
                if frame.is_some() {
                    return malformed("the JPEG has a second frame header");
                }
                frame = Some(read_frame_header(source, marker, limits)?);
            }
            SOI => return malformed("a second JPEG begins inside the first"),
            _ => return malformed("the JPEG has a marker where none of its kind may stand"),
        }
    }
    match frame {
        Some(size) if has_data => Ok(size),
        _ => malformed("the JPEG holds no picture: it ends before a scan with data"),
    }
}

/// Reads a marker, passing over the fill bytes it may begin with (B.1.1.2).
fn read_marker<R: Read + Seek>(source: &mut Source<R>) -> Result<u8, Defect> {
    if source.read()? != [0xFF] {
        return malformed("bytes stand between two JPEG segments");
    }
    loop {
        match source.read()? {
            [0xFF] => {}
            [marker] => return Ok(marker),
        }
    }
}

/// Reads a segment's length, which counts its own two bytes, and answers where the segment ends.
fn read_segment_end<R: Read + Seek>(source: &mut Source<R>) -> Result<u64, Defect> {
    let start = source.position();
    let length = u16::from_be_bytes(source.read()?);
    if length < 2 {
        return malformed("a JPEG segment claims to be shorter than its own length field");
    }
    source.require(u64::from(length) - 2)?;
    Ok(start + u64::from(length))
}

/// B.2.2. The pixel budget is settled here, before a byte behind the header is looked at.
fn read_frame_header<R: Read + Seek>(source: &mut Source<R>, marker: u8, limits: &Limits) -> Result<Size, Defect> {
    const WHAT: &str = "the JPEG frame header contradicts its own length";
    let end = read_segment_end(source)?;
    let [precision_bits, y1, y0, x1, x0, components] = source.read_within(end, WHAT)?;
    let size = Size::new(u16::from_be_bytes([x1, x0]).into(), u16::from_be_bytes([y1, y0]).into(), limits)?;
    let is_precise = match marker {
        0xC0 => precision_bits == 8,
        0xC3 | 0xC7 | 0xCB | 0xCF => (2..=16).contains(&precision_bits),
        _ => matches!(precision_bits, 8 | 12),
    };
    if !is_precise {
        return malformed("the JPEG frame header gives a sample precision its process does not have");
    }
    if !(1..=4).contains(&components) {
        return malformed("the JPEG has no colour component, or more than the four a photo can have");
    }
    for _ in 0..components {
        let [_, sampling, _] = source.read_within(end, WHAT)?;
        if !(1..=4).contains(&(sampling >> 4)) || !(1..=4).contains(&(sampling & 0x0F)) {
            return malformed("the JPEG frame header gives an impossible sampling factor");
        }
    }
    if source.position() == end { Ok(size) } else { malformed(WHAT) }
}

/// B.2.3.
fn read_scan_header<R: Read + Seek>(source: &mut Source<R>) -> Result<(), Defect> {
    const WHAT: &str = "a JPEG scan header contradicts its own length";
    let end = read_segment_end(source)?;
    let [components] = source.read_within(end, WHAT)?;
    if !(1..=4).contains(&components) {
        return malformed("a JPEG scan names no colour component, or more than four");
    }
    if end - source.position() != u64::from(components) * 2 + 3 {
        return malformed(WHAT);
    }
    source.skip_to(end)
}

/// Goes to the marker that ends the scan and says whether the scan had data. Stuffed zeros and restart markers belong
/// to the data, fill bytes to the marker behind them.
fn pass_entropy_coded_data<R: Read + Seek>(source: &mut Source<R>) -> Result<bool, Defect> {
    let has_data = matches!(source.peek(2)?, [first, second, ..] if [*first, *second] == [0xFF, 0] || *first != 0xFF);
    loop {
        let bytes = source.peek(2)?;
        // The last byte is kept for the next round: what a 0xFF means, the byte behind it says.
        let Some(searched) = bytes.len().checked_sub(1).filter(|searched| *searched > 0) else {
            return Err(source.truncated());
        };
        let mut at = 0;
        while let Some(found) = bytes.get(at..searched).and_then(|rest| memchr(0xFF, rest)) {
            let marker = at + found;
            match bytes[marker + 1] {
                0 | RST0..=RST7 => at = marker + 2,
                0xFF => at = marker + 1,
                _ => {
                    source.consume(marker);
                    return Ok(has_data);
                }
            }
        }
        source.consume(at.max(searched));
    }
}
