//! The play itself: a calendar of events, and what each of them sets going.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use super::cores::{Begun, Cores, Decode, Ticket};
use super::random::Random;
use super::report::{Moment, Percentiles, Report};
use super::scenario::{Arrivals, CatalogStation, Scenario};

/// How long a client waits before it tries again where no node lives.
const NOBODY_LIVES_SECONDS: f64 = 1.0;

#[derive(Clone, Copy, Debug)]
enum Event {
    /// One more of the Poisson stream.
    Chance,
    /// A user of a class or of the periodic ones.
    Shot {
        interval: f64,
    },
    /// A client of the closed loop begins again.
    Client,
    Try(Ticket),
    Sent(Ticket),
    CoreDone {
        cores: usize,
        ticket: Ticket,
    },
    Decoded {
        cores: usize,
        id: u64,
    },
    Synced(Ticket),
    Stored(Ticket),
    Committed {
        node: usize,
        epoch: u32,
    },
    Answered(Ticket),
    PoolTimeout(Ticket),
    LeaseOver {
        since: f64,
    },
    Kill,
    Back,
    Tick,
}

struct Entry {
    at: f64,
    /// Of two at the same time the one entered first comes first: a replay must not depend on the heap.
    number: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.total_cmp(&other.at).then(self.number.cmp(&other.number))
    }
}

#[derive(Clone, Copy, Debug)]
struct Upload {
    first_try_at: f64,
    sent_at: f64,
    tries: u32,
    generation: u32,
    node: usize,
    /// It holds a place of its node.
    under_way: bool,
    /// It has left the node's cores and waits at the database's.
    at_database: bool,
    /// Its client begins the next one at the answer.
    of_client: bool,
}

#[derive(Debug, Default)]
struct Node {
    is_dead: bool,
    epoch: u32,
    in_flight: usize,
    disk_busy: usize,
    disk_waiting: VecDeque<Ticket>,
    /// SQLite's writer: what it writes now, and what waits.
    batch: Vec<Ticket>,
    writing: bool,
    writes_waiting: VecDeque<Ticket>,
    /// PostgreSQL's connections.
    connections_busy: usize,
    connection_waiting: VecDeque<Ticket>,
}

pub(super) struct Run<'a> {
    scenario: &'a Scenario,
    now: f64,
    calendar: BinaryHeap<Reverse<Entry>>,
    number: u64,
    random: Random,
    uploads: Vec<Upload>,
    free: Vec<usize>,
    nodes: Vec<Node>,
    /// Of each node, or one for all; then the database's own.
    cores: Vec<Cores>,
    database: Option<usize>,
    backlog: VecDeque<f64>,
    leased_out: usize,
    decoding: usize,
    turn: usize,
    report: Report,
    answers: Vec<f64>,
    server_times: Vec<f64>,
    processed_after: Vec<f64>,
    answered_after_warmup: u64,
    moment: Moment,
}

impl<'a> Run<'a> {
    pub(super) fn new(scenario: &'a Scenario) -> Self {
        let workers = scenario.processing.map_or(0, |processing| processing.workers);
        let mut cores: Vec<Cores> = match scenario.shared_cores {
            Some(count) => vec![Cores::new(count, workers * scenario.nodes)],
            None => (0..scenario.nodes).map(|_| Cores::new(scenario.node_cores, workers)).collect(),
        };
        let database = match (scenario.catalog, scenario.shared_cores) {
            (CatalogStation::Pool { .. }, Some(_)) => Some(0),
            (CatalogStation::Pool { cores: count, .. }, None) => {
                cores.push(Cores::new(count, 0));
                Some(cores.len() - 1)
            }
            _ => None,
        };
        Self {
            scenario,
            now: 0.0,
            calendar: BinaryHeap::new(),
            number: 0,
            random: Random::new(scenario.seed),
            uploads: Vec::new(),
            free: Vec::new(),
            nodes: (0..scenario.nodes).map(|_| Node::default()).collect(),
            cores,
            database,
            backlog: VecDeque::new(),
            leased_out: 0,
            decoding: 0,
            turn: 0,
            report: Report::default(),
            answers: Vec::new(),
            server_times: Vec::new(),
            processed_after: Vec::new(),
            answered_after_warmup: 0,
            moment: Moment::default(),
        }
    }

