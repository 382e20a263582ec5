//! Which captures of the one side are which of the other.
//!
//! Owns the comparison alone; no I/O. Promises that whatever is of one session, one trigger and one size, and of nearly
//! one time, is found to be the same photo; that times alone decide only where a size is not known; that each capture is
//! paired once at most; and that the order in which captures are given does not matter.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use uuid::Uuid;

/// A capture of either side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Seen {
    /// The session's id here.
    #[serde(skip)]
    pub(super) session: Uuid,
    /// Its key in the app.
    pub(super) session_id: String,
    /// In capitals.
    pub(super) trigger: String,
    #[serde(rename = "timestamp")]
    pub(super) time: Timestamp,
    pub(super) id: String,
    pub(super) filename: String,
    /// As it was sent, where that is known.
    #[serde(rename = "file_size_bytes")]
    pub(super) bytes: Option<u64>,
}

/// Captures of one session and trigger in one minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Counted {
    pub(super) session_id: String,
    pub(super) trigger: String,
    pub(super) minute: String,
    /// The app's.
    pub(super) app: u64,
    /// Filmgate's.
    pub(super) filmgate: u64,
    /// Of the app's, those that Filmgate has not.
    pub(super) missing_in_filmgate: u64,
    /// Of Filmgate's, those that the app has not.
    pub(super) missing_in_app: u64,
}

#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) minutes: Vec<Counted>,
    pub(super) missing_in_filmgate: Vec<Seen>,
    pub(super) missing_in_app: Vec<Seen>,
    /// Pairs of which one has no size.
    pub(super) paired_by_time: u64,
}

/// Compares what was taken from `from` and before `until`. Both sides are to be given with `tolerance` more before and
/// after, as one photo has two times.
pub(super) fn compare(
    app: Vec<Seen>,
    filmgate: Vec<Seen>,
    (from, until): (Timestamp, Timestamp),
    tolerance: SignedDuration,
) -> Compared {
    let mut groups: HashMap<(Uuid, String), (Vec<Seen>, Vec<Seen>)> = HashMap::new();
    for seen in app {
        groups.entry((seen.session, seen.trigger.clone())).or_default().0.push(seen);
    }
    for seen in filmgate {
        groups.entry((seen.session, seen.trigger.clone())).or_default().1.push(seen);
    }
    let is_within = |time: Timestamp| time >= from && time < until;
    let mut compared = Compared::default();
    let mut minutes: BTreeMap<(String, String, String), Counted> = BTreeMap::new();
    for (app, filmgate) in groups.into_values() {
        let mut pairing = Pairing::of(app, filmgate);
        pairing.by_size(tolerance);
        let exact = pairing.pairs.len();
        pairing.without_size(tolerance);
        for (at, (app, _)) in pairing.pairs.iter().enumerate() {
            // A pair is where the app has it.
            if is_within(app.time) {
                let minute = minute_of(&mut minutes, app);
                minute.app += 1;
                minute.filmgate += 1;
                compared.paired_by_time += u64::from(at >= exact);
            }
        }
        for seen in pairing.app.into_iter().filter(|seen| is_within(seen.time)) {
            let minute = minute_of(&mut minutes, &seen);
            minute.app += 1;
            minute.missing_in_filmgate += 1;
            compared.missing_in_filmgate.push(seen);
        }
        for seen in pairing.filmgate.into_iter().filter(|seen| is_within(seen.time)) {
            let minute = minute_of(&mut minutes, &seen);
            minute.filmgate += 1;
            minute.missing_in_app += 1;
            compared.missing_in_app.push(seen);
        }
    }
    compared.minutes = minutes.into_values().collect();
    for missing in [&mut compared.missing_in_filmgate, &mut compared.missing_in_app] {
        missing.sort_by(|one, other| (one.time, &one.id).cmp(&(other.time, &other.id)));
    }
    compared
}

fn minute_of<'a>(minutes: &'a mut BTreeMap<(String, String, String), Counted>, seen: &Seen) -> &'a mut Counted {
    let minute = seen.time.strftime("%Y-%m-%dT%H:%MZ").to_string();
    let key = (seen.session_id.clone(), seen.trigger.clone(), minute.clone());
    minutes.entry(key).or_insert_with(|| Counted {
        session_id: seen.session_id.clone(),
        trigger: seen.trigger.clone(),
        minute,
        app: 0,
        filmgate: 0,
        missing_in_filmgate: 0,
        missing_in_app: 0,
    })
}

