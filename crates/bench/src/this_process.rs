//! What the client itself used, by `/proc`: a client that is the bottleneck measures itself.

use std::fs;

/// Processor of all threads since their beginning, in seconds: used, and waited for while ready to run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Processor {
    /// Used.
    pub used: f64,
    /// Waited for while ready to run.
    pub waited: f64,
}

impl Processor {
    /// Zeroes where the kernel does not tell.
    pub fn now() -> Self {
        let mut sum = Self::default();
        for thread in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            let mut seconds = text.split_whitespace().map(|word| word.parse::<f64>().unwrap_or_default() / 1e9);
            sum.used += seconds.next().unwrap_or_default();
            sum.waited += seconds.next().unwrap_or_default();
        }
        sum
    }

    /// What came between.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self { used: (self.used - earlier.used).max(0.0), waited: (self.waited - earlier.waited).max(0.0) }
    }
}

/// Lets this process have as many descriptors as it may, and answers how many that is.
pub(crate) fn descriptors() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where it is refused the limit stays, and is what is answered.
    let _raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).is_ok();
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