    pub(super) fn play(mut self) -> Report {
        self.begin();
        while let Some(Reverse(entry)) = self.calendar.pop() {
            if entry.at > self.scenario.seconds {
                break;
            }
            self.now = entry.at;
            self.happen(entry.event);
        }
        self.now = self.scenario.seconds;
        self.finish()
    }

    fn at(&mut self, at: f64, event: Event) {
        self.calendar.push(Reverse(Entry { at, number: self.number, event }));
        self.number += 1;
    }

    fn after(&mut self, seconds: f64, event: Event) {
        self.at(self.now + seconds, event);
    }

    fn begin(&mut self) {
        match self.scenario.arrivals {
            Arrivals::None => {}
            Arrivals::Poisson { per_second } => {
                let first = self.random.exponential(1.0 / per_second);
                self.at(first, Event::Chance);
            }
            Arrivals::Periodic { users, interval } => {
                for _ in 0..users {
                    let first = self.random.unit() * interval;
                    self.at(first, Event::Shot { interval });
                }
            }
            Arrivals::Closed { clients, .. } => {
                for _ in 0..clients {
                    self.at(0.0, Event::Client);
                }
            }
        }
        for burst in &self.scenario.bursts {
            for _ in 0..burst.users {
                self.at(burst.at, Event::Shot { interval: burst.interval });
            }
        }
        if let Some(kill) = self.scenario.kill {
            self.at(kill.at, Event::Kill);
            if let Some(after) = kill.back_after {
                self.at(kill.at + after, Event::Back);
            }
        }
        // The last one is taken at the end itself, after all that happens at that very moment.
        for moment in 1..self.scenario.moments {
            self.at(self.scenario.seconds * moment as f64 / self.scenario.moments as f64, Event::Tick);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Chance => {
                self.arrive(false);
                if let Arrivals::Poisson { per_second } = self.scenario.arrivals {
                    let next = self.random.exponential(1.0 / per_second);
                    self.after(next, Event::Chance);
                }
            }
            Event::Shot { interval } => {
                self.arrive(false);
                self.after(interval, Event::Shot { interval });
            }
            Event::Client => self.arrive(true),
            Event::Try(ticket) => self.if_current(ticket, |run| run.try_upload(ticket.upload)),
            Event::Sent(ticket) => self.if_current(ticket, |run| run.sent(ticket)),
            Event::CoreDone { cores, ticket } => self.core_done(cores, ticket),
            Event::Decoded { cores, id } => self.decoded(cores, id),
            Event::Synced(ticket) => self.if_current(ticket, |run| run.synced(ticket)),
            Event::Stored(ticket) => self.if_current(ticket, |run| run.record(ticket)),
            Event::Committed { node, epoch } => self.committed(node, epoch),
            Event::Answered(ticket) => self.if_current(ticket, |run| run.connection_done(ticket)),
            Event::PoolTimeout(ticket) => self.if_current(ticket, |run| run.pool_timeout(ticket)),
            Event::LeaseOver { since } => {
                self.leased_out -= 1;
                self.backlog.push_front(since);
                self.use_idle_cores();
            }
            Event::Kill => self.kill(),
            Event::Back => {
                self.nodes[0].is_dead = false;
                self.use_idle_cores();
            }
            Event::Tick => self.tick(),
        }
    }

    /// Runs what belongs to a try, unless that try is over.
    fn if_current(&mut self, ticket: Ticket, then: impl FnOnce(&mut Self)) {
        if self.uploads[ticket.upload].generation == ticket.generation {
            then(self);
        }
    }