/// Captures of one session and trigger: pairs, and who is alone as yet.
struct Pairing {
    app: Vec<Seen>,
    filmgate: Vec<Seen>,
    pairs: Vec<(Seen, Seen)>,
}

impl Pairing {
    fn of(mut app: Vec<Seen>, mut filmgate: Vec<Seen>) -> Self {
        for side in [&mut app, &mut filmgate] {
            side.sort_by(|one, other| (one.time, &one.id).cmp(&(other.time, &other.id)));
        }
        Self { app, filmgate, pairs: Vec::new() }
    }

    /// Those of one size: two photos of a camera hardly ever have one.
    fn by_size(&mut self, tolerance: SignedDuration) {
        let mut sizes: HashMap<Option<u64>, (Vec<Seen>, Vec<Seen>)> = HashMap::new();
        for seen in std::mem::take(&mut self.app) {
            sizes.entry(seen.bytes).or_default().0.push(seen);
        }
        for seen in std::mem::take(&mut self.filmgate) {
            sizes.entry(seen.bytes).or_default().1.push(seen);
        }
        for (bytes, (app, filmgate)) in sizes {
            let mut one = Self { app, filmgate, pairs: Vec::new() };
            if bytes.is_some() {
                one.by_time(tolerance);
            }
            self.app.append(&mut one.app);
            self.filmgate.append(&mut one.filmgate);
            self.pairs.append(&mut one.pairs);
        }
        let Self { app, filmgate, pairs } = std::mem::replace(self, Self::of(Vec::new(), Vec::new()));
        *self = Self { pairs, ..Self::of(app, filmgate) };
    }

    /// Whoever has no size, with whoever is left.
    fn without_size(&mut self, tolerance: SignedDuration) {
        let (unknown, app) = std::mem::take(&mut self.app).into_iter().partition(|seen| seen.bytes.is_none());
        self.app = unknown;
        self.by_time(tolerance);
        let (unknown, filmgate) = std::mem::take(&mut self.filmgate).into_iter().partition(|seen| seen.bytes.is_none());
        let app_alone = std::mem::replace(&mut self.app, app);
        self.filmgate = unknown;
        self.by_time(tolerance);
        self.app.extend(app_alone);
        self.filmgate.extend::<Vec<Seen>>(filmgate);
    }

    /// The earliest of the one with the earliest of the other, where they are near; no other way makes more pairs.
    fn by_time(&mut self, tolerance: SignedDuration) {
        let (mut app, mut filmgate) = (Vec::new(), Vec::new());
        let mut theirs = std::mem::take(&mut self.app).into_iter().peekable();
        let mut ours = std::mem::take(&mut self.filmgate).into_iter().peekable();
        while let (Some(one), Some(other)) = (theirs.peek(), ours.peek()) {
            let apart = other.time.duration_since(one.time);
            if apart > tolerance {
                app.extend(theirs.next());
            } else if apart < -tolerance {
                filmgate.extend(ours.next());
            } else {
                self.pairs.extend(theirs.next().zip(ours.next()));
            }
        }
        app.extend(theirs);
        filmgate.extend(ours);
        (self.app, self.filmgate) = (app, filmgate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: SignedDuration = SignedDuration::from_secs(10);

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_795_507_200_000 + milliseconds).unwrap()
    }

    fn seen(id: i64, milliseconds: i64, bytes: Option<u64>) -> Seen {
        Seen {
            session: Uuid::from_u128(1),
            session_id: "1".to_owned(),
            trigger: "INTERVAL".to_owned(),
            time: at(milliseconds),
            id: id.to_string(),
            filename: format!("{id}.jpg"),
            bytes,
        }
    }

    fn all(app: Vec<Seen>, filmgate: Vec<Seen>) -> Compared {
        compare(app, filmgate, (at(0), at(600_000)), TOLERANCE)
    }

    fn ids(seen: &[Seen]) -> Vec<&str> {
        seen.iter().map(|seen| seen.id.as_str()).collect()
    }

