//! Everybody who may ask, and the things they ask about.

use std::sync::Arc;

use serde_json::{Value, json};
use testkit::server::Server;
use testkit::{Api, Person, Request, photo};

use super::table::{ADMIN, About, BACKEND, NOBODY, OTHER, OWNER};
use crate::support::{as_admin, made, new_settings, new_user, sign_in};

pub struct World {
    pub server: Arc<Server>,
    pub owner: Person,
    pub other: Person,
    /// A capture of the owner's that no call may link or delete.
    pub capture_id: String,
}

/// Somebody who asks, with what they show for it.
pub struct Caller {
    pub name: &'static str,
    /// Which column of the table is theirs.
    pub column: usize,
    pub headers: Vec<(&'static str, String)>,
}

impl Caller {
    pub fn sign(&self, request: Request) -> Request {
        self.headers.iter().fold(request, |request, (name, value)| request.header(name, value))
    }
}

impl World {
    pub fn new(server: Arc<Server>) -> Self {
        let (owner, other) = (new_user(&server), new_user(&server));
        let mut world = Self { server, owner, other, capture_id: String::new() };
        world.capture_id = world.fresh(About::OwnersCapture);
        world
    }

    fn token(&self, members: &Value) -> (String, String) {
        let token = made(&self.server, "POST", "/api/v1/tokens", members);
        (token["id"].as_str().unwrap().to_owned(), token["secret"].as_str().unwrap().to_owned())
    }

    fn token_of(&self, person: &Person) -> String {
        let user_id: i64 = person.user_id.parse().unwrap();
        self.token(&json!({"name": "a program of theirs", "user_id": user_id})).1
    }

    pub fn callers(&self) -> Vec<Caller> {
        let server = &self.server;
        let admin = &server.demo().admin;
        let cookie = |cookie: &str| vec![("Cookie", cookie.to_owned())];
        let bearer = |secret: &str| vec![("Authorization", format!("Bearer {secret}"))];

        let signed_out = sign_in(server, &self.owner.username, &self.owner.password);
        let gone = Request::new("DELETE", "/api/v1/sign-in").cookie(&signed_out).send(server.address()).unwrap();
        assert_eq!(gone.status, 204);
        let switched_off = new_user(server);
        let token_of_switched_off = self.token_of(&switched_off);
        let target = format!("/api/v1/users/{}", switched_off.user_id);
        made(server, "PATCH", &target, &json!({"is_active": false}));
        let (revoked_id, revoked) = self.token(&json!({"name": "revoked"}));
        assert_eq!(as_admin(server, "DELETE", &format!("/api/v1/tokens/{revoked_id}"), None).status, 200);
        let expired = self.token(&json!({"name": "expired", "expires_at": "2020-01-01T00:00:00Z"})).1;
        let made_up = format!("fgt_{}", "5".repeat(64));

        let caller = |name, column, headers| Caller { name, column, headers };
        vec![
            caller("the owner", OWNER, cookie(&self.owner.cookie)),
            caller("the owner's token", OWNER, bearer(&self.token_of(&self.owner))),
            caller("another participant", OTHER, cookie(&self.other.cookie)),
            caller("another participant's token", OTHER, bearer(&self.token_of(&self.other))),
            caller("nobody", NOBODY, Vec::new()),
            caller("a sign-in that was ended", NOBODY, cookie(&signed_out)),
            caller("a user who was switched off", NOBODY, cookie(&switched_off.cookie)),
            caller("the token of a user who was switched off", NOBODY, bearer(&token_of_switched_off)),
            caller("a revoked token", NOBODY, bearer(&revoked)),
            caller("an expired token", NOBODY, bearer(&expired)),
            caller("a made-up token", NOBODY, bearer(&made_up)),
            caller(
                "a made-up token beside the admin's cookie",
                NOBODY,
                [bearer(&made_up), cookie(&admin.cookie)].concat(),
            ),
            caller(
                "the admin's secret as the app's cookie",
                NOBODY,
                cookie(&admin.cookie.replace("filmgate_sign_in", "session")),
            ),
            caller("an admin", ADMIN, cookie(&admin.cookie)),
            caller("an admin's token", ADMIN, bearer(&self.token_of(admin))),
            caller("the app's backend", BACKEND, bearer(&self.token(&json!({"name": "backend"})).1)),
        ]
    }

    /// A fresh session of the owner's, with the demo's default settings.
    fn session(&self) -> String {
        let session = json!({"user_id": self.owner.user_id.parse::<i64>().unwrap()});
        made(&self.server, "POST", "/api/v1/sessions", &session)["id"].as_str().unwrap().to_owned()
    }

    /// A fresh capture in a fresh session of the owner's.
    fn capture(&self) -> Value {
        let mut api = Api::new(self.server.address(), &self.owner.cookie, &self.session());
        api.upload_photo(&photo::jpeg_bytes(3_000, 1)).unwrap().json()["captures"][0].clone()
    }

    /// A fresh task of the owner's, called off: there is nothing to wait for, and it can be run again.
    fn task(&self) -> String {
        let of_capture = format!("/api/v1/tasks?capture_id={}", self.fresh(About::OwnersCapture));
        let tasks = as_admin(&self.server, "GET", &of_capture, None).json();
        let id = tasks["items"][0]["id"].as_str().unwrap().to_owned();
        made(&self.server, "POST", &format!("/api/v1/tasks/{id}/revoke"), &Value::Null);
        id
    }

    /// The id of a fresh thing.
    pub fn fresh(&self, about: About) -> String {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        match about {
            About::Nothing => String::new(),
            About::OwnersSession => self.session(),
            About::FreshSession => uuid::Uuid::now_v7().to_string(),
            About::OwnersFile => text(&self.capture()["filename"]),
            About::OwnersCapture => text(&self.capture()["id"]),
            About::OwnersTask => self.task(),
            About::Settings => text(&new_settings(&self.server, &json!({"recording_mode": "EVENT_DRIVEN"}))["id"]),
            About::Token => self.token(&json!({"name": "a victim"})).0,
            About::User => new_user(&self.server).user_id,
            About::Asset => "filmgate.css".to_owned(),
            About::ClientAsset => "filmgate.js".to_owned(),
        }
    }

    /// Ids that name nothing of the kind.
    pub fn absent(about: About) -> Vec<String> {
        let never = uuid::Uuid::now_v7().to_string();
        match about {
            About::Nothing | About::Asset | About::ClientAsset => Vec::new(),
            About::User => ["999999", "0", "-1", "x"].map(str::to_owned).into(),
            About::OwnersFile => vec![format!("{never}.jpg"), never, "x".to_owned(), "%2e%2e".to_owned()],
            _ => vec![never, "x".to_owned(), "1".to_owned(), "%2e%2e".to_owned()],
        }
    }

    /// Everything an administrator can list: what a refused call must leave as it was.
    pub fn state(&self) -> Vec<String> {
        let lists = ["users?", "tokens?", "sessions?", "camera-settings?", "captures?", "tasks?kind=process&"];
        lists.map(|list| as_admin(&self.server, "GET", &format!("/api/v1/{list}limit=200"), None).text()).into()
    }
}