    fn arrive(&mut self, of_client: bool) {
        self.report.begun += 1;
        let upload = Upload {
            first_try_at: self.now,
            sent_at: self.now,
            tries: 0,
            generation: 0,
            node: 0,
            under_way: false,
            at_database: false,
            of_client,
        };
        let index = if let Some(index) = self.free.pop() {
            // The generation goes on: events of whoever had this place before must not be taken for this one's.
            let generation = self.uploads[index].generation;
            self.uploads[index] = Upload { generation, ..upload };
            index
        } else {
            self.uploads.push(upload);
            self.uploads.len() - 1
        };
        self.try_upload(index);
    }

    fn ticket(&self, upload: usize) -> Ticket {
        let of = &self.uploads[upload];
        Ticket { upload, generation: of.generation, node: of.node }
    }

    /// The load balancer's choice: those that live, in turn.
    fn next_node(&mut self) -> Option<usize> {
        let count = self.nodes.len();
        for step in 1..=count {
            let node = (self.turn + step) % count;
            if !self.nodes[node].is_dead {
                self.turn = node;
                return Some(node);
            }
        }
        None
    }

    fn try_upload(&mut self, upload: usize) {
        self.uploads[upload].tries += 1;
        self.moment.tries += 1;
        let Some(node) = self.next_node() else {
            self.report.cut += 1;
            self.come_again(upload, NOBODY_LIVES_SECONDS);
            return;
        };
        self.uploads[upload].node = node;
        if self.nodes[node].in_flight >= self.scenario.in_flight_max {
            self.refuse(upload);
            return;
        }
        self.nodes[node].in_flight += 1;
        self.uploads[upload].under_way = true;
        let in_flight = self.in_flight();
        self.report.in_flight_max = self.report.in_flight_max.max(in_flight);
        let (slow_share, slow) = self.scenario.slow;
        let transfer = if slow_share > 0.0 && self.random.unit() < slow_share { slow } else { self.scenario.transfer };
        let seconds = transfer.draw(&mut self.random);
        let ticket = self.ticket(upload);
        self.after(seconds, Event::Sent(ticket));
    }

    fn in_flight(&self) -> usize {
        self.nodes.iter().map(|node| node.in_flight).sum()
    }

    fn refuse(&mut self, upload: usize) {
        self.report.refused += 1;
        self.moment.refused += 1;
        self.leave(upload);
        self.come_again(upload, self.scenario.retry.after);
    }

    /// The try is over: its place is free, and whatever it set going means nothing any more.
    fn leave(&mut self, upload: usize) {
        let of = &mut self.uploads[upload];
        of.generation = of.generation.wrapping_add(1);
        of.at_database = false;
        if std::mem::take(&mut of.under_way) {
            self.nodes[of.node].in_flight -= 1;
        }
    }

    fn come_again(&mut self, upload: usize, seconds: f64) {
        let of = &mut self.uploads[upload];
        if of.tries >= self.scenario.retry.tries_max {
            self.report.given_up += 1;
            let of_client = of.of_client;
            self.free.push(upload);
            self.next_of_client(of_client);
            return;
        }
        let jitter = self.random.unit() * self.scenario.retry.jitter;
        let ticket = self.ticket(upload);
        self.after(seconds + jitter, Event::Try(ticket));
    }

    fn next_of_client(&mut self, of_client: bool) {
        if let (true, Arrivals::Closed { think, .. }) = (of_client, self.scenario.arrivals) {
            let pause = think.draw(&mut self.random);
            self.after(pause, Event::Client);
        }
    }

    fn cores_of(&self, node: usize) -> usize {
        if self.scenario.shared_cores.is_some() { 0 } else { node }
    }

    fn sent(&mut self, ticket: Ticket) {
        self.uploads[ticket.upload].sent_at = self.now;
        let work = self.scenario.cpu.draw(&mut self.random);
        self.offer(self.cores_of(ticket.node), ticket, work);
    }

    fn offer(&mut self, cores: usize, ticket: Ticket, work: f64) {
        let begun = self.cores[cores].offer(self.now, ticket, work);
        self.enter(cores, begun);
    }

