//! What people, sessions and photos are called in an export: as they are stored, or by pseudonyms.
//!
//! **Promises** that a pseudonym is the same for the same thing under the same key, in this export and in every other;
//! that without the key nobody gets back from it, nor tells whether it belongs to an id that they know (HMAC-SHA-256, of
//! which 80 bits are kept).

use hmac::{Hmac, KeyInit, Mac};
use records::AssessmentType;
use sha2::Sha256;
use uuid::Uuid;

/// Bytes of a key that somebody chooses: fewer can be guessed.
pub const KEY_BYTES_MIN: usize = 16;
/// Bytes kept of each code: a million names hit one another once in two million exports.
const KEPT_BYTES: usize = 10;
/// A name that the page gave a question, as far as it is one and not a text.
const QUESTION_CHARS_MAX: usize = 40;

/// How an export names what is in it.
#[derive(Clone)]
pub enum Names {
    /// By the ids of the catalog.
    Stored,
    /// By pseudonyms under this key.
    Pseudonyms(Key),
}

/// The key of pseudonyms.
#[derive(Clone)]
pub struct Key(Vec<u8>);

impl Key {
    /// One that nobody else has: pseudonyms fit this export alone.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn fresh() -> Result<Self, getrandom::Error> {
        let mut key = vec![0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self(key))
    }

    /// A secret of somebody's; `None` where it is too short to be one.
    pub fn of(secret: &str) -> Option<Self> {
        let secret = secret.trim();
        (secret.len() >= KEY_BYTES_MIN).then(|| Self(secret.as_bytes().to_vec()))
    }

    /// What is kept of the code of these words; each kind of thing has codes of its own.
    fn code(&self, kind: &str, what: &str) -> String {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        for part in ["filmgate-pseudonym", kind, what] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        hex::encode(&mac.finalize().into_bytes()[..KEPT_BYTES])
    }
}

impl Names {
    fn name(&self, kind: &str, stored: String) -> String {
        match self {
            Self::Stored => stored,
            Self::Pseudonyms(key) => format!("{kind}-{}", key.code(kind, &stored)),
        }
    }

    /// Whether there are pseudonyms.
    pub fn are_pseudonyms(&self) -> bool {
        matches!(self, Self::Pseudonyms(_))
    }

    /// What tells that two exports were made with one key, and nothing of the key.
    pub(super) fn fingerprint(&self) -> Option<String> {
        match self {
            Self::Stored => None,
            Self::Pseudonyms(key) => Some(key.code("key", "fingerprint")),
        }
    }

    pub(super) fn participant(&self, user_id: i64) -> String {
        self.name("participant", user_id.to_string())
    }

    pub(super) fn session(&self, id: Uuid) -> String {
        self.name("session", id.to_string())
    }

    pub(super) fn capture(&self, id: Uuid) -> String {
        self.name("capture", id.to_string())
    }

    /// An assessment, of which the app counts those of each type for itself.
    pub(super) fn assessment(&self, kind: AssessmentType, id: &str) -> String {
        let said = serde_json::from_str::<serde_json::Value>(id).unwrap_or_default();
        let id = said.as_str().map_or_else(|| said.to_string(), str::to_owned);
        match self {
            Self::Stored => id,
            Self::Pseudonyms(_) => self.name("assessment", format!("{} {id}", kind.as_str())),
        }
    }

    /// A load of the page in which frames were taken.
    pub(super) fn run(&self, id: &str) -> String {
        self.name("run", id.to_owned())
    }

    /// A question or message as the page named it; a text that is no name gets a pseudonym too.
    pub(super) fn question(&self, said: &str) -> String {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
        let is_name = said.len() <= QUESTION_CHARS_MAX && said.chars().all(is_plain) && Uuid::try_parse(said).is_err();
        if is_name { said.to_owned() } else { self.name("question", said.to_owned()) }
    }

    /// The client's clock: anything that it said, or what of it is a time.
    pub(super) fn time(&self, said: &str) -> String {
        match (self, said.parse::<jiff::Timestamp>()) {
            (Self::Stored, _) => said.to_owned(),
            (Self::Pseudonyms(_), Ok(time)) => time.to_string(),
            (Self::Pseudonyms(_), Err(_)) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(secret: &str) -> Names {
        Names::Pseudonyms(Key::of(secret).unwrap())
    }

    #[test]
    fn pseudonyms_are_of_the_key_and_of_the_kind() {
        let (one, again, other) =
            (names("a secret of theirs"), names(" a secret of theirs\n"), names("another secret, long"));
        let id = Uuid::from_u128(7);
        assert_eq!(one.session(id), again.session(id), "a line break at a file's end is no part of the secret");
        assert_ne!(one.session(id), other.session(id));
        assert_ne!(one.fingerprint(), other.fingerprint());
        let code = |name: String| name.split_once('-').unwrap().1.to_owned();
        assert_ne!(code(one.session(id)), code(one.capture(id)), "the same id of another kind");
        assert_ne!(one.assessment(AssessmentType::Phq, "7"), one.assessment(AssessmentType::Llm, "7"));
        assert!(Key::of("  too short   ").is_none());
    }

    #[test]
    fn what_a_page_says_freely_is_let_through_only_where_it_is_a_name() {
        let names = names("a secret of theirs");
        assert_eq!(names.question("phq9-1"), "phq9-1");
        for said in ["Dear Alice", "alice@example.org", "018f0000-0000-7000-8000-000000000000", &"x".repeat(41)] {
            assert!(names.question(said).starts_with("question-"), "{said}");
        }
        assert_eq!(names.time("alice"), "");
        assert_eq!(names.time("2026-01-02T03:04:05+01:00"), "2026-01-02T02:04:05Z");
    }
}
