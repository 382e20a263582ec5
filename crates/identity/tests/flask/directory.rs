//! Whether a user whom a good cookie names is still there: asked each time of whoever knows the app's users.
//!
//! The app's users are rows of a catalog of their own here, changed while cookies go on. Their database, and how old its
//! answers may be, are tested where they are read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use identity::{AppUser, Caller, Directory, DirectoryError, Error, Identity, Origin, Person};
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use records::{Records, Role, UserChange};

use super::{Case, Vectors, ask, catalog, identity_of, vectors};

const USER: i64 = 42;

#[derive(Clone)]
struct Users {
    records: Records,
    /// 0: it answers. 1: it is away. 2: it can never answer.
    fault: Arc<AtomicU8>,
}

#[async_trait]
impl Directory for Users {
    async fn app_user(&self, id: i64) -> Result<Option<AppUser>, DirectoryError> {
        match self.fault.load(Ordering::Relaxed) {
            1 => return Err(DirectoryError::Unavailable("it is away".to_owned())),
            2 => return Err(DirectoryError::Broken("users has no column id".to_owned())),
            _ => {}
        }
        let found = self.records.user(id).await.map_err(|error| DirectoryError::Unavailable(error.to_string()))?;
        Ok(found.map(|user| AppUser {
            id: user.id,
            username: user.username,
            is_active: user.is_active,
            is_admin: user.role == Role::Admin,
        }))
    }
}

impl Users {
    async fn with(records: Records) -> Self {
        for number in 1..=USER {
            let name = format!("patient {number}");
            records.create_user(name, "none".to_owned(), Role::Participant, Timestamp::UNIX_EPOCH).await.unwrap();
        }
        Self { records, fault: Arc::default() }
    }

    async fn change(&self, role: Option<Role>, is_active: Option<bool>) {
        self.records.change_user(USER, UserChange { password_hash: None, role, is_active }).await.unwrap();
    }
}

/// What the newest libraries made: a session of user 42, a remember token of theirs, and a session of somebody else's.
fn cases() -> [Case; 3] {
    let mut vectors: Vectors = serde_json::from_slice(&std::fs::read(vectors().last().unwrap()).unwrap()).unwrap();
    ["a session", "remembered", "another user"].map(|name| {
        let at = vectors.cases.iter().position(|case| case.name == name).unwrap();
        vectors.cases.swap_remove(at)
    })
}

async fn person(identity: &Identity, case: &Case) -> Option<Person> {
    let Caller::User { user, sign_in: None } = ask(identity, case).await.unwrap()?.caller else { panic!() };
    Some(user)
}

#[tokio::test]
async fn a_user_whom_the_app_revoked_is_out_at_once_and_back_when_it_says_so() {
    let ((records, _folder), (apps, _apps_folder)) = (catalog(), catalog());
    let users = Users::with(apps).await;
    let [session, remembered, another] = cases();
    let mut registry = Registry::default();
    let known = |is_admin| Some(Person { id: USER, username: "patient 42".to_owned(), is_admin, origin: Origin::App });
    for case in [&session, &remembered] {
        let identity = identity_of(&records, case).with_directory(Arc::new(users.clone()));
        identity.register_metrics(&mut registry);
        assert_eq!(person(&identity, case).await, known(false), "{}", case.name);
        users.change(Some(Role::Admin), None).await;
        assert_eq!(person(&identity, case).await, known(true), "{}: made an administrator", case.name);
        users.change(Some(Role::Participant), Some(false)).await;
        assert_eq!(person(&identity, case).await, None, "{}: switched off", case.name);
        assert_eq!(identity.app_user(USER).await.unwrap(), None);
        users.change(None, Some(true)).await;
        assert_eq!(person(&identity, case).await, known(false), "{}: switched on again", case.name);
        assert_eq!(identity.app_user(USER).await.unwrap(), known(false));
        assert_eq!(identity.app_user(USER + 1).await.unwrap(), None);
    }
    let identity = identity_of(&records, &another);
    identity.register_metrics(&mut registry);
    assert!(person(&identity, &another).await.is_some(), "without a directory the cookie's word counts");
    let identity = identity.with_directory(Arc::new(users));
    assert_eq!(person(&identity, &another).await, None, "no such user");
    let mut counted = String::new();
    prometheus_client::encoding::text::encode(&mut counted, &registry).unwrap();
    for (reason, times) in [("inactive", 2), ("unknown_user", 1)] {
        let lines = counted.lines().filter(|line| line.contains(&format!("{{reason=\"{reason}\"}}")));
        let sum: u64 = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
        assert_eq!(sum, times, "{reason}");
    }
}

#[tokio::test]
async fn while_nobody_can_say_nobody_is_let_in() {
    let ((records, _folder), (apps, _apps_folder)) = (catalog(), catalog());
    let users = Users::with(apps).await;
    let [session, ..] = cases();
    let identity = identity_of(&records, &session).with_directory(Arc::new(users.clone()));
    users.fault.store(1, Ordering::Relaxed);
    let away = ask(&identity, &session).await.unwrap_err();
    assert!(matches!(away, Error::HostUnavailable(_)), "{away:?}");
    users.fault.store(2, Ordering::Relaxed);
    let broken = ask(&identity, &session).await.unwrap_err();
    assert!(matches!(broken, Error::Internal(_)), "{broken:?}");
    users.fault.store(0, Ordering::Relaxed);
    assert!(person(&identity, &session).await.is_some());
}