    fn enter(&mut self, cores: usize, begun: Option<Begun>) {
        match begun {
            Some(Begun::Upload { ticket, ends_at }) => self.at(ends_at, Event::CoreDone { cores, ticket }),
            Some(Begun::Decode { id, ends_at }) => self.at(ends_at, Event::Decoded { cores, id }),
            None => {}
        }
    }

    fn core_done(&mut self, cores: usize, ticket: Ticket) {
        let (was_running, next) = self.cores[cores].done(self.now, ticket);
        self.enter(cores, next);
        self.use_idle_cores();
        if !was_running || ticket.upload == Ticket::NOBODY {
            return;
        }
        if ticket.upload == Ticket::WRITER {
            self.sync(ticket.node);
            return;
        }
        self.if_current(ticket, |run| {
            if run.uploads[ticket.upload].at_database {
                run.queried(ticket);
            } else {
                run.store(ticket);
            }
        });
    }

    fn store(&mut self, ticket: Ticket) {
        let Some(disk) = self.scenario.disk else {
            let seconds = self.scenario.store.draw(&mut self.random);
            self.after(seconds, Event::Stored(ticket));
            return;
        };
        let node = &mut self.nodes[ticket.node];
        if node.disk_busy < disk.workers {
            node.disk_busy += 1;
            let seconds = disk.service.draw(&mut self.random);
            self.after(seconds, Event::Synced(ticket));
        } else if node.disk_waiting.len() < disk.queue_max {
            node.disk_waiting.push_back(ticket);
        } else {
            self.refuse(ticket.upload);
        }
    }

    fn synced(&mut self, ticket: Ticket) {
        if let Some(disk) = self.scenario.disk {
            match self.nodes[ticket.node].disk_waiting.pop_front() {
                Some(next) => {
                    let seconds = disk.service.draw(&mut self.random);
                    self.after(seconds, Event::Synced(next));
                }
                None => self.nodes[ticket.node].disk_busy -= 1,
            }
        }
        self.record(ticket);
    }

    fn record(&mut self, ticket: Ticket) {
        match self.scenario.catalog {
            CatalogStation::None => self.answer(ticket),
            CatalogStation::Writer { .. } => self.write(ticket),
            CatalogStation::Pool { connections, wait_max_seconds, .. } => {
                let node = &mut self.nodes[ticket.node];
                if node.connections_busy < connections {
                    node.connections_busy += 1;
                    self.query(ticket);
                } else {
                    node.connection_waiting.push_back(ticket);
                    self.after(wait_max_seconds, Event::PoolTimeout(ticket));
                }
            }
        }
    }

    fn write(&mut self, ticket: Ticket) {
        self.nodes[ticket.node].writes_waiting.push_back(ticket);
        self.write_next(ticket.node);
    }

    fn write_next(&mut self, at: usize) {
        let CatalogStation::Writer { cpu_per_commit, batch_max, .. } = self.scenario.catalog else { return };
        let node = &mut self.nodes[at];
        if node.writing || node.writes_waiting.is_empty() {
            return;
        }
        let size = node.writes_waiting.len().min(batch_max);
        node.batch = node.writes_waiting.drain(..size).collect();
        node.writing = true;
        self.report.commits += 1;
        self.report.writes += size as u64;
        // The writer needs a core first: on a busy machine commits are fewer, and larger.
        let work = cpu_per_commit.draw(&mut self.random);
        if work > 0.0 {
            let ticket = Ticket { upload: Ticket::WRITER, generation: 0, node: at };
            self.offer(self.cores_of(at), ticket, work);
        } else {
            self.sync(at);
        }
    }

    /// The writer has written its batch: the disk's turn.
    fn sync(&mut self, at: usize) {
        if let CatalogStation::Writer { per_commit, per_write_seconds, .. } = self.scenario.catalog {
            let size = self.nodes[at].batch.len();
            let seconds = per_commit.draw(&mut self.random) + per_write_seconds * size as f64;
            let epoch = self.nodes[at].epoch;
            self.after(seconds, Event::Committed { node: at, epoch });
        }
    }

