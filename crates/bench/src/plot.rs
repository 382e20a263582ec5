//! Plots as SVG, made by hand: a frame, two axes, marks. Colours come from the page's style sheet, so that one plot
//! serves light and dark.

use std::fmt::Write;

/// The drawing's size in its own units; the page scales it.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
/// Room for the axes' words.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 40.0;

/// An axis: how a value becomes a place, and what stands beside it.
pub(crate) struct Axis {
    from: f64,
    to: f64,
    is_log: bool,
    ticks: Vec<(f64, String)>,
    label: String,
}

impl Axis {
    /// From zero on, with round steps.
    pub(crate) fn linear(to: f64, label: &str, words: impl Fn(f64) -> String) -> Self {
        let (step, to) = round_steps(to);
        let mut ticks = Vec::new();
        let mut at = 0.0;
        while at <= to + step / 2.0 {
            ticks.push((at, words(at)));
            at += step;
        }
        Self { from: 0.0, to, is_log: false, ticks, label: label.to_owned() }
    }

    /// By powers of ten, between values above zero.
    pub(crate) fn log(from: f64, to: f64, label: &str, words: impl Fn(f64) -> String) -> Self {
        let from = from.max(1e-9);
        let to = to.max(from * 1.2);
        let is_short = (to / from).log10() < 1.6;
        let steps: &[f64] = if is_short { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let mut ticks = Vec::new();
        let mut decade = 10_f64.powf(from.log10().floor());
        while decade <= to {
            for step in steps {
                let at = decade * step;
                if (from * 0.999..=to * 1.001).contains(&at) {
                    ticks.push((at, words(at)));
                }
            }
            decade *= 10.0;
        }
        Self { from, to, is_log: true, ticks, label: label.to_owned() }
    }

    /// From zero to `to`, with ticks as given.
    pub(crate) fn with_ticks(to: f64, ticks: Vec<(f64, String)>, label: &str) -> Self {
        Self { from: 0.0, to, is_log: false, ticks, label: label.to_owned() }
    }

    /// The share of the way, held to the frame.
    fn share(&self, value: f64) -> f64 {
        let share = if self.is_log {
            (value.max(self.from) / self.from).log10() / (self.to / self.from).log10()
        } else {
            (value - self.from) / (self.to - self.from)
        };
        share.clamp(0.0, 1.0)
    }
}

/// A round step and a round end for four or five lines.
fn round_steps(to: f64) -> (f64, f64) {
    let to = if to > 0.0 { to } else { 1.0 };
    let rough = to / 4.0;
    let decade = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * decade).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    (step, (to / step).ceil() * step)
}

/// A plot under construction.
pub(crate) struct Plot {
    x: Axis,
    y: Axis,
    marks: String,
    title: String,
}

impl Plot {
    /// `title` is for who cannot see it.
    pub(crate) fn new(x: Axis, y: Axis, title: &str) -> Self {
        Self { x, y, marks: String::new(), title: title.to_owned() }
    }

    fn across(&self, value: f64) -> f64 {
        LEFT + self.x.share(value) * (WIDTH - LEFT - RIGHT)
    }

    fn up(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.share(value) * (HEIGHT - TOP - BOTTOM)
    }

    fn path(&self, points: &[(f64, f64)]) -> String {
        let mut path = String::new();
        for (at, (x, y)) in points.iter().enumerate() {
            put(
                &mut path,
                format_args!("{}{:.1} {:.1}", if at == 0 { "M" } else { "L" }, self.across(*x), self.up(*y)),
            );
        }
        path
    }

    /// A line; what it is called in the style sheet.
    pub(crate) fn line(&mut self, points: &[(f64, f64)], class: &str) {
        let path = self.path(points);
        put(&mut self.marks, format_args!("<path class=\"line {class}\" d=\"{path}\"/>"));
    }

    /// A line of steps, each as wide as to the next.
    pub(crate) fn steps(&mut self, points: &[(f64, f64)], width: f64, class: &str) {
        let steps: Vec<_> = points.iter().flat_map(|(x, y)| [(*x, *y), (*x + width, *y)]).collect();
        self.line(&steps, class);
    }

    /// A filled band between two lines over the same places.
    pub(crate) fn band(&mut self, points: &[(f64, f64, f64)], class: &str) {
        let mut path = self.path(&points.iter().map(|(x, _, high)| (*x, *high)).collect::<Vec<_>>());
        for (x, low, _) in points.iter().rev() {
            put(&mut path, format_args!("L{:.1} {:.1}", self.across(*x), self.up(*low)));
        }
        put(&mut self.marks, format_args!("<path class=\"band {class}\" d=\"{path}Z\"/>"));
    }

