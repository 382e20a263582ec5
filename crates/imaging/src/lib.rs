//! What a photo is, told by its bytes, whether it is all there, and what is shown of it.
//!
//! **Owns** the four formats Filmgate takes (JPEG, PNG, WebP, HEIC) as far as their containers go: markers, chunks and
//! boxes. [`sniff`] names the format from the first bytes; [`inspect`] walks the whole photo and either answers its
//! [`Structure`] or names the [`Defect`] in words a person can act on. And, apart from that, the way from a photo to
//! its derivatives and signs ([`develop`]) and to a copy without metadata ([`strip`]).
//!
//! **Promises**
//! - A file name or a declared content type never counts, the bytes alone do.
//! - A photo that was cut short is refused. JPEG, PNG and WebP must reach their own end, in HEIC every stored item must
//!   lie inside the file. Bytes *after* that end are accepted: phones append depth maps, videos and second pictures.
//! - No input panics or overflows. [`inspect`] takes one buffer of 32 KiB and time linear in the length of the source;
//!   a budget ([`Limits`]) ends the walk as soon as it is passed: pixels from the header, before anything behind it.
//! - [`inspect`] and [`strip`] do not decode: compressed data is passed over, never expanded. An accepted photo may
//!   still not decode; [`develop`], [`thumbnail`] and [`verify`] find out. These are for a process of its own, under a
//!   limit by [`memory_bytes`]: decoders are where hostile photos do their work.
//! - No file system and no network: it reads what it is handed.
//!
//! **Leaves to others** processes and their limits, names, where the bytes live.
//!
//! Formats are as written in ITU-T T.81 (JPEG), Portable Network Graphics (PNG) Specification, Third Edition, RFC 9649
//! (WebP), ISO/IEC 23008-12 and ISO/IEC 14496-12 (HEIC).
//!
//! A fuzz target is one line: `let _ = inspect(std::io::Cursor::new(data), &Limits::default());`

mod defect;
mod develop;
mod heic;
mod jpeg;
mod png;
mod source;
#[cfg(test)]
mod tests;
mod webp;

use std::io::{Read, Seek};

pub use defect::Defect;
pub use develop::{
    Derivative, DerivativeSize, DevelopError, Developed, Recipe, develop, memory_bytes, strip, thumbnail, verify,
};
use source::Source;

/// As many leading bytes as [`sniff`] ever looks at; handing it fewer may hide a HEIC whose brand stands late.
pub const HEAD_BYTES: usize = 256;

/// A format that Filmgate takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImageType {
    /// JPEG, ITU-T T.81.
    Jpeg,
    /// PNG, animated ones (APNG) too.
    Png,
    /// WebP: lossy, lossless, extended.
    WebP,
    /// HEIF with HEVC-coded images, as phones take them.
    Heic,
}

impl ImageType {
    const ALL: [Self; 4] = [Self::Jpeg, Self::Png, Self::WebP, Self::Heic];

    /// The registered media type, such as `image/jpeg`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::WebP => "image/webp",
            Self::Heic => "image/heic",
        }
    }

    /// The customary file extension, without a dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::WebP => "webp",
            Self::Heic => "heic",
        }
    }

    /// The format of a media type, in any case and with any parameters; none for a type that Filmgate does not take.
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        Self::ALL.into_iter().find(|image_type| image_type.content_type().eq_ignore_ascii_case(essence))
    }
}

/// The budget a photo is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most pixels, width times height, of the photo or of an animation's canvas.
    pub pixels_max: u64,
    /// Most scans of a JPEG. Each scan of a progressive JPEG makes a decoder walk the whole picture again.
    pub scans_max: u32,
    /// Most frames of an animated PNG or WebP.
    pub frames_max: u32,
}

impl Default for Limits {
    /// 64 megapixels, 100 scans, 16 frames.
    fn default() -> Self {
        Self { pixels_max: 64_000_000, scans_max: 100, frames_max: 16 }
    }
}

impl Limits {
    fn hold_frames(&self, frames: u32) -> Result<(), Defect> {
        if frames > self.frames_max {
            return Err(Defect::TooManyFrames { frames_max: self.frames_max });
        }
        Ok(())
    }
}

/// What the structure of a whole photo says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Structure {
    /// Its format, by its bytes.
    pub image_type: ImageType,
    /// Width as stored, before any Exif or HEIC rotation.
    pub width_px: u32,
    /// Height as stored, before any Exif or HEIC rotation.
    pub height_px: u32,
}

/// Width and height that are not zero and within the budget; [`Size::new`] is the only way to one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Size {
    width_px: u32,
    height_px: u32,
}

impl Size {
    fn new(width_px: u32, height_px: u32, limits: &Limits) -> Result<Self, Defect> {
        let size = Self { width_px, height_px };
        let pixels = size.pixels();
        if pixels == 0 {
            return defect::malformed("its header gives a width or height of 0");
        }
        if pixels > limits.pixels_max {
            return Err(Defect::TooManyPixels { pixels, pixels_max: limits.pixels_max });
        }
        Ok(size)
    }

    fn pixels(self) -> u64 {
        u64::from(self.width_px) * u64::from(self.height_px)
    }
}

/// Names the format from the first bytes of a file ([`HEAD_BYTES`] suffice), none if it is no photo Filmgate takes.
///
/// It is the same look that [`inspect`] takes first; it says nothing about the rest of the file.
pub fn sniff(head: &[u8]) -> Option<ImageType> {
    let head = head.get(..HEAD_BYTES).unwrap_or(head);
    if head.starts_with(&jpeg::SIGNATURE) {
        Some(ImageType::Jpeg)
    } else if head.starts_with(&png::SIGNATURE) {
        Some(ImageType::Png)
    } else if webp::is_signature(head) {
        Some(ImageType::WebP)
    } else if heic::is_signature(head) {
        Some(ImageType::Heic)
    } else {
        None
    }
}

/// Walks the photo in `source` from its first byte to its end and answers its structure, or the first defect met.
///
/// It begins at the start of the source wherever its cursor stands, does its own buffering, and leaves the cursor
/// anywhere. It blocks as the source does.
pub fn inspect<R: Read + Seek>(source: R, limits: &Limits) -> Result<Structure, Defect> {
    let mut source = Source::open(source)?;
    if source.length_bytes() == 0 {
        return Err(Defect::Empty);
    }
    let image_type = sniff(source.peek(HEAD_BYTES)?).ok_or(Defect::NotAnImage)?;
    let size = match image_type {
        ImageType::Jpeg => jpeg::inspect(&mut source, limits),
        ImageType::Png => png::inspect(&mut source, limits),
        ImageType::WebP => webp::inspect(&mut source, limits),
        ImageType::Heic => heic::inspect(&mut source, limits),
    }?;
    Ok(Structure { image_type, width_px: size.width_px, height_px: size.height_px })
}