    fn committed(&mut self, at: usize, epoch: u32) {
        if self.nodes[at].epoch != epoch {
            return;
        }
        self.nodes[at].writing = false;
        for ticket in std::mem::take(&mut self.nodes[at].batch) {
            if ticket.upload != Ticket::NOBODY {
                self.if_current(ticket, |run| run.answer(ticket));
            }
        }
        self.write_next(at);
    }

    /// A connection is there: first the database's processor, then its log and the way back.
    fn query(&mut self, ticket: Ticket) {
        self.uploads[ticket.upload].at_database = true;
        if let (CatalogStation::Pool { cpu, .. }, Some(cores)) = (self.scenario.catalog, self.database) {
            let work = cpu.draw(&mut self.random);
            self.offer(cores, ticket, work);
        }
    }

    fn queried(&mut self, ticket: Ticket) {
        if let CatalogStation::Pool { latency, .. } = self.scenario.catalog {
            let seconds = latency.draw(&mut self.random);
            self.after(seconds, Event::Answered(ticket));
        }
    }

    fn connection_done(&mut self, ticket: Ticket) {
        match self.nodes[ticket.node].connection_waiting.pop_front() {
            Some(next) => self.query(next),
            None => self.nodes[ticket.node].connections_busy -= 1,
        }
        self.answer(ticket);
    }

    fn pool_timeout(&mut self, ticket: Ticket) {
        let waiting = &mut self.nodes[ticket.node].connection_waiting;
        if let Some(at) = waiting.iter().position(|waits| *waits == ticket) {
            waiting.remove(at);
            self.refuse(ticket.upload);
        }
    }

    fn answer(&mut self, ticket: Ticket) {
        let upload = self.uploads[ticket.upload];
        self.report.answered += 1;
        self.moment.answered += 1;
        if self.now >= self.scenario.warmup_seconds {
            self.answered_after_warmup += 1;
        }
        if upload.first_try_at >= self.scenario.warmup_seconds {
            self.answers.push(self.now - upload.first_try_at);
            self.server_times.push(self.now - upload.sent_at);
        }
        self.leave(ticket.upload);
        self.free.push(ticket.upload);
        self.next_of_client(upload.of_client);
        if self.scenario.processing.is_some() {
            self.backlog.push_back(self.now);
            self.use_idle_cores();
        }
    }

    /// Decoding gets what nobody else wants.
    fn use_idle_cores(&mut self) {
        let Some(processing) = self.scenario.processing else { return };
        for cores in 0..self.cores.len() {
            if self.database == Some(cores) && self.scenario.shared_cores.is_none() {
                continue;
            }
            while let Some(begun) = self.cores[cores].resume(self.now) {
                self.enter(cores, Some(begun));
            }
            while self.cores[cores].takes_decode() && !self.backlog.is_empty() {
                let Some(node) = self.decoder_of(cores) else { break };
                let Some(since) = self.backlog.pop_front() else { break };
                let left = processing.cpu.draw(&mut self.random);
                self.decoding += 1;
                let begun = self.cores[cores].decode(self.now, Decode { node, left, since });
                self.enter(cores, Some(begun));
            }
        }
    }

    /// A living node that decodes on these cores.
    fn decoder_of(&self, cores: usize) -> Option<usize> {
        if self.scenario.shared_cores.is_none() {
            return (!self.nodes[cores].is_dead).then_some(cores);
        }
        let count = self.nodes.len();
        (0..count).map(|step| (self.decoding + step) % count).find(|node| !self.nodes[*node].is_dead)
    }

    fn decoded(&mut self, cores: usize, id: u64) {
        let Some(decode) = self.cores[cores].decoded(self.now, id) else { return };
        self.decoding -= 1;
        self.report.processed += 1;
        if decode.since >= self.scenario.warmup_seconds {
            self.processed_after.push(self.now - decode.since);
        }
        let nobody = Ticket { upload: Ticket::NOBODY, generation: 0, node: decode.node };
        match self.scenario.catalog {
            CatalogStation::None => {}
            CatalogStation::Writer { writes_after, .. } => {
                for _ in 0..writes_after {
                    self.write(nobody);
                }
            }
            CatalogStation::Pool { cpu_after, .. } => {
                if let Some(database) = self.database {
                    let work = cpu_after.draw(&mut self.random);
                    self.offer(database, nobody, work);
                }
            }
        }
        self.use_idle_cores();
    }

