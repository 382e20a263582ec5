//! The macro behind `settings.rs`: one declaration, from which everything about a key follows.
//!
//! Owns the syntax of the declaration and [`Key`], the description of one setting that the layers,
//! the example file and the report walk over. It knows no setting by name.

use super::problems::Mistake;
use super::settings::Config;
use super::values::Shape;

pub use super::settings::KEYS;

/// One `[section]` of the file.
#[derive(Debug)]
pub struct Section {
    /// As it stands between the brackets.
    pub name: &'static str,
    /// What belongs into it, a line each.
    pub docs: &'static [&'static str],
}

/// One setting: everything the program knows about it without a value.
#[derive(Debug)]
pub struct Key {
    /// The section, or "" for the keys at the top of the file.
    pub section: &'static str,
    /// The name within its section; a unit stands last.
    pub name: &'static str,
    /// `section.name`, or the name alone at the top: what flags and messages call it.
    pub dotted: &'static str,
    /// The documentation, a line each.
    pub docs: &'static [&'static str],
    /// Never shown, and readable from a file of its own.
    pub secret: bool,
    pub(super) shape: Shape,
    pub(super) allowed: fn() -> Option<String>,
    pub(super) set: fn(&mut Config, &[String]) -> Result<(), Vec<Mistake>>,
    pub(super) show: fn(&Config) -> Vec<String>,
    pub(super) number: fn(&Config) -> Option<u64>,
}

impl Key {
    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("FILMGATE__{}", self.dotted.replace('.', "__").to_uppercase())
    }

    /// Its value as it is written in the file, secrets as `"***"`.
    pub(super) fn toml(&self, config: &Config) -> String {
        self.shape.toml(&(self.show)(config))
    }
}

/// The number that a setting is, by its dotted key; none where there is no such setting, or where it is no number.
pub fn number_of(dotted: &str, config: &Config) -> Option<u64> {
    let key = KEYS.iter().find(|key| key.dotted == dotted)?;
    (key.number)(config)
}

/// Makes the structs, their defaults, [`KEYS`] and `SECTIONS` of the declaration in `settings.rs`.
///
/// A section is written `["path.in.the.file"] field_of_the_config: Struct`: one below another is a field beside it.
/// After the default of a key may follow, in this order:
/// `in LOW..=HIGH` for numbers, `must RULE` (of `rules.rs`) for texts, and
/// `as NAME in UNIT` for a method `NAME` that gives a number of `UNIT`s as a `Duration`.
macro_rules! settings {
    (
        $(#[doc = $config_doc:literal])+
        $config:ident {
            $(
                $(#[doc = $top_doc:literal])+
                $top:ident: $top_type:ty = $top_default:expr
                $(, in $top_range:expr)? $(, must $top_rule:path)?;
            )*
        }
        $(
            $(#[doc = $section_doc:literal])+
            [$path:literal] $section:ident: $struct:ident {
                $(
                    $(#[doc = $doc:literal])+
                    $name:ident: $type:ty = $default:expr
                    $(, in $range:expr)? $(, must $rule:path)? $(, as $method:ident in $unit:ident)?;
                )*
            }
        )+
    ) => {
        $(#[doc = $config_doc])+
        #[derive(Debug, Clone)]
        pub struct $config {
            $($(#[doc = $top_doc])+ pub $top: $top_type,)*
            $($(#[doc = $section_doc])+ pub $section: $struct,)+
            /// Where each value came from that is not a default; for the report.
            pub(super) sources: $crate::config::report::Sources,
        }

        impl Default for $config {
            fn default() -> Self {
                Self {
                    $($top: <$top_type as $crate::config::values::Setting>::from_default($top_default),)*
                    $($section: $struct::default(),)+
                    sources: $crate::config::report::Sources::new(),
                }
            }
        }

        $(
            $(#[doc = $section_doc])+
            #[derive(Debug, Clone)]
            pub struct $struct {
                $($(#[doc = $doc])+ pub $name: $type,)*
            }

            impl Default for $struct {
                fn default() -> Self {
                    Self {
                        $($name: <$type as $crate::config::values::Setting>::from_default($default),)*
                    }
                }
            }

            impl $struct {
                $($(
                    #[doc = concat!("[`Self::", stringify!($name), "`] as a duration.")]
                    pub fn $method(&self) -> std::time::Duration {
                        $crate::config::values::$unit(self.$name)
                    }
                )?)*
            }
        )+

        /// Every section, in the order of the file.
        pub static SECTIONS: &[$crate::config::declare::Section] = &[
            $($crate::config::declare::Section {
                name: $path,
                docs: &[$($section_doc),+],
            },)+
        ];

        /// Every setting, in the order of the file.
        pub static KEYS: &[$crate::config::declare::Key] = &[
            $(settings!(@key "", $top, stringify!($top), [$top], [$($top_doc),+], $top_type,
                [$($top_range)?], [$($top_rule)?]),)*
            $($(settings!(@key $path, $name,
                concat!($path, ".", stringify!($name)), [$section.$name],
                [$($doc),+], $type, [$($range)?], [$($rule)?]),)*)+
        ];
    };

    (@key $section:expr, $name:ident, $dotted:expr, [$($path:ident).+], [$($doc:literal),+],
        $type:ty, [$($range:expr)?], [$($rule:path)?]) => {
        $crate::config::declare::Key {
            section: $section,
            name: stringify!($name),
            dotted: $dotted,
            docs: &[$($doc),+],
            secret: <$type as $crate::config::values::Setting>::SECRET,
            shape: <$type as $crate::config::values::Setting>::SHAPE,
            allowed: || $crate::config::values::allowed::<$type>(
                &[$($range)?], &[$(&$rule)?],
            ),
            set: |config, texts| {
                config.$($path).+ = $crate::config::values::read::<$type>(
                    texts, &[$($range)?], &[$(&$rule)?],
                )?;
                Ok(())
            },
            show: |config| $crate::config::values::Setting::show(&config.$($path).+),
            number: |config| $crate::config::values::Setting::number(&config.$($path).+),
        }
    };
}
