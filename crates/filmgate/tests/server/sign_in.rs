//! Signing in, staying signed in, and what a page of another site can do with it: nothing.

mod cross_site;
mod guessing;
mod proxies;

use std::collections::HashSet;

use serde_json::json;
use testkit::server::Server;
use testkit::{Request, Response};

use crate::support::{Shared, as_admin, assert_members, made, members, new_user, sign_in, sign_in_request, without_id};

static SERVER: Shared = Shared::new();

fn who_am_i(server: &Server, cookie: &str) -> Response {
    Request::get("/api/v1/sign-in").cookie(cookie).send(server.address()).unwrap()
}

/// The attributes of the `Set-Cookie`, without the secret.
fn attributes(response: &Response) -> HashSet<&str> {
    let cookie = response.header("set-cookie").unwrap_or_else(|| panic!("no cookie: {response:?}"));
    cookie.split("; ").skip(1).collect()
}

#[test]
fn a_cookie_for_this_origins_requests_alone() {
    let server = SERVER.get();
    let user = new_user(&server);
    let response = sign_in_request(&user.username, &user.password).send(server.address()).unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(attributes(&response), HashSet::from(["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=43200"]));
    let cookie = response.header("set-cookie").unwrap();
    let (name, secret) = cookie.split(';').next().unwrap().split_once('=').unwrap();
    assert_eq!(name, "filmgate_sign_in");
    assert!(secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()), "256 random bits");
    let body = response.json();
    assert_members(&body, ["user", "expires_at"]);
    let expected =
        json!({"id": user.user_id.parse::<i64>().unwrap(), "username": user.username, "role": "participant"});
    assert_eq!(body["user"], expected);
    let lasts = body["expires_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap() - jiff::Timestamp::now();
    assert!((43_100..=43_200).contains(&lasts.as_secs()), "{lasts:?}");
    assert!(!response.text().contains(secret), "the secret is in the cookie alone");
}

#[test]
fn each_sign_in_has_a_secret_of_its_own_and_ends_alone() {
    let server = SERVER.get();
    let user = new_user(&server);
    let mut cookies: Vec<String> = (0..5).map(|_| sign_in(&server, &user.username, &user.password)).collect();
    assert_eq!(cookies.iter().collect::<HashSet<_>>().len(), 5);
    let last = cookies.pop().unwrap();
    for cookie in &cookies {
        let signed_out = Request::new("DELETE", "/api/v1/sign-in").cookie(cookie).send(server.address()).unwrap();
        assert_eq!(signed_out.status, 204);
        let expected = HashSet::from(["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=0"]);
        assert_eq!(attributes(&signed_out), expected, "the browser forgets it");
        assert_eq!(who_am_i(&server, cookie).status, 401, "and so does the server");
        assert_eq!(who_am_i(&server, &last).status, 200, "the others go on");
    }
    println!("{} sign-ins ended one by one", cookies.len());
}

#[test]
fn a_signed_in_browser_signs_in_again_with_a_fresh_secret() {
    let server = SERVER.get();
    let user = new_user(&server);
    let request = sign_in_request(&user.username, &user.password).cookie(&user.cookie);
    let response = request.send(server.address()).unwrap();
    assert_eq!(response.status, 200);
    assert!(!response.header("set-cookie").unwrap().starts_with(&user.cookie), "no fixed secret");
}

#[test]
fn what_ends_every_sign_in_of_a_user() {
    let server = SERVER.get();
    let changes = [
        ("a new password", "PATCH", "", Some(json!({"password": "another password"}))),
        ("another role", "PATCH", "", Some(json!({"role": "admin"}))),
        ("switched off", "PATCH", "", Some(json!({"is_active": false}))),
        ("ended by an administrator", "DELETE", "/sign-ins", None),
    ];
    for (what, method, suffix, body) in &changes {
        let (user, bystander) = (new_user(&server), new_user(&server));
        let second = sign_in(&server, &user.username, &user.password);
        let target = format!("/api/v1/users/{}{suffix}", user.user_id);
        assert_eq!(as_admin(&server, method, &target, body.as_ref()).status, 200, "{what}");
        for cookie in [&user.cookie, &second] {
            assert_eq!(who_am_i(&server, cookie).status, 401, "{what}");
        }
        assert_eq!(who_am_i(&server, &bystander.cookie).status, 200, "{what} is about one user");
    }
    println!("{} ways to end sign-ins", changes.len());
}

