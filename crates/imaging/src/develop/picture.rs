//! A decoded picture: packed 8-bit RGB, made smaller and turned upright.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::DevelopError;

/// A packed picture of `N` bytes a pixel: 3 for RGB, 1 for luma.
pub(super) struct Pixels<const N: usize> {
    bytes: Vec<u8>,
    width_px: u32,
    height_px: u32,
}

pub(super) type Picture = Pixels<3>;
pub(super) type Luma = Pixels<1>;

impl<const N: usize> Pixels<N> {
    const KIND: PixelType = if N == 1 { PixelType::U8 } else { PixelType::U8x3 };

    /// None if there are not as many bytes as the size asks for.
    pub(super) fn new(bytes: Vec<u8>, width_px: u32, height_px: u32) -> Option<Self> {
        let wanted = u64::from(width_px) * u64::from(height_px) * N as u64;
        (bytes.len() as u64 == wanted).then_some(Self { bytes, width_px, height_px })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn pixels(&self) -> &[[u8; N]] {
        self.bytes.as_chunks().0
    }

    pub(super) fn pixels_mut(&mut self) -> &mut [[u8; N]] {
        self.bytes.as_chunks_mut().0
    }

    pub(super) fn width_px(&self) -> u32 {
        self.width_px
    }

    pub(super) fn height_px(&self) -> u32 {
        self.height_px
    }

    /// Made to fit `longest_px`; none if it fits already.
    pub(super) fn shrunk(&self, longest_px: u32) -> Result<Option<Self>, DevelopError> {
        if self.width_px.max(self.height_px) <= longest_px {
            return Ok(None);
        }
        let (width_px, height_px) = fitted(self.width_px, self.height_px, longest_px);
        self.resized(width_px, height_px).map(Some)
    }

    /// Of exactly this size, larger or smaller.
    pub(super) fn resized(&self, width_px: u32, height_px: u32) -> Result<Self, DevelopError> {
        let failed =
            |error: &dyn std::fmt::Display| DevelopError::Undecodable(format!("it cannot be resized ({error})"));
        let source = ImageRef::new(self.width_px, self.height_px, &self.bytes, Self::KIND).map_err(|e| failed(&e))?;
        let mut target = Image::new(width_px, height_px, Self::KIND);
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom)).use_alpha(false);
        Resizer::new().resize(&source, &mut target, &options).map_err(|e| failed(&e))?;
        Ok(Self { bytes: target.into_vec(), width_px, height_px })
    }

    /// Turned and mirrored as Exif's orientation (1 to 8) says a viewer must.
    pub(super) fn upright(self, orientation: u8) -> Self {
        if !(2..=8).contains(&orientation) {
            return self;
        }
        let (stored_width, stored_height) = (self.width_px as usize, self.height_px as usize);
        let last_column = stored_width - 1;
        let last_row = (stored_height - 1) * stored_width;
        // Where the first pixel of the result is stored, and how far it is from there to the next to the right and to
        // the next below; wrapping, for some of these steps go back.
        let back = |step: usize| 0_usize.wrapping_sub(step);
        let (first, right, below) = match orientation {
            2 => (last_column, back(1), stored_width),
            3 => (last_row + last_column, back(1), back(stored_width)),
            4 => (last_row, 1, back(stored_width)),
            5 => (0, stored_width, 1),
            6 => (last_row, back(stored_width), 1),
            7 => (last_row + last_column, back(stored_width), back(1)),
            _ => (last_column, stored_width, back(1)),
        };
        let is_turned = orientation >= 5;
        let (width_px, height_px) =
            if is_turned { (self.height_px, self.width_px) } else { (self.width_px, self.height_px) };
        let stored = self.pixels();
        let mut bytes = Vec::with_capacity(self.bytes.len());
        let mut row_start = first;
        for _ in 0..height_px {
            let mut at = row_start;
            for _ in 0..width_px {
                bytes.extend_from_slice(&stored[at]);
                at = at.wrapping_add(right);
            }
            row_start = row_start.wrapping_add(below);
        }
        Self { bytes, width_px, height_px }
    }
}

impl Picture {
    /// ITU-R BT.601, as JPEG has it, in 16-bit fixed point.
    pub(super) fn luma(&self) -> Luma {
        let of_pixel = |&[red, green, blue]: &[u8; 3]| {
            let sum = 19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue);
            // The factors sum up to 65,536: the quotient has eight bits.
            ((sum + 32_768) >> 16).to_le_bytes()[0]
        };
        let bytes = self.pixels().iter().map(of_pixel).collect();
        Luma { bytes, width_px: self.width_px, height_px: self.height_px }
    }
}

/// A size with its longest side `longest_px`, of the same shape as far as whole pixels allow.
pub(super) fn fitted(width_px: u32, height_px: u32, longest_px: u32) -> (u32, u32) {
    let longest = u64::from(width_px.max(height_px)).max(1);
    let scaled = |side: u32| {
        let rounded = (u64::from(side) * u64::from(longest_px) + longest / 2) / longest;
        u32::try_from(rounded).unwrap_or(longest_px).clamp(1, longest_px.max(1))
    };
    (scaled(width_px), scaled(height_px))
}
