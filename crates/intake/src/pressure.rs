//! How hard the server is pressed, and what it asks of cameras because of it: the live hints.
//!
//! Owns one number, the *relief*, from 0 to 3, and what follows from it. Promises: relief comes in stages, each whole before
//! the next begins: from 0 to 1 frames of the timer are asked for further apart, from 1 to 2 in lower quality, from 2 to 3
//! a growing share of them is refused at the door; a frame of an event is never refused for it, and keeps places that frames
//! of the timer cannot take. Relief grows while uploads take too long or are refused, and goes away by itself. Leaves to
//! others: saying which frame is the timer's (`filmgate`, by a header), counting places (`admission.rs`), following the
//! hints (the pages).
//!
//! Time that a slow phone takes to send is no pressure: only what comes after an upload's last byte is measured.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What is asked of cameras at most, and when.
#[derive(Clone, Debug)]
pub struct HintOptions {
    /// Off: nothing is asked of anybody, and all frames are alike.
    pub enabled: bool,
    /// How long uploads may take on average from their last byte to their answer before fewer are asked for.
    pub answer_max: Duration,
    /// Frames of the timer are asked to be this far apart at most.
    pub interval_max: Duration,
    /// The lowest JPEG quality that is asked for, in percent.
    pub quality_percent_min: u32,
    /// The share of places that frames of the timer cannot take, in percent.
    pub event_places_percent: u32,
}

impl Default for HintOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            answer_max: Duration::from_secs(1),
            interval_max: Duration::from_secs(8),
            quality_percent_min: 50,
            event_places_percent: 20,
        }
    }
}

/// What the server wishes just now; goes with every answer to an upload.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Wish {
    /// Frames of the timer no closer together than this; those of events as ever.
    pub interval: Option<Duration>,
    /// JPEG quality of frames to come, in percent.
    pub quality_percent: Option<u32>,
}

/// The shortest interval that camera settings know: from there on a wish makes a difference.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// What pages send where nobody asks for less, in percent.
const QUALITY_FULL: u32 = 80;
/// One look at what happened, and one step.
const STEP: Duration = Duration::from_secs(1);
/// Load above which relief grows, and below which it goes away. In between it stays as it is.
const PRESSED: f64 = 1.0;
const CALM: f64 = 0.5;
/// By so much: up fast, down slowly, or pages would all come back at once.
const UP: f64 = 0.1;
const UP_MAX: f64 = 0.25;
const DOWN: f64 = 0.05;
/// From where frames are lowered or refused, it goes away faster: what is asked for there costs most.
const DOWN_BEYOND: f64 = 0.15;
const RELIEF_MAX: f64 = 3.0;

#[derive(Clone)]
pub(crate) struct Pressure {
    options: Arc<HintOptions>,
    state: Arc<Mutex<State>>,
    interval_gauge: Gauge<f64, AtomicU64>,
    quality_gauge: Gauge<f64, AtomicU64>,
    refused_counter: Counter,
}

struct State {
    relief: f64,
    /// When the last step was.
    stepped: Instant,
    /// What was seen since: how much, and how often.
    load: f64,
    seen: u32,
    refused: u32,
    /// The load of the step before.
    load_before: f64,
    /// Of the share of frames that is refused, what the next one inherits.
    owed: f64,
}

impl Pressure {
    pub(crate) fn new(options: HintOptions, now: Instant) -> Self {
        let state = State { relief: 0.0, stepped: now, load: 0.0, seen: 0, refused: 0, load_before: 0.0, owed: 0.0 };
        let pressure = Self {
            options: Arc::new(options),
            state: Arc::new(Mutex::new(state)),
            interval_gauge: Gauge::default(),
            quality_gauge: Gauge::default(),
            refused_counter: Counter::default(),
        };
        pressure.show(0.0);
        pressure
    }

    pub(crate) fn register_metrics(&self, registry: &mut Registry) {
        let interval = "How far apart frames of the timer are asked for; 0 where nothing is asked";
        registry.register("hint_interval_seconds", interval, self.interval_gauge.clone());
        let quality = "The JPEG quality that is asked for, from 0 to 1; 1 where nothing is asked";
        registry.register("hint_quality", quality, self.quality_gauge.clone());
        let refused = "Uploads of the timer refused so that those of events find a place";
        registry.register("interval_frames_refused", refused, self.refused_counter.clone());
    }

