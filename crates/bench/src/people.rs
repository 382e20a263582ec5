//! Who uploads, before anything is measured: signed in, with sessions that are theirs; or made for the run by an
//! administrator's token, and put away after it.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::{Answer, Target};
use crate::load::{Outgoing, User};

/// What comes before the measuring is asked once, with patience.
const LIMIT: Duration = Duration::from_secs(20);
/// The name of Filmgate's own cookie.
const COOKIE: &str = "filmgate_sign_in=";

/// What says who uploads. Secrets come in as text and go nowhere but to the server.
#[derive(Clone)]
pub enum Means {
    /// Filmgate's own sign-in.
    SignIn {
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
    /// Bearer tokens, one or one for each session.
    Bearer(Vec<String>),
    /// Values of the `Cookie` header, one or one for each session.
    Cookie(Vec<String>),
    /// An administrator's token, which makes a user with a session for each camera.
    Admin(String),
}

/// What was made for the run.
#[derive(Debug, Default)]
pub struct Made {
    admin: Option<HeaderValue>,
    people: Vec<MadeUser>,
}

#[derive(Debug)]
struct MadeUser {
    id: u64,
    session: String,
    token: String,
}

/// The users of a run: `count` of them, which may share sessions. `tell` hears how many are there.
///
/// Each session is looked at by its settings' route, so that a wrong address, a refused sign-in or somebody else's session
/// is an error in words, and not a run full of refusals. What was made stands in `made` even where this fails midway.
pub async fn prepare(
    target: &Target,
    means: &Means,
    sessions: &[String],
    count: usize,
    valid_for: Duration,
    made: &mut Made,
    tell: impl Fn(usize),
) -> Result<Vec<User>> {
    let users = match means {
        Means::SignIn { username, password } => {
            let cookie = sign_in(target, username, password).await?;
            with_sessions(target, &[(header::COOKIE, secret(&cookie, "the cookie of the sign-in")?)], sessions).await?
        }
        Means::Cookie(cookies) => {
            let credentials: Vec<_> = cookies
                .iter()
                .map(|cookie| Ok((header::COOKIE, secret(cookie, "the cookie")?)))
                .collect::<Result<_>>()?;
            with_sessions(target, &credentials, sessions).await?
        }
        Means::Bearer(tokens) => {
            let credentials: Vec<_> = tokens
                .iter()
                .map(|token| Ok((header::AUTHORIZATION, secret(&format!("Bearer {token}"), "the token")?)))
                .collect::<Result<_>>()?;
            with_sessions(target, &credentials, sessions).await?
        }
        Means::Admin(token) => make(target, token, count.max(1), valid_for, made, &tell).await?,
    };
    for user in &users {
        check(target, user).await?;
    }
    Ok((0..count.max(1)).map(|at| users[at % users.len()].clone()).collect())
}

fn secret(text: &str, what: &str) -> Result<HeaderValue> {
    ensure!(!text.trim().is_empty(), "{what} is empty");
    let mut value = HeaderValue::from_str(text.trim())
        .map_err(|_| anyhow::anyhow!("{what} holds what no header may hold, such as a line break"))?;
    value.set_sensitive(true);
    Ok(value)
}

async fn sign_in(target: &Target, username: &str, password: &str) -> Result<String> {
    let body = json!({"username": username, "password": password});
    let answer = call(target, Method::POST, "/api/v1/sign-in", &[], Some(&body)).await?;
    ensure!(
        answer.status == StatusCode::OK,
        "the sign-in of '{username}' was refused: {}",
        words(target, "/api/v1/sign-in", &answer)
    );
    let cookies = answer.headers.get_all(header::SET_COOKIE);
    let mut pairs = cookies.iter().filter_map(|value| value.to_str().ok()?.split(';').next());
    pairs
        .find(|pair| pair.starts_with(COOKIE))
        .map(str::to_owned)
        .with_context(|| format!("{} signed '{username}' in without Filmgate's cookie", target.url()))
}

async fn with_sessions(
    target: &Target,
    credentials: &[(HeaderName, HeaderValue)],
    sessions: &[String],
) -> Result<Vec<User>> {
    let user = |session: &str, credential: &(HeaderName, HeaderValue)| User {
        session: session.to_owned(),
        credential: Some(credential.clone()),
    };
    match (credentials, sessions) {
        (credentials, []) => {
            let mut users = Vec::new();
            for credential in credentials {
                users.push(user(&own_session(target, credential).await?, credential));
            }
            Ok(users)
        }
        ([one], sessions) => Ok(sessions.iter().map(|session| user(session, one)).collect()),
        (credentials, sessions) if credentials.len() == sessions.len() => {
            Ok(sessions.iter().zip(credentials).map(|(session, credential)| user(session, credential)).collect())
        }
        (credentials, sessions) => bail!(
            "{} who sign in, but {} sessions: give one who signs in, or one for each session, in the same order",
            credentials.len(),
            sessions.len()
        ),
    }
}

/// The newest open session of who signed in; a server that is no Filmgate has no such route.
async fn own_session(target: &Target, credential: &(HeaderName, HeaderValue)) -> Result<String> {
    const PATH: &str = "/api/v1/my/sessions";
    let answer = call(target, Method::GET, PATH, std::slice::from_ref(credential), None).await?;
    match answer.status {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED => bail!("the sign-in was refused: {}", words(target, PATH, &answer)),
        _ => bail!("{} does not say which sessions there are; name one with --session", target.url()),
    }
    let body: Value = serde_json::from_slice(&answer.body)
        .with_context(|| format!("{} does not say which sessions there are; name one with --session", target.url()))?;
    let open = body["items"].as_array().into_iter().flatten().find(|session| session["ended_at"].is_null());
    open.and_then(|session| session["id"].as_str())
        .map(str::to_owned)
        .context("who signs in has no open session: make one, or name one with --session")
}

/// Whether the contract is spoken there, and the session is this user's.
async fn check(target: &Target, user: &User) -> Result<()> {
    let path = format!("/assessment/camera/settings/{}", user.session);
    let credential: Vec<_> = user.credential.clone().into_iter().collect();
    let answer = call(target, Method::GET, &path, &credential, None).await?;
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let said = body.as_ref().and_then(|body| body["status"].as_str());
    match (answer.status, said) {
        (StatusCode::OK, Some("OLKORECT")) => Ok(()),
        (StatusCode::UNAUTHORIZED, _) => bail!("the sign-in was refused: {}", words(target, &path, &answer)),
        (status, _) if status.is_redirection() => bail!(
            "the sign-in was refused: {} sends {path} elsewhere ({}), as an app does with who is not signed in",
            target.url(),
            status.as_u16()
        ),
        (StatusCode::FORBIDDEN | StatusCode::NOT_FOUND, Some("SNAFU")) => {
            bail!("session {} cannot be used: {}", user.session, words(target, &path, &answer))
        }
        _ => bail!("this is no server of the upload contract: {}", words(target, &path, &answer)),
    }
}

async fn make(
    target: &Target,
    token: &str,
    count: usize,
    valid_for: Duration,
    made: &mut Made,
    tell: &impl Fn(usize),
) -> Result<Vec<User>> {
    let admin = secret(&format!("Bearer {token}"), "the administrator's token")?;
    made.admin = Some(admin.clone());
    let credential = [(header::AUTHORIZATION, admin)];
    let ends = Timestamp::now()
        .checked_add(jiff::SignedDuration::try_from(valid_for)?)
        .context("a run that never ends needs no tokens")?;
    // Known again in the list of users, and another for each run.
    let run = Uuid::new_v4().simple().to_string();
    let mut users = Vec::new();
    for number in 0..count {
        let name = format!("bench-{}-{number}", &run[..8]);
        let new = json!({"username": name, "password": Uuid::new_v4().simple().to_string()});
        let user = created(target, "/api/v1/users", &credential, &new).await?;
        let id = user["id"].as_u64().context("a user without an id")?;
        let new = json!({"name": name, "user_id": id, "expires_at": ends.to_string()});
        let token = created(target, "/api/v1/tokens", &credential, &new).await?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let (token_id, bearer) = text(&token["id"]).zip(text(&token["secret"])).context("a token without a secret")?;
        let session = created(target, "/api/v1/sessions", &credential, &json!({"user_id": id})).await?;
        let session = text(&session["id"]).context("a session without an id")?;
        made.people.push(MadeUser { id, session: session.clone(), token: token_id });
        let credential = Some((header::AUTHORIZATION, secret(&format!("Bearer {bearer}"), "a token")?));
        users.push(User { session, credential });
        tell(number + 1);
    }
    Ok(users)
}

impl Made {
    /// How many users.
    pub fn users(&self) -> usize {
        self.people.len()
    }

