//! From a photo's bytes to what is shown of it: upright derivatives, a placeholder, and quality signs.
//!
//! **Promises** that derivatives stand upright and carry no metadata; that a photo outside its budget is refused from
//! its header, before anything is decoded; that the same bytes and [`Recipe`] give the same result. May abort where the
//! process runs out of memory: run it in a process of its own.
//!
//! The way of a photo: its structure is inspected, its data decoded to no more than is needed, the picture made small,
//! and only then brought to sRGB and turned, when there is little of it left. Each derivative is made of the next
//! larger one.

mod colour;
mod container;
mod decode;
mod encode;
mod exif;
mod memory;
mod picture;
mod signs;
mod strip;

use std::io::Cursor;

use exif::Exif;
use picture::Picture;
use signs::{SIGNS_PX, Signs};

pub use memory::memory_bytes;
pub use strip::strip;

use crate::{ImageType, Limits, Structure};

/// What is made of a photo, and within which budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// What the structure may ask for.
    pub limits: Limits,
    /// Longest side of the thumbnail, in pixels.
    pub thumb_px: u32,
    /// Longest side of the preview, in pixels.
    pub preview_px: u32,
    /// Quality of JPEG derivatives, 1 to 100.
    pub jpeg_quality: u8,
    /// Quality of WebP derivatives, 1 to 100.
    pub webp_quality: u8,
    /// Formats of the derivatives; JPEG, WebP or both.
    pub formats: Vec<ImageType>,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            thumb_px: 320,
            preview_px: 1280,
            jpeg_quality: 80,
            webp_quality: 78,
            formats: vec![ImageType::Jpeg, ImageType::WebP],
        }
    }
}

/// Which derivative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DerivativeSize {
    /// For lists.
    Thumb,
    /// For looking at.
    Preview,
}

impl DerivativeSize {
    /// The word in SQL, JSON and URLs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Thumb => "thumb",
            Self::Preview => "preview",
        }
    }
}

/// A picture made from a photo: upright, sRGB, no metadata. Never larger than the photo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derivative {
    /// Which.
    pub size: DerivativeSize,
    /// Its format.
    pub image_type: ImageType,
    /// Its width in pixels.
    pub width_px: u32,
    /// Its height in pixels.
    pub height_px: u32,
    /// The picture.
    pub bytes: Vec<u8>,
}

/// Everything made of one photo.
#[derive(Clone, Debug, PartialEq)]
pub struct Developed {
    /// Its format.
    pub image_type: ImageType,
    /// Width in pixels, upright.
    pub width_px: u32,
    /// Height in pixels, upright.
    pub height_px: u32,
    /// Exif orientation it was stored with, 1 to 8; 1 where there is none or nonsense.
    pub orientation: u8,
    /// When its camera says it was taken (Exif `DateTimeOriginal` with `SubSecTimeOriginal` and `OffsetTimeOriginal`
    /// where they are there): ISO 8601, with an offset only where Exif has one.
    pub taken_at: Option<String>,
    /// `ThumbHash`: some 25 bytes to paint while the picture loads.
    pub placeholder: Vec<u8>,
    /// Variance of the Laplacian of the luma at a fixed size; the larger, the sharper.
    pub sharpness: f64,
    /// Mean luma, 0 (black) to 1 (white).
    pub brightness: f64,
    /// dHash, 64 bits: near-duplicates differ in few bits.
    pub perceptual_hash: u64,
    /// Thumbnail and preview in each of the recipe's formats.
    pub derivatives: Vec<Derivative>,
}

/// Why a photo was not developed. All are final: the same bytes fail again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DevelopError {
    /// Its structure is defective or over budget; the words of [`crate::Defect`].
    #[error("{0}")]
    Structure(String),
    /// Its compressed data cannot be decoded; for a person.
    #[error("the photo cannot be decoded: {0}")]
    Undecodable(String),
    /// No decoder for this format in this build.
    #[error("this version cannot decode {}", .0.content_type())]
    Unsupported(ImageType),
}

impl From<crate::Defect> for DevelopError {
    fn from(defect: crate::Defect) -> Self {
        Self::Structure(defect.to_string())
    }
}

/// Makes everything of a photo that the recipe asks for.
pub fn develop(photo: &[u8], recipe: &Recipe) -> Result<Developed, DevelopError> {
    let structure = inspected(photo, &recipe.limits)?;
    let exif = Exif::of(photo, structure.image_type);
    let preview_px = side_px(recipe.preview_px);
    let working = upright(photo, &structure, &recipe.limits, &exif, preview_px.max(SIGNS_PX))?;
    let signs = Signs::of(&working)?;
    let preview = working.shrunk(preview_px)?.unwrap_or(working);
    let thumb = preview.shrunk(side_px(recipe.thumb_px))?;
    let mut derivatives = Vec::with_capacity(recipe.formats.len() * 2);
    for (size, picture) in
        [(DerivativeSize::Thumb, thumb.as_ref().unwrap_or(&preview)), (DerivativeSize::Preview, &preview)]
    {
        for &image_type in &recipe.formats {
            let quality = if image_type == ImageType::WebP { recipe.webp_quality } else { recipe.jpeg_quality };
            let bytes = encode::encode(picture, image_type, quality)?;
            let (width_px, height_px) = (picture.width_px(), picture.height_px());
            derivatives.push(Derivative { size, image_type, width_px, height_px, bytes });
        }
    }
    let (width_px, height_px) = exif.upright_size(structure.width_px, structure.height_px);
    Ok(Developed {
        image_type: structure.image_type,
        width_px,
        height_px,
        orientation: exif.orientation,
        taken_at: exif.taken_at,
        placeholder: signs.placeholder,
        sharpness: signs.sharpness,
        brightness: signs.brightness,
        perceptual_hash: signs.perceptual_hash,
        derivatives,
    })
}

/// An upright JPEG with its longest side at most `longest_px`, by the same steps as [`develop`] and nothing else.
pub fn thumbnail(photo: &[u8], longest_px: u32, quality: u8, limits: &Limits) -> Result<Vec<u8>, DevelopError> {
    let structure = inspected(photo, limits)?;
    let exif = Exif::of(photo, structure.image_type);
    let picture = upright(photo, &structure, limits, &exif, side_px(longest_px))?;
    encode::encode(&picture, ImageType::Jpeg, quality)
}

/// Whether the photo can be decoded, all of it. Nothing is made of it.
pub fn verify(photo: &[u8], recipe: &Recipe) -> Result<(), DevelopError> {
    let structure = inspected(photo, &recipe.limits)?;
    decode::decode(photo, &structure, &recipe.limits, u32::MAX).map(drop)
}

fn inspected(photo: &[u8], limits: &Limits) -> Result<Structure, DevelopError> {
    Ok(crate::inspect(Cursor::new(photo), limits)?)
}

/// Decoded, no larger than `longest_px`, in sRGB, and upright.
fn upright(
    photo: &[u8],
    structure: &Structure,
    limits: &Limits,
    exif: &Exif,
    longest_px: u32,
) -> Result<Picture, DevelopError> {
    let decoded = decode::decode(photo, structure, limits, longest_px)?;
    let mut picture = decoded.picture.shrunk(longest_px)?.unwrap_or(decoded.picture);
    if let Some(profile) = &decoded.colour_profile {
        colour::to_srgb(&mut picture, profile);
    }
    Ok(picture.upright(exif.orientation))
}

/// What a recipe may ask for, within what the formats can hold.
fn side_px(wanted_px: u32) -> u32 {
    wanted_px.clamp(1, encode::SIDE_PX_MAX)
}