    #[test]
    fn photos_that_both_have_are_paired_though_their_minutes_differ() {
        // One in a second over ten minutes, which Filmgate sees half a second later: some in the next minute.
        let app: Vec<Seen> = (0..600).map(|n| seen(n, n * 1000, Some(50_000 + n.unsigned_abs()))).collect();
        let ours = (0..600).rev().map(|n| seen(n, n * 1000 + 500, Some(50_000 + n.unsigned_abs()))).collect();
        let compared = all(app, ours);
        assert!(compared.missing_in_filmgate.is_empty() && compared.missing_in_app.is_empty(), "{compared:?}");
        assert_eq!(compared.minutes.len(), 10);
        assert!(compared.minutes.iter().all(|minute| (minute.app, minute.filmgate) == (60, 60)));
        assert_eq!(compared.paired_by_time, 0);
    }

    #[test]
    fn the_one_that_is_missing_is_named_and_not_its_neighbour() {
        let app: Vec<Seen> = (0..60).map(|n| seen(n, n * 1000, Some(50_000 + n.unsigned_abs()))).collect();
        let mut ours: Vec<Seen> = app.clone();
        ours.retain(|seen| seen.id != "7");
        let mut theirs = app;
        theirs.retain(|seen| seen.id != "30");
        let compared = all(theirs, ours);
        assert_eq!((ids(&compared.missing_in_filmgate), ids(&compared.missing_in_app)), (vec!["7"], vec!["30"]));
        assert_eq!(
            compared.minutes,
            [Counted {
                session_id: "1".to_owned(),
                trigger: "INTERVAL".to_owned(),
                minute: "2026-11-24T08:00Z".to_owned(),
                app: 59,
                filmgate: 59,
                missing_in_filmgate: 1,
                missing_in_app: 1
            }],
            "the same number is not the same photos"
        );
    }

    #[test]
    fn without_a_size_the_times_decide() {
        let app = (0..20).map(|n| seen(n, n * 1000, None)).collect();
        let ours = (0..19).map(|n| seen(n, n * 1000, Some(7))).collect();
        let compared = all(app, ours);
        assert_eq!(
            (compared.missing_in_filmgate.len(), compared.missing_in_app.len(), compared.paired_by_time),
            (1, 0, 19)
        );
        let app = (0..20).map(|n| seen(n, n * 1000, Some(9))).collect();
        let ours = (1..20).map(|n| seen(n, n * 1000, if n == 7 { Some(8) } else { None })).collect();
        let compared = all(app, ours);
        assert_eq!(
            (compared.missing_in_filmgate.len(), ids(&compared.missing_in_app), compared.paired_by_time),
            (2, vec!["7"], 18)
        );
        // Where times are farther apart than anything takes, they are two photos.
        let compared = all(vec![seen(1, 0, Some(7))], vec![seen(2, 10_001, Some(7))]);
        assert_eq!((ids(&compared.missing_in_filmgate), ids(&compared.missing_in_app)), (vec!["1"], vec!["2"]));
    }

    #[test]
    fn at_the_edges_a_photo_is_where_the_app_has_it() {
        let within = (at(60_000), at(120_000));
        let app = vec![seen(1, 59_900, Some(1)), seen(2, 119_900, Some(2)), seen(3, 130_000, Some(3))];
        let ours = vec![seen(1, 60_100, Some(1)), seen(2, 120_100, Some(2)), seen(4, 119_000, Some(4))];
        let compared = compare(app, ours, within, TOLERANCE);
        assert_eq!((ids(&compared.missing_in_filmgate), ids(&compared.missing_in_app)), (vec![], vec!["4"]));
        assert_eq!(compared.minutes.iter().map(|minute| minute.app).sum::<u64>(), 1);
    }

    #[test]
    fn another_trigger_or_session_is_another_photo() {
        let mut other = seen(1, 0, Some(7));
        other.trigger = "BUTTON_CLICK".to_owned();
        assert_eq!(all(vec![seen(1, 0, Some(7))], vec![other]).minutes.len(), 2);
        let mut other = seen(1, 0, Some(7));
        other.session = Uuid::from_u128(2);
        let compared = all(vec![seen(1, 0, Some(7))], vec![other]);
        assert_eq!((compared.missing_in_filmgate.len(), compared.missing_in_app.len()), (1, 1));
    }
}
