//! The types a setting can have.
//!
//! Owns how a value is read from text and shown again, for each type once. A value reaches its type
//! as a slice of texts, whatever layer it comes from: one text, or as many as a list has items. What
//! a TOML value must look like to become such texts is its [`Shape`].

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::problems::Mistake;
use super::rules::Rule;

/// How a value is written in TOML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Number,
    Boolean,
    Text,
    List,
    Numbers,
}

impl Shape {
    /// For messages: "… belongs here".
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Number => "a whole number",
            Self::Boolean => "true or false",
            Self::Text => "a text in quotes",
            Self::List => "a list of texts",
            Self::Numbers => "a list of whole numbers",
        }
    }

    /// The texts of a value, written as TOML.
    pub(super) fn toml(self, texts: &[String]) -> String {
        match self {
            Self::Number => group_digits(&texts.concat()),
            Self::Boolean => texts.concat(),
            Self::Text => quote(&texts.concat()),
            Self::List => {
                let items: Vec<String> = texts.iter().map(|text| quote(text)).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Numbers => {
                let items: Vec<String> = texts.iter().map(|text| group_digits(text)).collect();
                format!("[{}]", items.join(", "))
            }
        }
    }

    /// The texts of a value that came as one: an environment variable, or a flag.
    pub(super) fn split(self, text: &str) -> Vec<String> {
        match self {
            Self::Text => vec![text.to_owned()],
            Self::Number | Self::Boolean => vec![text.trim().to_owned()],
            Self::List | Self::Numbers => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                items.map(str::to_owned).collect()
            }
        }
    }
}

/// `20000` as `20_000`, which TOML and the environment read as well.
pub(crate) fn group_digits(digits: &str) -> String {
    if digits.len() < 5 {
        return digits.to_owned();
    }
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('_');
        }
        grouped.push(digit);
    }
    grouped
}

