//! Flags over environment over file over defaults.
//!
//! Owns the laying of one layer over the other, environment variables and their names, and secrets
//! that stand in a file of their own. Promises to go through every layer to its end: a value that a
//! higher layer covers is still held to be right. The file itself is read in `file.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;

use super::declare::{KEYS, Key};
use super::problems::{ConfigProblems, Mistake, Problem, Source};
use super::settings::Config;
use super::values::Shape;
use super::{check, suggest};

/// More than any secret, less than hurts when the path was `/dev/zero`.
const SECRET_FILE_BYTES_MAX: u64 = 65_536;

/// The settings so far, and what was wrong with them.
#[derive(Default)]
pub(super) struct Layers {
    pub(super) config: Config,
    pub(super) problems: Vec<Problem>,
    /// Keys with a problem: comparing them with others would only confuse.
    pub(super) broken: BTreeSet<&'static str>,
    /// The file could not be read as a whole, so any key may be missing from it.
    pub(super) torn: bool,
}

/// A setting as a name meant it: itself, or the file that holds it.
pub(super) struct Named {
    pub(super) key: &'static Key,
    pub(super) by_file: bool,
}

impl Layers {
    /// `FILMGATE__SECTION__KEY`, and `FILMGATE__SECTION__KEY_FILE` for secrets. Whatever else begins
    /// with `FILMGATE_` and has a double underscore is a mistake.
    pub(super) fn environment(&mut self, env: impl Iterator<Item = (String, String)>) {
        let ours: BTreeMap<String, String> = env.filter(|(name, _)| is_ours(name)).collect();
        for (variable, text) in &ours {
            let place = Source::Environment { variable: variable.clone() };
            let dotted = dotted(variable);
            let named = find(&dotted).filter(|named| *variable == named.variable());
            match named {
                Some(named) if named.by_file && ours.contains_key(&named.key.variable()) => {
                    self.twice(&named, place, &named.key.variable());
                }
                Some(named) => self.take_text(&named, text, &place),
                None => self.problems.push(Problem {
                    place,
                    what: "no setting has this name".to_owned(),
                    allowed: None,
                    hint: Some(guess(&dotted, Key::variable)),
                }),
            }
        }
    }

    /// Dotted keys with their texts.
    pub(super) fn flags(&mut self, flags: &[(&str, String)]) {
        for (dotted, text) in flags {
            let place = Source::Flag { key: (*dotted).to_owned() };
            match find(dotted) {
                Some(named) => self.take_text(&named, text, &place),
                None => self.problems.push(Problem {
                    place,
                    what: "no setting has this name".to_owned(),
                    allowed: None,
                    hint: Some(guess(dotted, |key| key.dotted.to_owned())),
                }),
            }
        }
    }

    /// Holds the settings against each other, and hands them out if all is well.
    pub(super) fn finish(mut self) -> Result<Config, ConfigProblems> {
        check::relations(&mut self);
        if self.problems.is_empty() { Ok(self.config) } else { Err(ConfigProblems::new(self.problems)) }
    }

    /// Sets a key, or notes why not. `place` tells where the value stands, or one item of it.
    pub(super) fn take(&mut self, named: &Named, texts: &[String], place: &dyn Fn(Option<usize>) -> Source) {
        let key = named.key;
        let set = if named.by_file {
            read_secret(&texts.concat())
                .map_err(|mistake| vec![mistake])
                .and_then(|secret| (key.set)(&mut self.config, &secrets_in(key, secret)))
        } else {
            (key.set)(&mut self.config, texts)
        };
        match set {
            Ok(()) => {
                self.config.sources.insert(key.dotted, place(None));
            }
            Err(mistakes) => {
                for mistake in mistakes {
                    self.refuse(key, place(mistake.item()), mistake);
                }
            }
        }
    }

    pub(super) fn refuse(&mut self, key: &'static Key, place: Source, mistake: Mistake) {
        self.broken.insert(key.dotted);
        self.problems.push(Problem::in_value(key, place, mistake));
    }

