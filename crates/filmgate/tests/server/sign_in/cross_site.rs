//! A browser sends its cookie whoever wrote the page: what changes something must come from our own.

use testkit::server::Server;
use testkit::{Form, Request, Shot, photo};

use super::SERVER;
use crate::support::{builder, code_of, made, new_user, participant, sign_in_request};

const FOREIGN: &str = "https://evil.example";

type Headers<'a> = Vec<(&'a str, &'a str)>;

fn with(request: Request, headers: &[(&str, &str)]) -> Request {
    headers.iter().fold(request, |request, (name, value)| request.header(name, value))
}

/// A request that changes something, with the participant's cookie.
fn change(server: &Server, headers: &[(&str, &str)]) -> u16 {
    let api = participant(server);
    let target = format!("/assessment/camera/cleanup/{}", api.session_id);
    with(Request::post(&target).cookie(&api.cookie), headers).send(server.address()).unwrap().status
}

#[test]
fn whose_page_may_change_something() {
    let server = SERVER.get();
    let own = server.demo().url.trim_end_matches('/').to_owned();
    let address = server.address().to_string();
    let other_port = format!("http://127.0.0.1:{}", server.address().port() ^ 1);
    let (https, suffixed) = (format!("https://{address}"), format!("{own}.evil.example"));
    let cases: Vec<(Headers, u16)> = vec![
        (vec![], 200),
        (vec![("Origin", &own)], 200),
        (vec![("Sec-Fetch-Site", "same-origin")], 200),
        (vec![("Sec-Fetch-Site", "none")], 200),
        (vec![("Sec-Fetch-Site", "same-origin"), ("Origin", &own)], 200),
        (vec![("Origin", FOREIGN)], 403),
        (vec![("Origin", "null")], 403),
        (vec![("Origin", "")], 403),
        (vec![("Origin", &other_port)], 403),
        (vec![("Origin", &https)], 403),
        (vec![("Origin", &suffixed)], 403),
        (vec![("Sec-Fetch-Site", "cross-site")], 403),
        (vec![("Sec-Fetch-Site", "same-site")], 403),
        (vec![("Sec-Fetch-Site", "SAME-ORIGIN")], 403),
        (vec![("Sec-Fetch-Site", "cross-site"), ("Origin", &own)], 403),
        (vec![("Origin", FOREIGN), ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "https")], 403),
        (vec![("Origin", "http://evil.example"), ("X-Forwarded-Host", "evil.example")], 403),
        (vec![("Referer", "https://evil.example/page")], 200),
    ];
    for (headers, status) in &cases {
        assert_eq!(change(&server, headers), *status, "{headers:?}");
    }
    println!("{} origins", cases.len());
}

#[test]
fn every_change_is_guarded_and_no_reading_is() {
    let server = SERVER.get();
    let user = new_user(&server);
    let api = participant(&server);
    let admin = &server.demo().admin.cookie;
    let upload =
        testkit::api::upload_request(&api.cookie, &api.session_id, &[Shot::interval(photo::jpeg_bytes(3_000, 1))]);
    let foreign = |request: Request| {
        let response = request.header("Origin", FOREIGN).send(server.address()).unwrap();
        (response.status, code_of(&response))
    };
    let single = format!("/assessment/camera/upload-single/{}", api.session_id);
    let text_form = Form::new().text("session_id", &api.session_id);
    let changes = [
        upload,
        Request::post(&single).cookie(&api.cookie).form(&text_form),
        sign_in_request(&user.username, &user.password),
        Request::new("DELETE", "/api/v1/sign-in").cookie(&user.cookie),
        Request::new("PATCH", &format!("/api/v1/users/{}", user.user_id)).cookie(admin),
        Request::post("/api/v1/users").cookie(admin),
        Request::new("PUT", "/api/v1/sessions/x").cookie(admin),
        Request::new("DELETE", "/api/v1/captures/x").cookie(admin),
    ];
    for request in changes.clone() {
        let what = format!("{} {}", request.method, request.target);
        assert_eq!(foreign(request), (403, "cross_site".to_owned()), "{what}");
    }
    let reading = ["/api/v1/sign-in", "/api/v1/my/sessions", "/", "/livez"];
    for target in reading {
        assert_eq!(foreign(Request::get(target).cookie(&user.cookie)).0, 200, "{target}");
    }
    assert_eq!(foreign(Request::new("HEAD", "/api/v1/sign-in").cookie(&user.cookie)).0, 200);
    assert_eq!(api.clone().list().unwrap().len(), 0);
    println!("{} changes, {} ways to read", changes.len(), reading.len() + 1);
}

#[test]
fn a_token_is_no_cookie() {
    let server = SERVER.get();
    let api = participant(&server);
    let user_id: i64 = server.demo().participant.user_id.parse().unwrap();
    let token = made(&server, "POST", "/api/v1/tokens", &serde_json::json!({"name": "t", "user_id": user_id}));
    let bearer = format!("Bearer {}", token["secret"].as_str().unwrap());
    let target = format!("/assessment/camera/cleanup/{}", api.session_id);
    let foreign = [("Origin", FOREIGN), ("Sec-Fetch-Site", "cross-site"), ("Authorization", &bearer)];
    let response = with(Request::post(&target), &foreign).send(server.address()).unwrap();
    assert_eq!(response.status, 200, "no browser sends a token by itself: {response:?}");
    let response = with(Request::post(&target).cookie(&api.cookie), &foreign).send(server.address()).unwrap();
    assert_eq!(response.status, 200, "{response:?}");
}

#[test]
fn origins_that_the_operator_allows() {
    let clinic = "https://clinic.example.org";
    let server = builder()
        .env("FILMGATE__SERVER__ALLOWED_ORIGINS", clinic)
        .env("FILMGATE__SERVER__PUBLIC_URL", "https://photos.example.org")
        .start()
        .unwrap();
    let plain = format!("http://{}", server.address());
    let cases: Vec<(Headers, u16)> = vec![
        (vec![("Origin", clinic)], 200),
        (vec![("Origin", clinic), ("Sec-Fetch-Site", "cross-site")], 200),
        (vec![("Origin", "https://photos.example.org")], 200),
        (vec![("Origin", &plain)], 403),
        (vec![("Origin", FOREIGN)], 403),
        (vec![("Origin", "https://clinic.example.org.evil.example")], 403),
        (vec![("Origin", "http://clinic.example.org")], 403),
        (vec![("Sec-Fetch-Site", "cross-site")], 403),
    ];
    for (headers, status) in &cases {
        assert_eq!(change(&server, headers), *status, "{headers:?}");
    }
    println!("{} origins", cases.len());
}

#[test]
fn our_origin_is_what_the_trusted_proxy_says() {
    let server = builder().env("FILMGATE__SERVER__TRUSTED_PROXIES", "127.0.0.1").start().unwrap();
    let seen = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "photos.example.org")];
    let cases = [("https://photos.example.org", 200), ("http://photos.example.org", 403), (FOREIGN, 403)];
    for (origin, status) in cases {
        let headers: Vec<_> = seen.into_iter().chain([("Origin", origin)]).collect();
        assert_eq!(change(&server, &headers), status, "{origin}");
    }
    println!("{} origins", cases.len());
}
