//! A photo's own colour space turned into sRGB, by its ICC profile: iPhones take photos in Display P3, and shown as if
//! they were sRGB these are dull.

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

use super::picture::Picture;

/// Profiles of cameras have less than 4 KiB, of printers a megabyte. What is larger is not looked at.
pub(super) const PROFILE_BYTES_MAX: usize = 4 << 20;

/// Converts in place. A profile that is broken, or not one for RGB, leaves the picture as it is: a viewer that ignores
/// profiles would show the same.
pub(super) fn to_srgb(picture: &mut Picture, profile: &[u8]) {
    let Some(transform) = ColorProfile::new_from_slice(profile)
        .ok()
        .filter(|profile| profile.color_space == DataColorSpace::Rgb)
        .and_then(|profile| {
            let srgb = ColorProfile::new_srgb();
            profile.create_transform_8bit(Layout::Rgb, &srgb, Layout::Rgb, TransformOptions::default()).ok()
        })
    else {
        return;
    };
    let width = picture.width_px() as usize;
    let mut converted = vec![0; width * 3];
    for row in picture.pixels_mut().chunks_exact_mut(width) {
        let row = row.as_flattened_mut();
        if transform.transform(row, &mut converted).is_ok() {
            row.copy_from_slice(&converted);
        }
    }
}
