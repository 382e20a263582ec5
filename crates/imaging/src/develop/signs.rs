//! What is told of a photo at a glance: a placeholder, how sharp and how bright it is, and a hash of its looks.

use super::DevelopError;
use super::picture::{Luma, Picture, fitted};

/// Longest side of the picture that sharpness and brightness are measured on. Fixed, and smaller photos are enlarged to
/// it: a camera with more pixels would otherwise seem less sharp.
pub(super) const SIGNS_PX: u32 = 640;

/// As much as ThumbHash looks at.
const PLACEHOLDER_PX: u32 = 100;

pub(super) struct Signs {
    pub(super) placeholder: Vec<u8>,
    pub(super) sharpness: f64,
    pub(super) brightness: f64,
    pub(super) perceptual_hash: u64,
}

impl Signs {
    /// Of an upright picture.
    pub(super) fn of(picture: &Picture) -> Result<Self, DevelopError> {
        let (width_px, height_px) = fitted(picture.width_px(), picture.height_px(), SIGNS_PX);
        let of_fixed_size = picture.resized(width_px, height_px)?;
        let luma = of_fixed_size.luma();
        Ok(Self {
            placeholder: placeholder(&of_fixed_size)?,
            sharpness: sharpness(&luma),
            brightness: brightness(&luma),
            perceptual_hash: perceptual_hash(&luma)?,
        })
    }
}

fn brightness(luma: &Luma) -> f64 {
    let sum: u64 = luma.bytes().iter().map(|value| u64::from(*value)).sum();
    mean(sum, luma.bytes().len()) / 255.0
}

/// Variance of the Laplacian over all pixels with four neighbours; 0 if there are none.
fn sharpness(luma: &Luma) -> f64 {
    let width = luma.width_px() as usize;
    let (mut sum, mut sum_of_squares, mut count) = (0_i64, 0_u64, 0_usize);
    let rows: Vec<&[u8]> = luma.bytes().chunks_exact(width).collect();
    for three in rows.windows(3) {
        let [above, row, below] = three else { continue };
        let (mut row_sum, mut row_squares) = (0_i32, 0_u32);
        for ((window, above), below) in row.windows(3).zip(&above[1..]).zip(&below[1..]) {
            let [left, centre, right] = window else { continue };
            let neighbours = i32::from(*left) + i32::from(*right) + i32::from(*above) + i32::from(*below);
            let laplacian = 4 * i32::from(*centre) - neighbours;
            row_sum += laplacian;
            // At most 1,020 squared in each of 640 columns: far from the end of 32 bits.
            row_squares += laplacian.unsigned_abs().pow(2);
        }
        sum += i64::from(row_sum);
        sum_of_squares += u64::from(row_squares);
        count += row.len().saturating_sub(2);
    }
    if count == 0 {
        return 0.0;
    }
    let mean_of_values = mean(sum.unsigned_abs(), count);
    (mean(sum_of_squares, count) - mean_of_values * mean_of_values).max(0.0)
}

/// Sums here stay below 2^40, where a double is exact.
#[expect(clippy::cast_precision_loss)]
fn mean(sum: u64, count: usize) -> f64 {
    sum as f64 / count.max(1) as f64
}

/// dHash: of nine columns and eight rows, whether each is brighter than the one to its left, row by row, the first in
/// the highest bit.
fn perceptual_hash(luma: &Luma) -> Result<u64, DevelopError> {
    let small = luma.resized(9, 8)?;
    let brighter = small.bytes().chunks_exact(9).flat_map(|row| row.array_windows().map(|[left, right]| left < right));
    Ok(brighter.fold(0, |hash, bit| hash << 1 | u64::from(bit)))
}

fn placeholder(picture: &Picture) -> Result<Vec<u8>, DevelopError> {
    let (width_px, height_px) = fitted(picture.width_px(), picture.height_px(), PLACEHOLDER_PX);
    let small = picture.resized(width_px, height_px)?;
    let rgba: Vec<u8> = small.pixels().iter().flat_map(|&[red, green, blue]| [red, green, blue, 255]).collect();
    Ok(thumbhash::rgba_to_thumb_hash(width_px as usize, height_px as usize, &rgba))
}
