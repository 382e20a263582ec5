//! The cores of one machine: uploads first, decoding on what is left.
//!
//! An upload that finds no idle core takes one from a decoder, which goes on later where it was cut off: what
//! `SCHED_IDLE` does, without the scheduler's ticks.

use std::collections::VecDeque;

/// Whose work it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    /// The upload, [`Ticket::WRITER`], or [`Ticket::NOBODY`] for work that nobody waits for.
    pub(super) upload: usize,
    /// The try of it; an older one's work is of no use any more.
    pub(super) generation: u32,
    /// The node it runs for.
    pub(super) node: usize,
}

impl Ticket {
    pub(super) const NOBODY: usize = usize::MAX;
    /// SQLite's one writer of the node, with its next commit in hand.
    pub(super) const WRITER: usize = usize::MAX - 1;
}

/// A decode, and how much of it is still to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decode {
    pub(super) node: usize,
    pub(super) left: f64,
    /// When its photo was answered.
    pub(super) since: f64,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    id: u64,
    ends_at: f64,
    decode: Decode,
}

/// What has begun, to be entered in the calendar.
#[derive(Clone, Copy, Debug)]
pub(super) enum Begun {
    Upload { ticket: Ticket, ends_at: f64 },
    Decode { id: u64, ends_at: f64 },
}

#[derive(Debug)]
pub(super) struct Cores {
    count: usize,
    /// Decodes at once: those that were cut off hold their place.
    decodes_max: usize,
    running: Vec<Ticket>,
    waiting: VecDeque<(Ticket, f64)>,
    decoding: Vec<Running>,
    cut_off: VecDeque<Decode>,
    next_id: u64,
    since: f64,
    upload_seconds: f64,
    decode_seconds: f64,
}

