//! The TOML file as a layer.
//!
//! Owns finding and reading it, and where in it everything stands. Promises to report every mistake
//! of the file, not only the first, and never to print a line of it: it may hold a secret.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::declare::Key;
use super::layers::{Layers, find, guess};
use super::problems::{Mistake, Problem, Source};
use super::settings::SECTIONS;
use super::suggest;
use super::values::Shape;

/// Lays the file over the defaults. One that nobody asked for by name (`required`) may be absent.
pub(super) fn apply(layers: &mut Layers, path: &Path, required: bool) {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if !required && error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            layers.torn = true;
            layers.problems.push(Problem {
                place: Source::File { path: path.to_owned(), line: 0, column: 0 },
                what: format!("cannot be read: {error}"),
                allowed: Some("a TOML file that this user may read".to_owned()),
                hint: Some("check the path; filmgate.example.toml is a file to start from".to_owned()),
            });
            return;
        }
    };
    match str::from_utf8(&bytes) {
        Ok(text) => Document { path, text, layers, torn_lines: vec![], lost_from: usize::MAX }.apply(),
        Err(error) => {
            let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            layers.torn = true;
            layers.problems.push(Problem {
                place: place(path, &good, good.len()),
                what: "is not UTF-8".to_owned(),
                allowed: None,
                hint: Some("save the file as UTF-8".to_owned()),
            });
        }
    }
}

struct Document<'a> {
    path: &'a Path,
    text: &'a str,
    layers: &'a mut Layers,
    /// Where lines with a syntax error begin.
    torn_lines: Vec<usize>,
    /// From here on, no telling which section a line is in.
    lost_from: usize,
}

impl Document<'_> {
    fn apply(&mut self) {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            self.syntax(error.span().map_or(0, |span| span.start), error.message());
        }
        for (name, value) in document.get_ref() {
            let known = SECTIONS.iter().find(|section| section.name == name.get_ref().as_ref());
            match (known, value.get_ref()) {
                (Some(section), DeValue::Table(table)) => self.keys(section.name, table),
                _ if !self.is_legible(name, value) => {}
                (Some(section), _) => {
                    let what = format!("{} is a section, not a setting", section.name);
                    self.unknown(name.span(), what, format!("write [{}], and its settings below", section.name));
                }
                (None, DeValue::Table(_)) if find(name.get_ref()).is_none() => {
                    let hint = match suggest::section(name.get_ref()) {
                        Some(section) => format!("did you mean [{section}]?"),
                        None => format!("the sections are {}", sections()),
                    };
                    self.unknown(name.span(), format!("unknown section [{}]", name.get_ref()), hint);
                }
                (None, _) => self.key("", name, value, document.get_ref()),
            }
        }
    }

    fn keys(&mut self, section: &'static str, table: &DeTable<'_>) {
        for (name, value) in table {
            let below = format!("{section}.{}", name.get_ref());
            let known = SECTIONS.iter().find(|section| section.name == below);
            match (known, value.get_ref()) {
                (Some(section), DeValue::Table(table)) => self.keys(section.name, table),
                _ if !self.is_legible(name, value) => {}
                (Some(section), _) => {
                    let what = format!("{} is a section, not a setting", section.name);
                    self.unknown(name.span(), what, format!("write [{}], and its settings below", section.name));
                }
                (None, DeValue::Table(_)) if find(&below).is_none() && has_sections(section) => {
                    let hint = match suggest::section(&below) {
                        Some(section) => format!("did you mean [{section}]?"),
                        None => format!("the sections are {}", sections()),
                    };
                    self.unknown(name.span(), format!("unknown section [{below}]"), hint);
                }
                (None, _) => self.key(section, name, value, table),
            }
        }
    }

    fn key(
        &mut self,
        section: &'static str,
        name: &Spanned<Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        siblings: &DeTable<'_>,
    ) {
        let dotted = match section {
            "" => name.get_ref().to_string(),
            section => format!("{section}.{}", name.get_ref()),
        };
        // A quoted name with a dot in it is no path through sections.
        let Some(named) = find(&dotted).filter(|named| named.key.section == section) else {
            let hint = guess(&dotted, |key| match key.section {
                other if other == section => key.name.to_owned(),
                "" => format!("{}, above the first section", key.name),
                other => format!("{} in [{other}]", key.name),
            });
            self.unknown(name.span(), format!("unknown setting {dotted}"), hint);
            return;
        };
        if named.by_file && siblings.contains_key(named.key.name) {
            let place = self.place(&name.span());
            self.layers.twice(&named, place, named.key.name);
            return;
        }
        match texts(named.key, named.shape(), value) {
            Ok(texts) => {
                let (path, text) = (self.path, self.text);
                let items: Vec<Range<usize>> = match value.get_ref() {
                    DeValue::Array(items) => items.iter().map(Spanned::span).collect(),
                    _ => Vec::new(),
                };
                self.layers.take(&named, &texts, &|item| {
                    let span = item.and_then(|item| items.get(item).cloned());
                    place(path, text, span.unwrap_or_else(|| value.span()).start)
                });
            }
            Err(wrong) => {
                for (span, mistake) in wrong {
                    let place = self.place(&span);
                    self.layers.refuse(named.key, place, mistake);
                }
            }
        }
    }

    fn unknown(&mut self, span: Range<usize>, what: String, hint: String) {
        let place = self.place(&span);
        self.layers.problems.push(Problem { place, what, allowed: None, hint: Some(hint) });
    }

    fn syntax(&mut self, at: usize, message: &str) {
        let start = self.line_start(at);
        if self.torn_lines.contains(&start) {
            return; // The first on a line says it; the others follow from it.
        }
        let line = self.text[start..].lines().next().unwrap_or_default();
        let value = line.split_once('=').map_or("", |(_, value)| value.trim_start());
        let ends_with_its_line = !value.is_empty()
            && !line.trim_start().starts_with('[')
            && !["[", "{", "\"\"\"", "'''"].iter().any(|opening| value.starts_with(opening));
        if !ends_with_its_line {
            self.lost_from = self.lost_from.min(start);
        }
        self.torn_lines.push(start);
        self.layers.torn = true;
        let hint = match message {
            "duplicate key" => "set it once, and open each section once",
            _ => "texts stand in quotes, lists in [ ], each setting on a line of its own",
        };
        let message = message.strip_suffix(", expected nothing").unwrap_or(message);
        self.layers.problems.push(Problem {
            place: place(self.path, self.text, at),
            what: format!("not TOML: {message}"),
            allowed: None,
            hint: Some(hint.to_owned()),
        });
    }

    /// Whether a setting can be judged that came out of a file with syntax errors. Half a value, or a
    /// setting that only seems to stand in this section, would add to the confusion; a text without
    /// its closing quote may even hold the secret of the lines below.
    fn is_legible(&self, name: &Spanned<Cow<'_, str>>, value: &Spanned<DeValue<'_>>) -> bool {
        if self.torn_lines.is_empty() {
            return true;
        }
        let (start, end) = (self.line_start(name.span().start), self.line_start(value.span().end));
        start == end && start < self.lost_from && !self.torn_lines.contains(&start)
    }

    fn line_start(&self, at: usize) -> usize {
        self.text.get(..at).unwrap_or(self.text).rfind('\n').map_or(0, |newline| newline + 1)
    }

    fn place(&self, span: &Range<usize>) -> Source {
        place(self.path, self.text, span.start)
    }
}