    fn kill(&mut self) {
        let dead = 0;
        let node = &mut self.nodes[dead];
        if node.is_dead {
            return;
        }
        *node = Node { is_dead: true, epoch: node.epoch + 1, in_flight: node.in_flight, ..Node::default() };
        let cores = self.cores_of(dead);
        let (mut lost, begun) = self.cores[cores].evict(self.now, dead);
        for next in begun {
            self.enter(cores, Some(next));
        }
        if let Some(database) = self.database.filter(|database| *database != cores) {
            // The database rolls back what the dead node had open.
            let (_, begun) = self.cores[database].evict(self.now, dead);
            for next in begun {
                self.enter(database, Some(next));
            }
        }
        let lease = self.scenario.processing.map_or(0.0, |processing| processing.lease_seconds);
        for decode in lost.drain(..) {
            self.decoding -= 1;
            self.leased_out += 1;
            self.after(lease, Event::LeaseOver { since: decode.since });
        }
        for upload in 0..self.uploads.len() {
            if self.uploads[upload].under_way && self.uploads[upload].node == dead {
                self.report.cut += 1;
                self.leave(upload);
                self.come_again(upload, NOBODY_LIVES_SECONDS);
            }
        }
    }

    fn tick(&mut self) {
        let in_flight = self.in_flight();
        let databases = usize::from(self.database.is_some() && self.scenario.shared_cores.is_none());
        let own = &self.cores[..self.cores.len() - databases];
        let busy: usize = own.iter().map(Cores::busy).sum();
        let sum = |of: fn(&Node) -> usize| self.nodes.iter().map(of).sum::<usize>();
        let moment = Moment {
            at: self.now,
            nodes: self.nodes.iter().filter(|node| !node.is_dead).count(),
            in_flight,
            waiting_for_core: own.iter().map(Cores::waiting).sum(),
            waiting_for_disk: sum(|node| node.disk_waiting.len()),
            waiting_for_catalog: sum(|node| node.writes_waiting.len() + node.connection_waiting.len()),
            backlog: self.backlog.len() + self.leased_out + self.decoding,
            cores_busy: busy as f64 / self.core_count() as f64,
            ..std::mem::take(&mut self.moment)
        };
        self.report.timeline.push(moment);
    }

    fn core_count(&self) -> usize {
        self.scenario.shared_cores.unwrap_or(self.scenario.nodes * self.scenario.node_cores)
    }

    fn finish(mut self) -> Report {
        self.tick();
        let counted = (self.scenario.seconds - self.scenario.warmup_seconds).max(f64::MIN_POSITIVE);
        let core_seconds = self.core_count() as f64 * self.scenario.seconds;
        let own_database = self.database.filter(|_| self.scenario.shared_cores.is_none());
        let (mut uploads, mut decodes) = (0.0, 0.0);
        for (at, cores) in self.cores.iter_mut().enumerate() {
            let (of_uploads, of_decodes) = cores.used(self.now);
            if own_database == Some(at) {
                if let CatalogStation::Pool { cores, .. } = self.scenario.catalog {
                    self.report.database_cores_used = of_uploads / (cores as f64 * self.scenario.seconds);
                }
            } else {
                uploads += of_uploads;
                decodes += of_decodes;
            }
        }
        Report {
            unfinished: self.report.begun - self.report.answered - self.report.given_up,
            answered_per_second: self.answered_after_warmup as f64 / counted,
            answer_seconds: Percentiles::of(self.answers),
            server_seconds: Percentiles::of(self.server_times),
            processed_after_seconds: Percentiles::of(self.processed_after),
            cores_used_by_uploads: uploads / core_seconds,
            cores_used_by_decoding: decodes / core_seconds,
            backlog: self.backlog.len() + self.leased_out + self.decoding,
            ..self.report
        }
    }
}
