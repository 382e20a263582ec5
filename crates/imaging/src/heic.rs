//! HEIC, ISO/IEC 23008-12 over the boxes of ISO/IEC 14496-12.
//!
//! The walk goes down three fixed levels and no further: `meta`, therein `iprp`, therein `ipco`. HEIC has no end mark,
//! so completeness rests on two things: every top-level box lies inside the file, and so does every extent that the
//! item locations (`iloc`) name. A box cut off exactly at its border is noticed only if a stored item is in it.

use std::io::{Read, Seek};

use crate::defect::malformed;
use crate::source::Source;
use crate::{Defect, Limits, Size};

/// Brands of HEVC-coded images and sequences.
const HEVC_BRANDS: [&[u8]; 6] = [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"];
/// Brands of the container alone, whatever the coding.
const STRUCTURAL_BRANDS: [&[u8]; 2] = [b"mif1", b"msf1"];
const WHAT: &str = "a HEIC box contradicts the lengths around it";

/// An `ftyp` box whose major brand is an HEVC one, or a structural one beside a compatible HEVC one.
pub(crate) fn is_signature(head: &[u8]) -> bool {
    let Some(([s0, s1, s2, s3, b'f', b't', b'y', b'p'], brands)) = head.split_first_chunk::<8>() else {
        return false;
    };
    let Some((major, compatible)) = brands.split_first_chunk::<4>() else {
        return false;
    };
    let box_bytes = u32::from_be_bytes([*s0, *s1, *s2, *s3]) as usize;
    if box_bytes < 16 {
        return false;
    }
    // Box header, major brand and its version take 16 bytes, the compatible brands the rest.
    let compatible = compatible.get(4..).unwrap_or_default();
    let compatible = compatible.get(..box_bytes - 16).unwrap_or(compatible);
    HEVC_BRANDS.contains(&major.as_slice())
        || (STRUCTURAL_BRANDS.contains(&major.as_slice())
            && compatible.chunks_exact(4).any(|brand| HEVC_BRANDS.contains(&brand)))
}

pub(crate) fn inspect<R: Read + Seek>(source: &mut Source<R>, limits: &Limits) -> Result<Size, Defect> {
    let mut meta = None;
    let mut has_media_data = false;
    while source.position() < source.length_bytes() {
        let top = BoxHeader::read_top(source)?;
        match &top.kind {
            b"meta" if meta.is_some() => return malformed("the HEIC describes its picture twice"),
            b"meta" => meta = Some(Meta::read(source, top.end, limits)?),
            b"mdat" => has_media_data = true,
            _ => {}
        }
        source.skip_to(top.end)?;
    }
    // Where the description stands last, its absence is how a cut shows.
    let meta = meta.ok_or_else(|| source.truncated())?;
    let Some(size) = meta.size else {
        return malformed("the HEIC does not say how large its picture is");
    };
    if meta.extents == 0 {
        return malformed("the HEIC does not say where its picture is");
    }
    if meta.inner_data_end > meta.inner_data_bytes.unwrap_or(0) {
        return malformed("the HEIC names data that its description does not hold");
    }
    if !has_media_data && meta.inner_data_bytes.is_none() {
        return Err(source.truncated());
    }
    Ok(size)
}

struct BoxHeader {
    kind: [u8; 4],
    end: u64,
}

impl BoxHeader {
    /// A box of the file itself, which may reach to the file's end by a length of 0.
    fn read_top<R: Read + Seek>(source: &mut Source<R>) -> Result<Self, Defect> {
        let start = source.position();
        let [s0, s1, s2, s3, k0, k1, k2, k3] = source.read()?;
        let length = match u32::from_be_bytes([s0, s1, s2, s3]) {
            0 => source.length_bytes().saturating_sub(start),
            1 => u64::from_be_bytes(source.read()?),
            length => length.into(),
        };
        let end = start.saturating_add(length);
        let Some(content_bytes) = end.checked_sub(source.position()) else {
            return malformed("a HEIC box claims to be shorter than its own header");
        };
        source.require(content_bytes)?;
        Ok(Self { kind: [k0, k1, k2, k3], end })
    }

    /// A box in another, which ends at `parent_end`.
    fn read_inner<R: Read + Seek>(source: &mut Source<R>, parent_end: u64) -> Result<Self, Defect> {
        let start = source.position();
        let [s0, s1, s2, s3, k0, k1, k2, k3] = source.read_within(parent_end, WHAT)?;
        let length = match u32::from_be_bytes([s0, s1, s2, s3]) {
            1 => u64::from_be_bytes(source.read_within(parent_end, WHAT)?),
            length => length.into(),
        };
        let end = start.saturating_add(length);
        if end < source.position() || end > parent_end {
            return malformed(WHAT);
        }
        Ok(Self { kind: [k0, k1, k2, k3], end })
    }
}

/// What the `meta` box says that matters here.
#[derive(Default)]
struct Meta {
    /// The largest of the image sizes: tiles and thumbnails have theirs too.
    size: Option<Size>,
    extents: u64,
    /// How far into the inner data (`idat`) the extents reach that lie there.
    inner_data_end: u64,
    inner_data_bytes: Option<u64>,
}

impl Meta {
    fn read<R: Read + Seek>(source: &mut Source<R>, end: u64, limits: &Limits) -> Result<Self, Defect> {
        let mut meta = Self::default();
        let _version_and_flags = source.read_within::<4>(end, WHAT)?;
        while source.position() < end {
            let inner = BoxHeader::read_inner(source, end)?;
            match &inner.kind {
                b"iprp" => meta.read_properties(source, inner.end, limits)?,
                b"iloc" => meta.read_locations(source, inner.end)?,
                b"idat" => meta.inner_data_bytes = Some(inner.end - source.position()),
                _ => {}
            }
            source.skip_to(inner.end)?;
        }
        Ok(meta)
    }

    /// Finds the image sizes, `ispe`, in the container of properties, `ipco`.
    fn read_properties<R: Read + Seek>(
        &mut self,
        source: &mut Source<R>,
        end: u64,
        limits: &Limits,
    ) -> Result<(), Defect> {
        while source.position() < end {
            let container = BoxHeader::read_inner(source, end)?;
            while container.kind == *b"ipco" && source.position() < container.end {
                let property = BoxHeader::read_inner(source, container.end)?;
                if property.kind == *b"ispe" {
                    let [_, _, _, _, w3, w2, w1, w0, h3, h2, h1, h0] = source.read_within(property.end, WHAT)?;
                    let (width_px, height_px) =
                        (u32::from_be_bytes([w3, w2, w1, w0]), u32::from_be_bytes([h3, h2, h1, h0]));
                    let size = Size::new(width_px, height_px, limits)?;
                    self.size = self.size.into_iter().chain([size]).max_by_key(|size| size.pixels());
                }
                source.skip_to(property.end)?;
            }
            source.skip_to(container.end)?;
        }
        Ok(())
    }

    /// ISO/IEC 14496-12, 8.11.3: for each item its extents, in fields whose widths stand before.
    fn read_locations<R: Read + Seek>(&mut self, source: &mut Source<R>, end: u64) -> Result<(), Defect> {
        let [version, _, _, _, offset_and_length, base_and_index] = source.read_within(end, WHAT)?;
        let offset_bytes = FieldWidth::new(offset_and_length >> 4)?;
        let length_bytes = FieldWidth::new(offset_and_length & 0x0F)?;
        let base_bytes = FieldWidth::new(base_and_index >> 4)?;
        let index_bytes = FieldWidth::new(if version == 0 { 0 } else { base_and_index & 0x0F })?;
        let id_bytes = match version {
            0 | 1 => FieldWidth::Two,
            2 => FieldWidth::Four,
            _ => return malformed("the HEIC's item locations are of an unknown version"),
        };
        let items = id_bytes.read(source, end)?;
        for _ in 0..items {
            id_bytes.read(source, end)?;
            let method = if version == 0 { 0 } else { FieldWidth::Two.read(source, end)? & 0x0F };
            let _data_reference = FieldWidth::Two.read(source, end)?;
            let base = base_bytes.read(source, end)?;
            let mut extents = FieldWidth::Two.read(source, end)?;
            // Extents that take no bytes are all alike; one speaks for all, lest a small box cost billions of rounds.
            if [index_bytes, offset_bytes, length_bytes] == [FieldWidth::Zero; 3] {
                extents = extents.min(1);
            }
            for _ in 0..extents {
                index_bytes.read(source, end)?;
                let offset = base.saturating_add(offset_bytes.read(source, end)?);
                let extent_end = offset.saturating_add(length_bytes.read(source, end)?);
                self.add_extent(source, method, extent_end)?;
            }
        }
        Ok(())
    }

    fn add_extent<R: Read + Seek>(&mut self, source: &Source<R>, method: u64, end: u64) -> Result<(), Defect> {
        self.extents = self.extents.saturating_add(1);
        match method {
            0 if end > source.length_bytes() => Err(source.truncated()),
            1 => {
                self.inner_data_end = self.inner_data_end.max(end);
                Ok(())
            }
            // In the file and inside it, or (2) in another item, whose own extents are looked at.
            _ => Ok(()),
        }
    }
}

/// The width of a number in the item locations.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FieldWidth {
    Zero,
    Two,
    Four,
    Eight,
}

impl FieldWidth {
    fn new(bytes: u8) -> Result<Self, Defect> {
        match bytes {
            0 => Ok(Self::Zero),
            4 => Ok(Self::Four),
            8 => Ok(Self::Eight),
            _ => malformed("the HEIC's item locations have fields of an impossible width"),
        }
    }

    fn read<R: Read + Seek>(self, source: &mut Source<R>, end: u64) -> Result<u64, Defect> {
        Ok(match self {
            Self::Zero => 0,
            Self::Two => u16::from_be_bytes(source.read_within(end, WHAT)?).into(),
            Self::Four => u32::from_be_bytes(source.read_within(end, WHAT)?).into(),
            Self::Eight => u64::from_be_bytes(source.read_within(end, WHAT)?),
        })
    }
}
