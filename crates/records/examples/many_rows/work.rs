//! The operations that are compared.

use std::cell::Cell;

use jiff::{SignedDuration, Timestamp};
use records::{
    AssessmentType, CaptureFilter, ClaimTerms, Derivative, Effect, Ending, Finished, IdempotencyRecord, NewCapture,
    Processed, Recorded, Recording, Records, SessionGate, StoredBlob, TaskKind,
};
use uuid::Uuid;

use crate::rows::{self, CAMERAS, Plan, SESSION};

/// Blocks of eight sessions that are looked at again and again: as many in each catalog, from all of its time. So what is
/// compared is the way to a row and not the share of the rows that a cache holds.
const LOOKED_AT: u64 = 4;
/// Blocks from anywhere, so many that no cache of ours holds them: with many rows some are on the disk.
const ANYWHERE: u64 = 4000;
const PAGE: usize = 50;

#[derive(Clone, Copy, PartialEq)]
pub enum Operation {
    ListSession,
    FirstPage,
    Record,
    Claim,
    ByFilename,
    CountTasks,
    ForgetTasks,
    ForgetBefore,
    ListAnySession,
}

impl Operation {
    pub const ALL: [Self; 9] = [
        Self::ListSession,
        Self::FirstPage,
        Self::Record,
        Self::Claim,
        Self::ByFilename,
        Self::CountTasks,
        Self::ForgetTasks,
        Self::ForgetBefore,
        Self::ListAnySession,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::ListSession => "list a session of 300",
            Self::FirstPage => "list its first page of 50",
            Self::Record => "record a capture",
            Self::Claim => "claim and finish a task",
            Self::ByFilename => "a capture by filename",
            Self::CountTasks => "count tasks",
            Self::ForgetTasks => "forget tasks: none to",
            Self::ForgetBefore => "forget keys, tombstones: none",
            Self::ListAnySession => "list any session, uncached",
        }
    }

    /// What a cache too small costs is told, and is another's on every machine. So is what counting costs: PostgreSQL
    /// looks at each open task's row until the next vacuum, and that comes after as many changes as the table is large.
    pub fn is_judged(self) -> bool {
        !matches!(self, Self::ListAnySession | Self::CountTasks)
    }

    pub fn warm_up(self) -> u64 {
        match self {
            Self::ListAnySession => 0,
            Self::ByFilename => LOOKED_AT * CAMERAS * 10,
            _ => LOOKED_AT * CAMERAS * 2,
        }
    }
}

/// A catalog at work.
pub struct Subject {
    pub records: Records,
    sessions: Vec<Uuid>,
    anywhere: Vec<Uuid>,
    filenames: Vec<String>,
    gates: Vec<SessionGate>,
    done: Cell<usize>,
}

impl Subject {
    pub async fn of(records: Records, plan: &Plan) -> Self {
        let sessions = plan.whole_sessions(LOOKED_AT);
        let mut filenames = Vec::new();
        for session in &sessions {
            let captures = records.captures_of_session(*session).await.unwrap();
            assert_eq!(captures.len() as u64, SESSION);
            filenames.extend(captures.into_iter().step_by(30).map(|capture| capture.filename));
        }
        let mut gates = Vec::new();
        for session in plan.last_sessions() {
            gates.push(records.session_gate(session).await.unwrap().unwrap());
        }
        let mut anywhere = plan.whole_sessions(ANYWHERE);
        // Not in the order of their time, nor near those seen last: 7919 divides none of their numbers.
        let many = anywhere.len();
        anywhere = (0..many).map(|number| anywhere[number * 7919 % many]).collect();
        Self { records, sessions, anywhere, filenames, gates, done: Cell::new(0) }
    }

