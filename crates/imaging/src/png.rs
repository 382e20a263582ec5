//! PNG, Portable Network Graphics Specification, Third Edition: a signature and chunks, each with its checksum.
//!
//! Every checksum is computed, so a PNG that passes here was transferred without a flipped bit. Bytes behind the last
//! chunk are not looked at.

use std::io::{Read, Seek};

use crate::defect::malformed;
use crate::source::Source;
use crate::{Defect, Limits, Size};

pub(crate) const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// Lengths and dimensions are "PNG four-byte unsigned integers": 31 bits.
const INTEGER_MAX: u32 = (1 << 31) - 1;
const PALETTE: u8 = 3;

pub(crate) fn inspect<R: Read + Seek>(source: &mut Source<R>, limits: &Limits) -> Result<Size, Defect> {
    source.skip_to(SIGNATURE.len() as u64)?;
    let (size, colour_type) = read_header(source, limits)?;
    let mut has_palette = false;
    let mut data = Data::NotYet;
    let mut data_bytes = 0;
    let mut frames_declared = None;
    let mut frames = 0;
    loop {
        let mut chunk = Chunk::open(source)?;
        if chunk.kind != *b"IDAT" && data == Data::Here {
            data = Data::Over;
        }
        match &chunk.kind {
            b"IDAT" => {
                if data == Data::Over {
                    return malformed("the PNG's image data is interrupted by another chunk");
                }
                if colour_type == PALETTE && !has_palette {
                    return malformed("the PNG needs a palette before its image data");
                }
                data = Data::Here;
                data_bytes += u64::from(chunk.left_bytes);
            }
            b"PLTE" => {
                let bytes = chunk.left_bytes;
                if has_palette || data != Data::NotYet || !bytes.is_multiple_of(3) || !(3..=768).contains(&bytes) {
                    return malformed("the PNG's palette is of an impossible size, repeated, or late");
                }
                has_palette = true;
            }
            b"IEND" => {
                if chunk.left_bytes != 0 {
                    return malformed("the PNG's last chunk is not empty");
                }
                chunk.close(source)?;
                break;
            }
            b"acTL" => {
                let [f3, f2, f1, f0, ..] = chunk.read::<8, _>(source)?;
                let declared = u32::from_be_bytes([f3, f2, f1, f0]);
                if declared == 0 || data != Data::NotYet || frames_declared.is_some() {
                    return malformed("the PNG's animation header is empty, repeated, or late");
                }
                limits.hold_frames(declared)?;
                frames_declared = Some(declared);
            }
            b"fcTL" => {
                frames += 1;
                limits.hold_frames(frames)?;
                check_frame(chunk.read(source)?, size)?;
            }
            [first, ..] if first.is_ascii_uppercase() => {
                return malformed("the PNG has a chunk that must be understood and is unknown");
            }
            _ => {}
        }
        chunk.close(source)?;
    }
    if data_bytes == 0 {
        return malformed("the PNG holds no image data");
    }
    if frames_declared.is_some_and(|declared| declared != frames) {
        return malformed("the animated PNG has not the number of frames it declares");
    }
    Ok(size)
}

/// Image data must stand in one run of chunks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Data {
    NotYet,
    Here,
    Over,
}

/// A chunk being read. [`Chunk::close`] passes over what was not read and compares the checksum.
struct Chunk {
    kind: [u8; 4],
    left_bytes: u32,
    checksum: crc32fast::Hasher,
}

impl Chunk {
    fn open<R: Read + Seek>(source: &mut Source<R>) -> Result<Self, Defect> {
        let left_bytes = u32::from_be_bytes(source.read()?);
        if left_bytes > INTEGER_MAX {
            return malformed("a PNG chunk claims more than 2 GiB");
        }
        let kind: [u8; 4] = source.read()?;
        if !kind.iter().all(u8::is_ascii_alphabetic) {
            return malformed("a PNG chunk has a type that is not four letters");
        }
        // With its checksum: better to learn here that the end is missing than after summing up all before it.
        source.require(u64::from(left_bytes) + 4)?;
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&kind);
        Ok(Self { kind, left_bytes, checksum })
    }

    /// Reads the chunk's content, which is of this size always.
    fn read<const N: usize, R: Read + Seek>(&mut self, source: &mut Source<R>) -> Result<[u8; N], Defect> {
        if self.left_bytes as usize != N {
            return malformed("a PNG chunk is not of the size its type has");
        }
        let bytes = source.read()?;
        self.checksum.update(&bytes);
        self.left_bytes = 0;
        Ok(bytes)
    }

    fn close<R: Read + Seek>(mut self, source: &mut Source<R>) -> Result<(), Defect> {
        let mut left_bytes = self.left_bytes as usize;
        while left_bytes > 0 {
            let shown = source.peek(1)?;
            if shown.is_empty() {
                return Err(source.truncated());
            }
            let taken = shown.get(..left_bytes).unwrap_or(shown);
            self.checksum.update(taken);
            let taken_bytes = taken.len();
            left_bytes -= taken_bytes;
            source.consume(taken_bytes);
        }
        if u32::from_be_bytes(source.read()?) == self.checksum.finalize() {
            Ok(())
        } else {
            malformed("a PNG chunk has not the content its checksum was made from")
        }
    }
}

/// 11.2.1: must be first. The pixel budget is settled here. Answers the colour type too.
fn read_header<R: Read + Seek>(source: &mut Source<R>, limits: &Limits) -> Result<(Size, u8), Defect> {
    let mut chunk = Chunk::open(source)?;
    if chunk.kind != *b"IHDR" {
        return malformed("the PNG does not begin with its header");
    }
    let [w3, w2, w1, w0, h3, h2, h1, h0, bit_depth, colour_type, compression, filter, interlace] =
        chunk.read(source)?;
    chunk.close(source)?;
    let (width_px, height_px) = (u32::from_be_bytes([w3, w2, w1, w0]), u32::from_be_bytes([h3, h2, h1, h0]));
    if width_px > INTEGER_MAX || height_px > INTEGER_MAX {
        return malformed("the PNG header gives an impossible width or height");
    }
    let has_depth = match colour_type {
        0 => matches!(bit_depth, 1 | 2 | 4 | 8 | 16),
        PALETTE => matches!(bit_depth, 1 | 2 | 4 | 8),
        2 | 4 | 6 => matches!(bit_depth, 8 | 16),
        _ => false,
    };
    if !has_depth || compression != 0 || filter != 0 || interlace > 1 {
        return malformed("the PNG header combines values that do not go together");
    }
    Ok((Size::new(width_px, height_px, limits)?, colour_type))
}

/// 11.3.6.2: a frame of an animation lies within the picture.
fn check_frame(control: [u8; 26], picture: Size) -> Result<(), Defect> {
    let [_, _, _, _, w3, w2, w1, w0, h3, h2, h1, h0, x3, x2, x1, x0, y3, y2, y1, y0, ..] = control;
    let fits = |offset: [u8; 4], extent: [u8; 4], whole: u32| {
        let extent = u32::from_be_bytes(extent);
        extent > 0 && u32::from_be_bytes(offset).checked_add(extent).is_some_and(|end| end <= whole)
    };
    if fits([x3, x2, x1, x0], [w3, w2, w1, w0], picture.width_px)
        && fits([y3, y2, y1, y0], [h3, h2, h1, h0], picture.height_px)
    {
        Ok(())
    } else {
        malformed("a frame of the animated PNG lies outside its picture")
    }
}
