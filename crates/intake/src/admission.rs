//! How much may be under way at once: requests and bytes, in all and of each user.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::pressure::Pressure;
use crate::{Limits, Refusal};

#[derive(Clone)]
pub(crate) struct Admission {
    limits: Arc<Limits>,
    pressure: Pressure,
    under_way: Arc<Mutex<UnderWay>>,
    requests_gauge: Gauge,
    bytes_gauge: Gauge,
}

#[derive(Default)]
struct UnderWay {
    total: Load,
    by_user: HashMap<i64, Load>,
}

#[derive(Clone, Copy, Default)]
struct Load {
    requests: usize,
    bytes: u64,
}

/// One upload's place, with the bytes reserved for it. Dropped, it frees both.
pub(crate) struct Place {
    admission: Admission,
    user_id: i64,
    reserved_bytes: u64,
    used_bytes: u64,
}

impl Admission {
    pub(crate) fn new(limits: Arc<Limits>, pressure: Pressure) -> Self {
        Self {
            limits,
            pressure,
            under_way: Arc::default(),
            requests_gauge: Gauge::default(),
            bytes_gauge: Gauge::default(),
        }
    }

    pub(crate) fn register_metrics(&self, registry: &mut Registry) {
        registry.register("uploads_in_flight", "Uploads under way", self.requests_gauge.clone());
        registry.register("bytes_in_flight", "Bytes reserved by uploads under way", self.bytes_gauge.clone());
    }

    pub(crate) fn requests(&self) -> usize {
        self.lock().total.requests
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more upload of this user, `expected_bytes` of it reserved: an upload that would not fit is
    /// refused before its first byte and not after its last. Frames of the timer cannot take the last places.
    pub(crate) fn enter(&self, user_id: i64, expected_bytes: u64, interval: bool) -> Result<Place, Refusal> {
        let mut under_way = self.lock();
        let of_user = under_way.by_user.get(&user_id).copied().unwrap_or_default();
        if of_user.requests >= self.limits.uploads_in_flight_per_user_max {
            return Err(Refusal::TooManyUploads);
        }
        if under_way.total.requests >= self.limits.uploads_in_flight_max {
            return Err(Refusal::Overloaded);
        }
        if interval {
            let requests_max = self.pressure.interval_share(self.limits.uploads_in_flight_max as u64);
            let bytes_max = self.pressure.interval_share(self.limits.bytes_in_flight_max);
            let bytes = under_way.total.bytes.saturating_add(expected_bytes);
            // One alone is taken as long as it fits at all.
            let is_alone = under_way.total.requests == 0;
            if under_way.total.requests as u64 >= requests_max || (bytes > bytes_max && !is_alone) {
                self.pressure.refused_interval(Instant::now());
                return Err(Refusal::IntervalFramesRefused);
            }
        }
        self.reserve(&mut under_way, user_id, expected_bytes)?;
        under_way.total.requests += 1;
        under_way.by_user.entry(user_id).or_default().requests += 1;
        drop(under_way);
        self.requests_gauge.inc();
        Ok(Place { admission: self.clone(), user_id, reserved_bytes: expected_bytes, used_bytes: 0 })
    }

    fn reserve(&self, under_way: &mut UnderWay, user_id: i64, bytes: u64) -> Result<(), Refusal> {
        let of_user = under_way.by_user.get(&user_id).copied().unwrap_or_default();
        if of_user.bytes.saturating_add(bytes) > self.limits.bytes_in_flight_per_user_max {
            return Err(Refusal::TooManyUploads);
        }
        if under_way.total.bytes.saturating_add(bytes) > self.limits.bytes_in_flight_max {
            return Err(Refusal::Overloaded);
        }
        under_way.total.bytes += bytes;
        under_way.by_user.entry(user_id).or_default().bytes += bytes;
        self.bytes_gauge.inc_by(bytes.cast_signed());
        Ok(())
    }
}

impl Place {
    /// Counts bytes that arrived; those beyond what was reserved (a body of unknown length) are reserved now.
    pub(crate) fn take(&mut self, bytes: u64) -> Result<(), Refusal> {
        self.used_bytes += bytes;
        let missing = self.used_bytes.saturating_sub(self.reserved_bytes);
        if missing > 0 {
            self.admission.reserve(&mut self.admission.lock(), self.user_id, missing)?;
            self.reserved_bytes += missing;
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut under_way = self.admission.lock();
        under_way.total.requests -= 1;
        under_way.total.bytes -= self.reserved_bytes;
        if let Some(of_user) = under_way.by_user.get_mut(&self.user_id) {
            of_user.requests -= 1;
            of_user.bytes -= self.reserved_bytes;
            if of_user.requests == 0 {
                under_way.by_user.remove(&self.user_id);
            }
        }
        drop(under_way);
        self.admission.requests_gauge.dec();
        self.admission.bytes_gauge.dec_by(self.reserved_bytes.cast_signed());
    }
}
