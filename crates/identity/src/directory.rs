//! Whoever knows the app's users: its database, where Filmgate may read it.

use async_trait::async_trait;

/// A user of the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppUser {
    /// Number of the user.
    pub id: i64,
    /// The name, for people.
    pub username: String,
    /// Whether they may do anything at all.
    pub is_active: bool,
    /// Whether they may do everything.
    pub is_admin: bool,
}

/// Why a user could not be looked up.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Not now; in a while.
    #[error("{0}")]
    Unavailable(String),
    /// Not until somebody mends it.
    #[error("{0}")]
    Broken(String),
}

/// Knows the app's users.
///
/// The answer may be as old as the implementation says; [`Identity`](crate::Identity) keeps none itself. While it cannot
/// answer, nobody is let in.
#[async_trait]
pub trait Directory: Send + Sync {
    /// The user of this number; `None` where there is none.
    async fn app_user(&self, id: i64) -> Result<Option<AppUser>, DirectoryError>;
}