/// Whether there are sections below this one.
fn has_sections(name: &str) -> bool {
    SECTIONS.iter().any(|section| section.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

fn sections() -> String {
    SECTIONS.iter().map(|section| section.name).collect::<Vec<_>>().join(", ")
}

fn place(path: &Path, text: &str, at: usize) -> Source {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Source::File {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

type Wrong = Vec<(Range<usize>, Mistake)>;

/// The texts of a value that has the key's shape.
fn texts(key: &Key, shape: Shape, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, Wrong> {
    match (shape, value.get_ref()) {
        (Shape::Text, DeValue::String(text)) => Ok(vec![text.to_string()]),
        (Shape::Boolean, DeValue::Boolean(truth)) => Ok(vec![truth.to_string()]),
        (Shape::Number, DeValue::Integer(number)) => Ok(vec![decimal(number)]),
        (Shape::Numbers, DeValue::Array(items)) => {
            let (mut texts, mut wrong) = (Vec::new(), Vec::new());
            for item in items {
                match item.get_ref() {
                    DeValue::Integer(number) => texts.push(decimal(number)),
                    other => wrong.push((item.span(), misshapen(other, "a whole number"))),
                }
            }
            if wrong.is_empty() { Ok(texts) } else { Err(wrong) }
        }
        (Shape::List, DeValue::Array(items)) => {
            let (mut texts, mut wrong) = (Vec::new(), Vec::new());
            for item in items {
                match item.get_ref().as_str() {
                    Some(text) => texts.push(text.to_owned()),
                    None => wrong.push((item.span(), misshapen(item.get_ref(), "a text in quotes"))),
                }
            }
            if wrong.is_empty() { Ok(texts) } else { Err(wrong) }
        }
        (shape, other) => {
            let mistake = misshapen(other, shape.noun());
            let text = other.as_str().filter(|_| !key.secret);
            let fits = text.is_some_and(|text| (key.set)(&mut super::Config::default(), &shape.split(text)).is_ok());
            let mistake = match text.filter(|_| fits) {
                Some(text) if shape == Shape::List => mistake.hint(format!("write {} = [\"{text}\"]", key.name)),
                Some(text) => mistake.instead(text),
                None => mistake,
            };
            Err(vec![(value.span(), mistake)])
        }
    }
}

fn decimal(number: &DeInteger<'_>) -> String {
    let digits = number.as_str().replace('_', "");
    i128::from_str_radix(&digits, number.radix()).map_or(digits, |number| number.to_string())
}

fn misshapen(found: &DeValue<'_>, wanted: &str) -> Mistake {
    let found = match found {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    };
    Mistake::plain(format!("{found} stands where {wanted} belongs"))
}