    /// Ends their sessions, revokes their tokens, lets none of them sign in again. What they uploaded stays.
    pub async fn put_away(self, target: &Target) -> Result<()> {
        let Some(admin) = self.admin else { return Ok(()) };
        let credential = [(header::AUTHORIZATION, admin)];
        for person in &self.people {
            let steps = [
                (Method::POST, format!("/api/v1/sessions/{}/end", person.session), None),
                (Method::DELETE, format!("/api/v1/tokens/{}", person.token), None),
                (Method::PATCH, format!("/api/v1/users/{}", person.id), Some(json!({"is_active": false}))),
            ];
            for (method, path, body) in steps {
                let answer = call(target, method, &path, &credential, body.as_ref()).await?;
                ensure!(answer.status.is_success(), "cleaning up: {}", words(target, &path, &answer));
            }
        }
        Ok(())
    }
}

async fn created(target: &Target, path: &str, credential: &[(HeaderName, HeaderValue)], new: &Value) -> Result<Value> {
    let answer = call(target, Method::POST, path, credential, Some(new)).await?;
    ensure!(
        answer.status == StatusCode::CREATED,
        "the administrator's token makes nobody: {}",
        words(target, path, &answer)
    );
    Ok(serde_json::from_slice(&answer.body)?)
}

async fn call(
    target: &Target,
    method: Method,
    path: &str,
    headers: &[(HeaderName, HeaderValue)],
    body: Option<&Value>,
) -> Result<Answer> {
    let mut headers = headers.to_vec();
    let mut pieces = Vec::new();
    if let Some(body) = body {
        headers.push((header::CONTENT_TYPE, HeaderValue::from_static("application/json")));
        pieces.push(body.to_string().into());
    }
    target.ask(Outgoing { method, path: path.to_owned(), headers, body: pieces }, LIMIT).await
}

/// What the server said, for a person: its own words where it speaks the contract, else what came instead.
fn words(target: &Target, path: &str, answer: &Answer) -> String {
    let status = answer.status.as_u16();
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    if let Some(error) = body.as_ref().and_then(|body| body["error"].as_str()) {
        return format!("{error} ({status} of {path})");
    }
    let kind = answer.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("nothing");
    format!("{}{path} answers {status} with {kind}", target.url())
}
