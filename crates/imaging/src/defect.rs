//! Why a photo is refused, in words for a person and in a code for a program.

/// The first thing found wrong with a photo. The message says what, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// No bytes at all.
    #[error("the photo is an empty file; take it again")]
    Empty,
    /// By its bytes none of the formats taken, whatever its name or declared type.
    #[error("the file is by its bytes no JPEG, PNG, WebP or HEIC photo; send one of these")]
    NotAnImage,
    /// The file ends before the photo does.
    #[error("the photo is incomplete: it breaks off after {length_bytes} bytes; send the whole file again")]
    Truncated {
        /// How much of it there is.
        length_bytes: u64,
    },
    /// The file contradicts its format.
    #[error("the photo is damaged: {what}; take or export it again")]
    Malformed {
        /// The contradiction.
        what: &'static str,
    },
    /// Its header promises more pixels than the budget has.
    #[error("the photo has {pixels} pixels, more than the {pixels_max} allowed; send a smaller one")]
    TooManyPixels {
        /// Width times height.
        pixels: u64,
        /// The budget.
        pixels_max: u64,
    },
    /// A JPEG with more scans than the budget has; counting ended there.
    #[error("the JPEG has more than the {scans_max} scans allowed; export it as a baseline JPEG")]
    TooManyScans {
        /// The budget.
        scans_max: u32,
    },
    /// An animation with more frames than the budget has; counting ended there.
    #[error("the animation has more than the {frames_max} frames allowed; send a still photo")]
    TooManyFrames {
        /// The budget.
        frames_max: u32,
    },
    /// The source could not be read; this says nothing about the photo.
    #[error("the photo could not be read back; try again")]
    Io(#[from] std::io::Error),
}

impl Defect {
    /// A stable name for programs, the same in every version.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "image_empty",
            Self::NotAnImage => "image_type_unsupported",
            Self::Truncated { .. } => "image_truncated",
            Self::Malformed { .. } => "image_malformed",
            Self::TooManyPixels { .. } => "image_too_many_pixels",
            Self::TooManyScans { .. } => "image_too_many_scans",
            Self::TooManyFrames { .. } => "image_too_many_frames",
            Self::Io(_) => "image_unreadable",
        }
    }

    /// Whether the file is of a type not taken (HTTP 415), rather than a bad photo of a type that is.
    pub const fn is_unsupported_type(&self) -> bool {
        matches!(self, Self::NotAnImage)
    }
}

/// A shorthand for the many places that find a contradiction.
pub(crate) fn malformed<T>(what: &'static str) -> Result<T, Defect> {
    Err(Defect::Malformed { what })
}