    /// The most of `whole` that frames of the timer may take.
    pub(crate) fn interval_share(&self, whole: u64) -> u64 {
        if !self.options.enabled {
            return whole;
        }
        let share = u64::from(100_u32.saturating_sub(self.options.event_places_percent));
        // Never nothing: a server that takes one upload at a time takes one of the timer too.
        (whole / 100 * share + whole % 100 * share / 100).max(1)
    }

    /// Whether this frame of the timer is one of those that relief refuses; which is no sign of more pressure.
    pub(crate) fn turns_away(&self, now: Instant) -> bool {
        let mut state = self.state_at(now);
        let share = state.relief - 2.0;
        if share <= 0.0 {
            state.owed = 0.0;
            return false;
        }
        state.owed += share;
        let refused = state.owed >= 1.0;
        if refused {
            state.owed -= 1.0;
            self.refused_counter.inc();
        }
        refused
    }

    /// An upload was answered so long after its last byte.
    pub(crate) fn answered(&self, took: Duration, now: Instant) {
        let mut state = self.state_at(now);
        state.load += took.as_secs_f64() / self.options.answer_max.as_secs_f64().max(0.001);
        state.seen += 1;
    }

    /// An upload found no place, or the disk's queue full.
    pub(crate) fn refused(&self, now: Instant) {
        self.state_at(now).refused += 1;
    }

    /// The same of a frame of the timer, which may take fewer.
    pub(crate) fn refused_interval(&self, now: Instant) {
        self.refused_counter.inc();
        self.refused(now);
    }

    pub(crate) fn wish(&self, now: Instant) -> Wish {
        let relief = self.state_at(now).relief;
        self.wish_of(relief)
    }

    fn wish_of(&self, relief: f64) -> Wish {
        if !self.options.enabled || relief <= 0.0 {
            return Wish::default();
        }
        let most = self.options.interval_max.max(INTERVAL_MIN).as_secs_f64() / INTERVAL_MIN.as_secs_f64();
        // Each step asks for the same share less, whatever is asked for already.
        let interval = INTERVAL_MIN.mul_f64(most.powf(relief.min(1.0)));
        let lowest = f64::from(self.options.quality_percent_min.min(QUALITY_FULL));
        let full = f64::from(QUALITY_FULL);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 80")]
        let quality = (relief > 1.0).then(|| (full - (full - lowest) * (relief - 1.0).min(1.0)).round() as u32);
        Wish { interval: Some(interval), quality_percent: quality }
    }

    fn show(&self, relief: f64) {
        let wish = self.wish_of(relief);
        self.interval_gauge.set(wish.interval.map_or(0.0, |interval| interval.as_secs_f64()));
        self.quality_gauge.set(wish.quality_percent.map_or(1.0, |percent| f64::from(percent) / 100.0));
    }

    /// The state once the steps that are due were taken. There is no thread for it: nobody hears a wish but who uploads.
    fn state_at(&self, now: Instant) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(state.stepped);
        if !self.options.enabled || passed < STEP {
            return state;
        }
        let load = match (state.refused, state.seen) {
            (0, 0) => 0.0,
            (0, seen) => state.load / f64::from(seen),
            // Whoever found no place would have waited longest.
            _ => 3.0_f64.max(state.load / f64::from(state.seen.max(1))),
        };
        // While the load falls, what was asked for already works; what waits in line has to be worked off first.
        if load > PRESSED && load > state.load_before * 0.95 {
            state.relief += (UP * load).min(UP_MAX);
        }
        // Seconds in which nobody came are calm ones.
        let calm = passed.div_duration_f64(STEP).floor() - if load < CALM { 0.0 } else { 1.0 };
        state.relief = after_calm(state.relief, calm.max(0.0));
        state.load_before = load;
        (state.stepped, state.load, state.seen, state.refused) = (now, 0.0, 0, 0);
        self.show(state.relief);
        state
    }
}