fn quote(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A type that a setting can have.
pub(super) trait Setting: Sized {
    /// What its default is written as in the declaration.
    type Default;
    const SHAPE: Shape;
    const SECRET: bool = false;

    fn from_default(default: Self::Default) -> Self;

    /// Reads the texts. All mistakes at once, where there can be several.
    fn read(texts: &[String]) -> Result<Self, Vec<Mistake>>;

    /// The texts that [`Setting::read`] would make the same value of; a secret's are redacted.
    fn show(&self) -> Vec<String>;

    /// For limits and for comparing settings.
    fn number(&self) -> Option<u64> {
        None
    }

    /// What the type itself allows, where there is little to choose from.
    fn choices() -> Option<String> {
        None
    }
}

/// What a key takes, in words; none where any text will do.
pub(super) fn allowed<T: Setting>(range: &[RangeInclusive<u64>], rule: &[&Rule<T>]) -> Option<String> {
    let range = range.first().map(|range| {
        let (low, high) = (range.start().to_string(), range.end().to_string());
        format!("{} to {}", group_digits(&low), group_digits(&high))
    });
    let rule = rule.first().map(|rule| rule.allowed.to_owned());
    range.or(rule).or_else(T::choices)
}

/// Reads a key's texts and holds the value against its limits. (`range` and `rule` have at most one
/// item: an `Option` as a macro can write it.)
pub(super) fn read<T: Setting>(
    texts: &[String],
    range: &[RangeInclusive<u64>],
    rule: &[&Rule<T>],
) -> Result<T, Vec<Mistake>> {
    let value = T::read(texts)?;
    if let (Some(number), Some(range)) = (value.number(), range.first()) {
        let (low, high) = (*range.start(), *range.end());
        let (side, limit) = if number < low { ("below", low) } else { ("above", high) };
        if !range.contains(&number) {
            let what = format!("is {side} {}", group_digits(&limit.to_string()));
            return Err(vec![Mistake::value(number.to_string(), what)]);
        }
    }
    for rule in rule {
        (rule.check)(&value)?;
    }
    Ok(value)
}

macro_rules! numbers {
    ($($type:ty),+) => {$(
        impl Setting for $type {
            type Default = Self;
            const SHAPE: Shape = Shape::Number;

            fn from_default(default: Self) -> Self {
                default
            }

            fn read(texts: &[String]) -> Result<Self, Vec<Mistake>> {
                let text = texts.concat();
                let digits = text.replace('_', "");
                let is_number = digits.strip_prefix('-').unwrap_or(&digits).bytes().all(|b| b.is_ascii_digit())
                    && digits.bytes().any(|b| b.is_ascii_digit());
                if !is_number {
                    return Err(vec![Mistake::value(text, "is not a whole number")]);
                }
                digits.parse().map_err(|_| {
                    let what = if digits.starts_with('-') { "is below zero" } else { "is too large" };
                    vec![Mistake::value(text, what)]
                })
            }

            fn show(&self) -> Vec<String> {
                vec![self.to_string()]
            }

            fn number(&self) -> Option<u64> {
                u64::try_from(*self).ok()
            }
        }
    )+};
}

numbers!(u32, u64, usize);

impl Setting for bool {
    type Default = Self;
    const SHAPE: Shape = Shape::Boolean;

    fn from_default(default: Self) -> Self {
        default
    }

    fn read(texts: &[String]) -> Result<Self, Vec<Mistake>> {
        let text = texts.concat();
        let hint = match text.to_ascii_lowercase().as_str() {
            "true" => return Ok(true),
            "false" => return Ok(false),
            "1" | "yes" | "on" | "y" | "t" => "true",
            "0" | "no" | "off" | "n" | "f" => "false",
            _ => return Err(vec![Mistake::value(text, "is neither true nor false")]),
        };
        Err(vec![Mistake::value(text, "is neither true nor false").instead(hint)])
    }

    fn show(&self) -> Vec<String> {
        vec![self.to_string()]
    }

    fn choices() -> Option<String> {
        Some("true or false".to_owned())
    }
}

impl Setting for String {
    type Default = &'static str;
    const SHAPE: Shape = Shape::Text;

    fn from_default(default: &'static str) -> Self {
        default.to_owned()
    }

    fn read(texts: &[String]) -> Result<Self, Vec<Mistake>> {
        Ok(texts.concat())
    }

    fn show(&self) -> Vec<String> {
        vec![self.clone()]
    }
}

impl Setting for PathBuf {
    type Default = &'static str;
    const SHAPE: Shape = Shape::Text;

    fn from_default(default: &'static str) -> Self {
        default.into()
    }

    fn read(texts: &[String]) -> Result<Self, Vec<Mistake>> {
        let text = texts.concat();
        if text.contains('\0') {
            return Err(vec![Mistake::plain("a path cannot hold a NUL character")]);
        }
        Ok(text.into())
    }

    fn show(&self) -> Vec<String> {
        vec![self.to_string_lossy().into_owned()]
    }
}

impl Setting for Vec<String> {
    type Default = Self;
    const SHAPE: Shape = Shape::List;

    fn from_default(default: Self) -> Self {
        default
    }

    fn read(texts: &[String]) -> Result<Self, Vec<Mistake>> {
        Ok(texts.to_vec())
    }

    fn show(&self) -> Vec<String> {
        self.clone()
    }
}

/// Numbers of the app's: from 0 on.
impl Setting for Vec<i64> {
    type Default = Self;
    const SHAPE: Shape = Shape::Numbers;

    fn from_default(default: Self) -> Self {
        default
    }

    fn read(texts: &[String]) -> Result<Self, Vec<Mistake>> {
        super::rules::all(texts, |text| {
            let digits = text.replace('_', "");
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let number = is_number.then(|| digits.parse().ok()).flatten();
            number.ok_or_else(|| Mistake::value(text, "is not a whole number from 0 on"))
        })
    }

    fn show(&self) -> Vec<String> {
        self.iter().map(i64::to_string).collect()
    }

    fn choices() -> Option<String> {
        Some("whole numbers from 0 on, as [1, 7]".to_owned())
    }
}

impl Setting for Vec<IpNet> {
    type Default = Self;
    const SHAPE: Shape = Shape::List;

    fn from_default(default: Self) -> Self {
        default
    }

    fn read(texts: &[String]) -> Result<Self, Vec<Mistake>> {
        super::rules::all(texts, super::rules::network)
    }

    fn show(&self) -> Vec<String> {
        self.iter().map(IpNet::to_string).collect()
    }

    fn choices() -> Option<String> {
        Some("addresses and networks, as \"127.0.0.1\" or \"10.0.0.0/8\"".to_owned())
    }
}

/// A setting with a few named values. Those after `later` are known, but refused by name: they have
/// no variant, so that no code can be asked to do what it cannot.
macro_rules! choices {
    (
        $(#[doc = $doc:literal])+
        $name:ident { $($(#[doc = $variant_doc:literal])+ $variant:ident = $text:literal,)+ }
        later [$($later:literal),*]
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[doc = $variant_doc])+ $variant,)+
        }

        impl $crate::config::values::Setting for $name {
            type Default = Self;
            const SHAPE: $crate::config::values::Shape = $crate::config::values::Shape::Text;

            fn from_default(default: Self) -> Self {
                default
            }

            fn read(texts: &[String]) -> Result<Self, Vec<$crate::config::problems::Mistake>> {
                let text = texts.concat();
                match text.as_str() {
                    $($text => return Ok(Self::$variant),)+
                    _ => Err(vec![$crate::config::values::no_choice(&text, &[$($text),+], &[$($later),*])]),
                }
            }

            fn show(&self) -> Vec<String> {
                vec![match self { $(Self::$variant => $text,)+ }.to_owned()]
            }

            fn choices() -> Option<String> {
                Some([$(concat!("\"", $text, "\"")),+].join(" or "))
            }
        }
    };
}
pub(super) use choices;

pub(super) fn no_choice(text: &str, known: &[&'static str], later: &[&'static str]) -> Mistake {
    if later.contains(&text) {
        return Mistake::value(text, "is not in this version yet");
    }
    let mistake = Mistake::value(text, "is not one of the choices");
    match super::suggest::nearest(&text.to_lowercase(), known) {
        Some(near) => mistake.instead(near),
        None => mistake,
    }
}

/// The unit of keys that end in `_ms`.
pub(super) fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// The unit of keys that end in `_seconds`.
pub(super) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The unit of keys that end in `_hours`.
pub(super) fn hours(count: u64) -> Duration {
    Duration::from_secs(count * 60 * 60)
}

/// The unit of keys that end in `_days`.
pub(super) fn days(count: u64) -> Duration {
    Duration::from_secs(count * 24 * 60 * 60)
}
