//! What was probably meant.
//!
//! Owns the guess from a misspelt or misplaced name to a real one. Promises to stay silent rather
//! than to suggest something far-fetched.

use super::declare::{KEYS, Key};
use super::settings::SECTIONS;

/// The closest of `known`, if close enough to be a slip.
pub(super) fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    let allowance = (given.chars().count() / 3).max(1);
    let scored = known.iter().map(|name| (distance(given, name), *name));
    scored.filter(|(edits, _)| *edits <= allowance).min_by_key(|(edits, _)| *edits).map(|(_, name)| name)
}

/// The key that `dotted` was meant to name.
pub(super) fn key(dotted: &str) -> Option<&'static Key> {
    let dotted = dotted.to_lowercase().replace('-', "_");
    let (section, name) = dotted.rsplit_once('.').unwrap_or(("", &dotted));
    let same_dotted = || KEYS.iter().find(|key| key.dotted == dotted);
    let same_name = || KEYS.iter().find(|key| key.name == name);
    let in_section = || {
        let keys: Vec<&Key> = KEYS.iter().filter(|key| key.section == section).collect();
        let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
        let near = nearest(name, &names)
            .or_else(|| names.iter().find(|known| name.len() >= 4 && known.starts_with(name)).copied())?;
        KEYS.iter().find(|key| key.section == section && key.name == near)
    };
    let anywhere = || {
        let all: Vec<&str> = KEYS.iter().map(|key| key.dotted).collect();
        let near = nearest(&dotted, &all)?;
        KEYS.iter().find(|key| key.dotted == near)
    };
    let begins = || KEYS.iter().find(|key| name.len() >= 6 && key.name.starts_with(name));
    same_dotted().or_else(same_name).or_else(in_section).or_else(anywhere).or_else(begins)
}

/// The section that `name` was meant to be.
pub(super) fn section(name: &str) -> Option<&'static str> {
    let names: Vec<&'static str> = SECTIONS.iter().map(|section| section.name).collect();
    nearest(&name.to_lowercase(), &names)
}

/// Letters to change, add, drop or swap with their neighbour.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=to.len()).collect();
    for i in 1..=from.len() {
        let mut current = vec![i];
        for j in 1..=to.len() {
            let change = previous[j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut best = change.min(previous[j] + 1).min(current[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            current.push(best);
        }
        before = previous;
        previous = current;
    }
    previous[to.len()]
}