/// What is left of relief after so many calm seconds.
fn after_calm(relief: f64, seconds: f64) -> f64 {
    let relief = relief.min(RELIEF_MAX);
    let beyond = ((relief - 1.0) / DOWN_BEYOND).clamp(0.0, seconds);
    let left = relief - beyond * DOWN_BEYOND - (seconds - beyond) * DOWN;
    if left < DOWN / 2.0 { 0.0 } else { left }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(seconds: u64, took: Duration) -> (Pressure, Instant) {
        let mut now = Instant::now();
        let pressure = Pressure::new(HintOptions::default(), now);
        for _ in 0..seconds {
            pressure.answered(took, now);
            now += STEP;
            pressure.answered(took, now);
        }
        (pressure, now)
    }

    #[test]
    fn nothing_is_asked_while_answers_are_quick() {
        let (pressure, now) = pressed(60, Duration::from_millis(400));
        assert_eq!(pressure.wish(now), Wish::default());
    }

    #[test]
    fn thinned_first_then_lower_quality_then_refused() {
        let mut stages = Vec::new();
        for seconds in 0..60 {
            let (pressure, now) = pressed(seconds, Duration::from_millis(1_500));
            let wish = pressure.wish(now);
            let thinned = wish.interval.map_or(0, |interval| interval.as_millis());
            let refused = (0..100).filter(|_| pressure.turns_away(now)).count();
            stages.push((thinned, wish.quality_percent.unwrap_or(100), refused));
        }
        assert!(stages.windows(2).all(|two| two[0].0 <= two[1].0 && two[0].1 >= two[1].1 && two[0].2 <= two[1].2));
        assert_eq!(stages[0], (0, 100, 0));
        assert_eq!(stages.last(), Some(&(8_000, 50, 100)));
        // A stage begins once the one before it is whole.
        assert!(stages.iter().all(|(interval, quality, _)| *quality == 100 || *interval == 8_000));
        assert!(stages.iter().all(|(_, quality, refused)| *refused == 0 || *quality == 50));
        assert!(stages.iter().any(|(interval, quality, _)| *interval > 2_000 && *quality == 100));
    }

    #[test]
    fn it_goes_away_slowly_and_by_itself() {
        let (pressure, now) = pressed(12, Duration::from_secs(3));
        let worst = pressure.wish(now).interval.unwrap_or_default();
        assert_eq!(worst, Duration::from_secs(8));
        pressure.answered(Duration::from_millis(1), now);
        let soon = pressure.wish(now + STEP);
        assert!(soon.interval.is_some(), "a second is not long");
        assert_eq!(pressure.wish(now + Duration::from_secs(90)), Wish::default());
    }

    #[test]
    fn between_calm_and_pressed_it_stays() {
        let (pressure, mut now) = pressed(3, Duration::from_secs(3));
        now += STEP;
        let before = pressure.wish(now);
        assert!(before.interval.is_some());
        for _ in 0..20 {
            pressure.answered(Duration::from_millis(800), now);
            now += STEP;
            assert_eq!(pressure.wish(now), before);
        }
    }

    #[test]
    fn while_the_load_falls_no_more_is_asked() {
        let (pressure, mut now) = pressed(3, Duration::from_secs(4));
        now += STEP;
        let before = pressure.wish(now);
        for took_ms in [3_500, 3_000, 2_500, 2_000, 1_500] {
            pressure.answered(Duration::from_millis(took_ms), now);
            now += STEP;
            assert_eq!(pressure.wish(now), before);
        }
    }

    #[test]
    fn a_refusal_is_pressure_whatever_the_answers_say() {
        let mut now = Instant::now();
        let pressure = Pressure::new(HintOptions::default(), now);
        pressure.answered(Duration::from_millis(1), now);
        pressure.refused(now);
        now += STEP;
        assert!(pressure.wish(now).interval.is_some());
    }

    #[test]
    fn places_are_kept_for_events() {
        let pressure = Pressure::new(HintOptions::default(), Instant::now());
        let shares = [1, 2, 10, 12_000, u64::MAX].map(|whole| pressure.interval_share(whole));
        assert_eq!(shares[..4], [1, 1, 8, 9_600]);
        assert!(shares[4] > u64::MAX / 5 * 3);
        let off = Pressure::new(HintOptions { enabled: false, ..HintOptions::default() }, Instant::now());
        assert_eq!(off.interval_share(10), 10);
    }
}