    /// A secret both itself and by file, in one layer: which one counts would be a guess.
    pub(super) fn twice(&mut self, named: &Named, place: Source, other: &str) {
        let key = named.key;
        self.broken.insert(key.dotted);
        self.problems.push(Problem {
            place,
            what: format!("{}: {other} is set as well", key.dotted),
            allowed: Some("one of the two".to_owned()),
            hint: Some(format!("remove {other}")),
        });
    }

    fn take_text(&mut self, named: &Named, text: &str, place: &Source) {
        if text.contains(char::REPLACEMENT_CHARACTER) {
            let mistake = Mistake::plain("is not UTF-8").hint("write it in UTF-8");
            self.refuse(named.key, place.clone(), mistake);
            return;
        }
        self.take(named, &named.shape().split(text), &|_| place.clone());
    }
}

impl Named {
    /// What is written under this name: a path, where it is that of a file.
    pub(super) fn shape(&self) -> Shape {
        if self.by_file { Shape::Text } else { self.key.shape }
    }

    fn variable(&self) -> String {
        let suffix = if self.by_file { "_FILE" } else { "" };
        format!("{}{suffix}", self.key.variable())
    }
}

/// The setting of that dotted name; `…_file` of a secret is the file that holds it.
pub(super) fn find(dotted: &str) -> Option<Named> {
    if let Some(key) = KEYS.iter().find(|key| key.dotted == dotted) {
        return Some(Named { key, by_file: false });
    }
    let dotted = dotted.strip_suffix("_file")?;
    let key = KEYS.iter().find(|key| key.secret && key.dotted == dotted)?;
    Some(Named { key, by_file: true })
}

/// The hint for a name that is no setting; `write` puts a key as that layer writes it.
pub(super) fn guess(dotted: &str, write: impl Fn(&Key) -> String) -> String {
    let lower = dotted.to_lowercase();
    if let Some(key) = lower.strip_suffix("_file").and_then(|name| KEYS.iter().find(|key| key.dotted == name))
        && !key.secret
    {
        return format!("only secrets are read from files; set {} itself", write(key));
    }
    match suggest::key(dotted) {
        Some(key) => format!("did you mean {}?", write(key)),
        None => "`filmgate config show` lists every setting".to_owned(),
    }
}

fn is_ours(variable: &str) -> bool {
    variable.to_ascii_uppercase().starts_with("FILMGATE_") && variable.contains("__")
}

/// `FILMGATE__SERVER__LISTEN` as `server.listen`.
fn dotted(variable: &str) -> String {
    let name = variable.get("FILMGATE_".len()..).unwrap_or_default();
    name.trim_start_matches('_').replace("__", ".").to_lowercase()
}

/// The secrets in a file: one, or one a line where the setting is a list.
fn secrets_in(key: &Key, text: String) -> Vec<String> {
    match key.shape {
        Shape::List => text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect(),
        _ => vec![text],
    }
}

/// The path is not repeated in messages: it may be the secret itself, set under the wrong name.
pub(super) fn read_secret(path: &str) -> Result<String, Mistake> {
    if path.is_empty() {
        return Err(Mistake::plain("names no file").hint("name the file that holds it"));
    }
    let refuse = |why: &str| {
        Mistake::plain(format!("the file it names {why}")).hint("a file that holds the secret, and nothing else")
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(SECRET_FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| refuse(&format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > SECRET_FILE_BYTES_MAX {
        return Err(refuse("is larger than 64 KiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| refuse("is not UTF-8"))?;
    let text = text.strip_suffix("\r\n").or(text.strip_suffix('\n')).unwrap_or(&text);
    if text.is_empty() {
        return Err(refuse("is empty"));
    }
    Ok(text.to_owned())
}

/// The variables of this process that may be meant for Filmgate. Unlike `std::env::vars` it does not
/// panic over bytes that are not UTF-8; [`Config::load`] refuses such a value by name.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, text)| (name.to_string_lossy().into_owned(), text.to_string_lossy().into_owned()))
        .filter(|(name, _)| is_ours(name))
}