    /// A bar from the ground, with words for who points at it.
    pub(crate) fn bar(&mut self, from: f64, to: f64, low: f64, high: f64, class: &str, words: &str) {
        let (left, right) = (self.across(from), self.across(to));
        let (top, bottom) = (self.up(high), self.up(low));
        let gap = if right - left > 4.0 { 0.6 } else { 0.0 };
        put(
            &mut self.marks,
            format_args!(
                "<rect class=\"bar {class}\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}</title></rect>",
                left + gap,
                (right - left - gap * 2.0).max(0.5),
                (bottom - top).max(0.0),
                escaped(words)
            ),
        );
    }

    /// An upright line with words at its top.
    pub(crate) fn marker(&mut self, at: f64, words: &str) {
        let x = self.across(at);
        let (anchor, nudge) = if x > WIDTH * 0.8 { ("end", -4.0) } else { ("start", 4.0) };
        put(
            &mut self.marks,
            format_args!(
                "<path class=\"marker\" d=\"M{x:.1} {TOP}V{}\"/><text class=\"mark\" x=\"{:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
                HEIGHT - BOTTOM,
                x + nudge,
                TOP + 2.0,
                escaped(words)
            ),
        );
    }

    /// Words for who points at a place, over its whole height.
    pub(crate) fn hover(&mut self, from: f64, to: f64, words: &str) {
        let (left, right) = (self.across(from), self.across(to));
        put(
            &mut self.marks,
            format_args!(
                "<rect class=\"hover\" x=\"{left:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{}\"><title>{}</title></rect>",
                (right - left).max(0.5),
                HEIGHT - TOP - BOTTOM,
                escaped(words)
            ),
        );
    }

    /// The drawing.
    pub(crate) fn svg(&self) -> String {
        let mut out =
            format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">", escaped(&self.title));
        let ground = HEIGHT - BOTTOM;
        for (value, words) in &self.y.ticks {
            let y = self.up(*value);
            put(
                &mut out,
                format_args!(
                    "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{}\"/><text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                    WIDTH - RIGHT,
                    LEFT - 8.0,
                    y + 3.5,
                    escaped(words)
                ),
            );
        }
        for (value, words) in &self.x.ticks {
            let x = self.across(*value);
            put(
                &mut out,
                format_args!(
                    "<path class=\"grid\" d=\"M{x:.1} {ground}v4\"/><text class=\"tick\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                    ground + 16.0,
                    escaped(words)
                ),
            );
        }
        put(
            &mut out,
            format_args!(
                "{}<path class=\"ground\" d=\"M{LEFT} {ground}H{}\"/>\
                 <text class=\"label\" x=\"{LEFT}\" y=\"10\">{}</text>\
                 <text class=\"label\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text></svg>",
                self.marks,
                WIDTH - RIGHT,
                escaped(&self.y.label),
                WIDTH - RIGHT,
                HEIGHT - 6.0,
                escaped(&self.x.label),
            ),
        );
        out
    }
}

/// Writes into a text.
pub(crate) fn put(out: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _written = out.write_fmt(words).is_ok();
}

/// Text as it may stand in HTML and in attributes: what a server said is not to be run by who reads the report.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_round_and_hold_what_is_on_them() {
        for (to, end) in [(97.0, 100.0), (3.0, 3.0), (1_234.0, 1_500.0), (0.0, 1.0)] {
            let (step, found) = round_steps(to);
            assert!(
                found >= to && (found - to < step || to == 0.0) && (3.0..=5.0).contains(&(found / step)),
                "{to}: {step} {found}"
            );
            assert!((found - end).abs() < 1e-9, "{to}: {found} is not {end}");
        }
        let axis = Axis::log(0.001, 1.0, "", |value| value.to_string());
        assert!((axis.share(0.031_622_8) - 0.5).abs() < 1e-6);
        assert_eq!((axis.share(0.0), axis.share(9.0)), (0.0, 1.0));
    }

    #[test]
    fn what_a_server_said_stays_text() {
        let mut plot =
            Plot::new(Axis::linear(1.0, "", |_| String::new()), Axis::linear(1.0, "", |_| String::new()), "<a>");
        plot.bar(0.0, 1.0, 0.0, 1.0, "x", "<script>");
        assert!(!plot.svg().contains("<script>") && !plot.svg().contains("<a>"));
    }
}
