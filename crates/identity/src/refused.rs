//! Why what somebody showed was not believed: counted by reason, and said in the log where an operator can mend it.
//!
//! Invariant: nothing of what was shown is in the log, neither id nor secret.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// Why what somebody showed was not believed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The word in the metric.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

reasons! {
    /// It has not the form of one.
    Malformed = "malformed",
    /// No key of ours made it: tampered with, made by another app, or with a key that was rotated out.
    BadSignature = "bad_signature",
    /// Older than it may be.
    Expired = "expired",
    /// From a time that is still to come.
    NotYetValid = "not_yet_valid",
    /// Larger than one may be, as it came or unpacked.
    Oversized = "oversized",
    /// It came from another address or browser than it was made for.
    Protection = "protection",
    /// The user's id is no number.
    NotInteger = "not_integer",
    /// No key of this name is known.
    UnknownKey = "unknown_key",
    /// It says another algorithm than its key is for.
    Algorithm = "algorithm",
    /// Somebody else issued it.
    WrongIssuer = "wrong_issuer",
    /// It was issued for somebody else.
    WrongAudience = "wrong_audience",
    /// It names no user.
    NoUser = "no_user",
    /// The app knows no such user.
    UnknownUser = "unknown_user",
    /// The app has switched the user off.
    Inactive = "inactive",
}

impl EncodeLabelValue for Reason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.as_str(), encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    reason: Reason,
}

/// Counts refusals. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Refusals {
    counts: Family<Labels, Counter>,
    said: Arc<[AtomicBool; 3]>,
}

impl Refusals {
    pub(crate) fn register(&self, registry: &mut Registry) {
        for reason in Reason::ALL {
            drop(self.counts.get_or_create(&Labels { reason: *reason }));
        }
        registry.register("identity_refused", "Cookies and tokens not believed, by reason", self.counts.clone());
    }

    pub(crate) fn count(&self, reason: Reason) {
        self.counts.get_or_create(&Labels { reason }).inc();
        // Once for each: clients repeat what is refused, and a log full of it tells no more.
        let (place, words) = match reason {
            Reason::NotInteger => (
                0,
                "a user id of the app is no whole number from 0 on, and its user was refused: Filmgate knows users by \
                 number. With identity.provider = \"forward\" the app can name a number instead (docs/identity.md)",
            ),
            Reason::BadSignature => (
                1,
                "a cookie or token was refused because no key of [identity] made it. Old and foreign ones are refused \
                 all the time; if nobody gets in, compare the keys with the app's (docs/identity.md)",
            ),
            Reason::Protection => (
                2,
                "a cookie was refused by session_protection = \"strong\": it was made for another address or browser. \
                 If nobody gets in, Filmgate and the app see different addresses: server.trusted_proxies \
                 (docs/identity.md)",
            ),
            _ => return,
        };
        if !self.said[place].swap(true, Ordering::Relaxed) {
            tracing::warn!(reason = reason.as_str(), "{words}");
        }
    }
}