#[test]
fn a_new_password_takes_the_place_of_the_old() {
    let server = SERVER.get();
    let user = new_user(&server);
    made(&server, "PATCH", &format!("/api/v1/users/{}", user.user_id), &json!({"password": "another password"}));
    assert_eq!(sign_in_request(&user.username, &user.password).send(server.address()).unwrap().status, 401);
    sign_in(&server, &user.username, "another password");
    sign_in(&server, &user.username.to_uppercase(), "another password");
}

#[test]
fn every_wrong_sign_in_is_the_same_to_the_byte() {
    let server = SERVER.get();
    let user = new_user(&server);
    let off = new_user(&server);
    made(&server, "PATCH", &format!("/api/v1/users/{}", off.user_id), &json!({"is_active": false}));
    let long = "p".repeat(1025);
    let cases = [
        (user.username.as_str(), "a wrong password"),
        (user.username.as_str(), ""),
        (user.username.as_str(), long.as_str()),
        ("nobody of this name", user.password.as_str()),
        ("", user.password.as_str()),
        ("' OR 1=1 --", "' OR 1=1 --"),
        (off.username.as_str(), off.password.as_str()),
    ];
    let mut first = None;
    for (username, password) in cases {
        let response = sign_in_request(username, password).send(server.address()).unwrap();
        assert_eq!(response.header("set-cookie"), None);
        let body = response.json();
        assert_eq!((response.status, &body["code"]), (401, &json!("wrong_credentials")), "{username:?}");
        assert!(members(&body).contains("detail"));
        let telling = without_id(&response);
        assert_eq!(&telling, first.get_or_insert(telling.clone()), "{username:?}");
    }
    println!("{} wrong sign-ins", cases.len());
}

#[test]
fn secrets_count_where_they_belong_alone() {
    let server = SERVER.get();
    let user = new_user(&server);
    let secret = user.cookie.split_once('=').unwrap().1.to_owned();
    let token =
        made(&server, "POST", "/api/v1/tokens", &json!({"name": "t", "user_id": user.user_id.parse::<i64>().unwrap()}));
    let token = token["secret"].as_str().unwrap().to_owned();
    let get = |target: &str| Request::get(target);
    let cases = [
        (get("/api/v1/sign-in").cookie(&user.cookie), 200),
        (get("/api/v1/sign-in").cookie(&format!("a=b; {}; c=d", user.cookie)), 200),
        (get("/api/v1/sign-in").header("Authorization", &format!("Bearer {token}")), 200),
        (get("/api/v1/sign-in").header("authorization", &format!("bearer {token}")), 200),
        (get(&format!("/api/v1/sign-in?token={token}")), 401),
        (get(&format!("/api/v1/sign-in?access_token={token}")), 401),
        (get(&format!("/api/v1/sign-in?filmgate_sign_in={secret}")), 401),
        (get(&format!("/api/v1/sign-in?{}", user.cookie)), 401),
        (get("/api/v1/sign-in").header("Authorization", &format!("Bearer {secret}")), 401),
        (get("/api/v1/sign-in").header("Authorization", &token), 401),
        (get("/api/v1/sign-in").header("X-Api-Key", &token), 401),
        (get("/api/v1/sign-in").header("X-Remote-User", "admin"), 401),
        (get("/api/v1/sign-in").cookie(&format!("filmgate_sign_in={token}")), 401),
        (get("/api/v1/sign-in").cookie(&format!("session={secret}")), 401),
        (get("/api/v1/sign-in").cookie(&format!("filmgate_sign_in={}", secret.to_uppercase())), 401),
        (get("/api/v1/sign-in").cookie(&user.cookie[..user.cookie.len() - 1]), 401),
        (get("/api/v1/sign-in").cookie(&format!("{}0", user.cookie)), 401),
    ];
    for (request, status) in &cases {
        let response = request.send(server.address()).unwrap();
        assert_eq!(response.status, *status, "{} {:?}", request.target, request.headers);
    }
    println!("{} places for a secret", cases.len());
}