    pub async fn run(&self, operation: Operation) {
        let number = self.done.get();
        self.done.set(number + 1);
        let records = &self.records;
        let session = self.sessions[number % self.sessions.len()];
        match operation {
            Operation::ListSession => {
                assert_eq!(records.captures_of_session(session).await.unwrap().len() as u64, SESSION);
            }
            Operation::ListAnySession => {
                let session = self.anywhere[number % self.anywhere.len()];
                assert_eq!(records.captures_of_session(session).await.unwrap().len() as u64, SESSION);
            }
            Operation::FirstPage => {
                let filter = CaptureFilter { session_id: Some(session), ..CaptureFilter::default() };
                assert_eq!(records.captures(filter, None, PAGE).await.unwrap().items.len(), PAGE);
            }
            Operation::Record => self.record(number).await,
            Operation::Claim => self.claim_and_finish().await,
            Operation::ByFilename => {
                let filename = self.filenames[number % self.filenames.len()].clone();
                records.capture_by_filename(filename).await.unwrap().unwrap();
            }
            Operation::CountTasks => assert!(!records.count_tasks().await.unwrap().is_empty()),
            Operation::ForgetTasks => assert_eq!(records.forget_tasks(Timestamp::UNIX_EPOCH).await.unwrap(), 0),
            Operation::ForgetBefore => {
                assert_eq!(records.forget_before(Timestamp::UNIX_EPOCH).await.unwrap(), (0, 0));
            }
        }
    }

    async fn record(&self, number: usize) {
        let gate = self.gates[number % self.gates.len()].clone();
        let now = Timestamp::now();
        let id = Uuid::now_v7();
        let idempotency = IdempotencyRecord {
            user_id: gate.session.user_id,
            key: Uuid::new_v4().to_string(),
            digest: [7; 32],
            answer: rows::answer(&id),
        };
        let capture = NewCapture {
            id,
            task_id: Uuid::now_v7(),
            task_priority: 1,
            filename: format!("{id}.jpg"),
            blob: StoredBlob {
                key: format!("2025-06-02/0000/{id}.jpg"),
                format: "plain".to_owned(),
                size_bytes: 123_456,
                sha256: [7; 32],
            },
            content_type: "image/jpeg".to_owned(),
            width_px: 1280,
            height_px: 720,
            trigger: "INTERVAL".to_owned(),
            assessment_type: AssessmentType::Phq,
            assessment_id: None,
            captured_at: Some("2025-06-01T12:00:00.000Z".to_owned()),
            received_at: now,
            metadata: r#"{"trigger":"INTERVAL","assessment_type":"PHQ","timestamp":"2025-06-01T12:00:00.000Z"}"#
                .to_owned(),
        };
        let recording = Recording { gate, captures: vec![capture], idempotency: Some(idempotency), now };
        assert_eq!(self.records.record_captures(recording).await.unwrap(), Recorded::Stored);
    }

    /// As a worker does whose photo was processed, with two derivatives.
    async fn claim_and_finish(&self) {
        let terms = ClaimTerms {
            kind: TaskKind::Process,
            worker: "serve/measured".to_owned(),
            lease: SignedDuration::from_mins(1),
            attempts_max: 3,
            takes_back: true,
        };
        let claimed = self.records.claim_tasks(terms, 1, Timestamp::now()).await.unwrap();
        let [claim] = claimed.claims.as_slice() else { panic!("the line is empty") };
        let key = format!("2025-06-02/0000/{}.{}", claim.task.capture_id.unwrap(), claim.fence);
        let derivative = |size: &str, offset_bytes, size_bytes, width_px, height_px| Derivative {
            size: size.to_owned(),
            content_type: "image/webp".to_owned(),
            blob_key: key.clone(),
            offset_bytes,
            size_bytes,
            width_px,
            height_px,
            sha256: [7; 32],
        };
        let processed = Processed {
            width_px: 1280,
            height_px: 720,
            taken_at: None,
            placeholder: vec![7; 25],
            sharpness: 100.0,
            brightness: 0.5,
            perceptual_hash: u64::from(claim.task.id.as_fields().0) << 20,
            near_duplicate_bits_max: 4,
            derivatives: vec![derivative("preview", 0, 60_000, 1024, 576), derivative("thumb", 60_000, 5000, 256, 144)],
            replacement: None,
        };
        let ending = Ending::Success(Effect::Processed(Box::new(processed)));
        let finished = self.records.finish_task(claim.task.id, claim.fence, ending, Timestamp::now()).await.unwrap();
        assert_eq!(finished, Finished::Done);
    }
}