impl Cores {
    pub(super) fn new(count: usize, decodes_max: usize) -> Self {
        Self {
            count,
            decodes_max,
            running: Vec::new(),
            waiting: VecDeque::new(),
            decoding: Vec::new(),
            cut_off: VecDeque::new(),
            next_id: 0,
            since: 0.0,
            upload_seconds: 0.0,
            decode_seconds: 0.0,
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn busy(&self) -> usize {
        self.running.len() + self.decoding.len()
    }

    /// Core seconds used until now: by uploads, and by decodes.
    pub(super) fn used(&mut self, now: f64) -> (f64, f64) {
        self.count_time(now);
        (self.upload_seconds, self.decode_seconds)
    }

    fn count_time(&mut self, now: f64) {
        let passed = now - self.since;
        self.upload_seconds += passed * self.running.len() as f64;
        self.decode_seconds += passed * self.decoding.len() as f64;
        self.since = now;
    }

    /// Work of an upload arrives.
    pub(super) fn offer(&mut self, now: f64, ticket: Ticket, work: f64) -> Option<Begun> {
        self.count_time(now);
        if self.busy() >= self.count {
            // The one that began last has least to lose.
            let Some(cut) = self.decoding.pop() else {
                // The writer sleeps between commits, and who slept is let in first by the scheduler.
                if ticket.upload == Ticket::WRITER {
                    self.waiting.push_front((ticket, work));
                } else {
                    self.waiting.push_back((ticket, work));
                }
                return None;
            };
            self.cut_off.push_front(Decode { left: (cut.ends_at - now).max(0.0), ..cut.decode });
        }
        Some(self.begin(now, ticket, work))
    }

    fn begin(&mut self, now: f64, ticket: Ticket, work: f64) -> Begun {
        self.running.push(ticket);
        Begun::Upload { ticket, ends_at: now + work }
    }

    /// Work of an upload is done; what begins in its place. `None` as the first where it had been called off.
    pub(super) fn done(&mut self, now: f64, ticket: Ticket) -> (bool, Option<Begun>) {
        self.count_time(now);
        let Some(at) = self.running.iter().position(|running| *running == ticket) else { return (false, None) };
        self.running.swap_remove(at);
        (true, self.begin_next(now))
    }

    fn begin_next(&mut self, now: f64) -> Option<Begun> {
        if self.busy() >= self.count {
            return None;
        }
        let (ticket, work) = self.waiting.pop_front()?;
        Some(self.begin(now, ticket, work))
    }

    /// Whether a decoder is free to take a further photo.
    pub(super) fn takes_decode(&self) -> bool {
        self.busy() < self.count
            && self.waiting.is_empty()
            && self.cut_off.is_empty()
            && self.decoding.len() < self.decodes_max
    }

    pub(super) fn decode(&mut self, now: f64, decode: Decode) -> Begun {
        self.count_time(now);
        let id = self.next_id;
        self.next_id += 1;
        let ends_at = now + decode.left;
        self.decoding.push(Running { id, ends_at, decode });
        Begun::Decode { id, ends_at }
    }

    /// A decode that was cut off goes on, if a core is idle.
    pub(super) fn resume(&mut self, now: f64) -> Option<Begun> {
        if self.busy() >= self.count || !self.waiting.is_empty() {
            return None;
        }
        let decode = self.cut_off.pop_front()?;
        Some(self.decode(now, decode))
    }

    /// The decode, if it was not cut off meanwhile.
    pub(super) fn decoded(&mut self, now: f64, id: u64) -> Option<Decode> {
        self.count_time(now);
        let at = self.decoding.iter().position(|running| running.id == id)?;
        Some(self.decoding.swap_remove(at).decode)
    }

    /// A node dies: its work is gone. Its decodes, and what begins in the place of its uploads.
    pub(super) fn evict(&mut self, now: f64, node: usize) -> (Vec<Decode>, Vec<Begun>) {
        self.count_time(now);
        self.running.retain(|ticket| ticket.node != node);
        self.waiting.retain(|(ticket, _)| ticket.node != node);
        let mut lost: Vec<Decode> =
            self.decoding.iter().map(|running| running.decode).filter(|decode| decode.node == node).collect();
        lost.extend(self.cut_off.iter().filter(|decode| decode.node == node));
        self.decoding.retain(|running| running.decode.node != node);
        self.cut_off.retain(|decode| decode.node != node);
        let mut begun = Vec::new();
        while let Some(next) = self.begin_next(now) {
            begun.push(next);
        }
        (lost, begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(upload: usize) -> Ticket {
        Ticket { upload, generation: 0, node: upload % 2 }
    }

    #[test]
    fn an_upload_takes_the_core_of_a_decoder_which_goes_on_later() {
        let mut cores = Cores::new(1, 1);
        assert!(cores.takes_decode());
        let Begun::Decode { id, ends_at } = cores.decode(0.0, Decode { node: 0, left: 10.0, since: 0.0 }) else {
            panic!("a decode");
        };
        assert!((ends_at - 10.0).abs() < 1e-12);
        assert!(
            matches!(cores.offer(4.0, ticket(1), 2.0), Some(Begun::Upload { ends_at, .. }) if (ends_at - 6.0).abs() < 1e-12)
        );
        assert!(cores.decoded(10.0, id).is_none(), "it was cut off");
        assert!(!cores.takes_decode());
        assert!(matches!(cores.done(10.0, ticket(1)), (true, None)));
        let Some(Begun::Decode { ends_at, .. }) = cores.resume(10.0) else { panic!("it goes on") };
        assert!((ends_at - 16.0).abs() < 1e-12, "four of ten seconds were done");
        let (uploads, decodes) = cores.used(16.0);
        assert!((uploads - 6.0).abs() < 1e-12 && (decodes - 10.0).abs() < 1e-12);
    }

    #[test]
    fn what_a_dead_node_ran_gives_way_to_what_waits() {
        let mut cores = Cores::new(1, 0);
        assert!(cores.offer(0.0, ticket(0), 5.0).is_some());
        assert!(cores.offer(0.0, ticket(2), 5.0).is_none());
        assert!(cores.offer(0.0, ticket(1), 5.0).is_none());
        let (lost, begun) = cores.evict(1.0, 0);
        assert!(lost.is_empty());
        assert!(matches!(begun[..], [Begun::Upload { ticket, .. }] if ticket.upload == 1));
        assert!(matches!(cores.done(5.0, ticket(0)), (false, None)), "its end means nothing any more");
    }
}
