//! Promise 11: nobody reads, changes or detects what is another's.
//!
//! The routes come from the running server's own document, and what each caller gets from [`table`].

mod table;
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use testkit::server::Server;
use testkit::{Request, Response};

use self::table::{About, Row, TABLE};
use self::world::{Caller, World};
use crate::support::{Shared, patient, sign_in, unprocessed, without_id};

static SERVER: Shared = Shared::new();

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
/// Pages are no part of the interface's document.
const PAGES: [&str; 6] =
    ["GET /", "GET /review", "GET /operate", "GET /pages/{*name}", "GET /client/{name}", "GET /api/v1/docs"];

/// Every `METHOD path` of the server.
fn routes(server: &Server) -> BTreeSet<String> {
    let document = Request::get("/api/v1/openapi.json").send(server.address()).unwrap().json();
    let mut routes: BTreeSet<String> = PAGES.map(str::to_owned).into();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            if METHODS.contains(&method.as_str()) {
                routes.insert(format!("{method} {path}"));
            }
        }
    }
    routes
}

/// The request of a row about the thing of this id.
fn request(world: &World, row: &Row, id: &str) -> Request {
    let (method, template) = row.route.split_once(' ').unwrap();
    let target = match (template.find('{'), template.find('}')) {
        (Some(from), Some(to)) => format!("{}{id}{}", &template[..from], &template[to + 1..]),
        _ => template.to_owned(),
    };
    (row.body)(world, id, Request::new(method, &target))
}

fn send(world: &World, row: &Row, id: &str, caller: &Caller) -> Response {
    let mut request = request(world, row, id);
    if row.route == "DELETE /api/v1/sign-in" && caller.headers.len() == 1 && caller.headers[0].0 == "Cookie" {
        // A sign-in to be ended that nobody needs afterwards.
        let people = [&world.owner, &world.other, &world.server.demo().admin];
        if let Some(person) = people.into_iter().find(|person| person.cookie == caller.headers[0].1) {
            request = request.cookie(&sign_in(&world.server, &person.username, &person.password));
            return request.send(world.server.address()).unwrap();
        }
    }
    caller.sign(request).send(world.server.address()).unwrap()
}

#[test]
fn the_table_knows_every_route_and_no_other() {
    let server = SERVER.get();
    let known: BTreeSet<String> = TABLE.iter().map(|row| row.route.to_owned()).collect();
    assert_eq!(known, routes(&server), "left: access/table.rs; right: the server. Say in the table who may use it");
    println!("{} routes", known.len());
}

#[test]
fn every_route_for_every_caller() {
    // Of its own: nobody else may change what a refused call must leave as it was.
    let world = World::new(Arc::new(unprocessed(patient()).start().unwrap()));
    let callers = world.callers();
    let mut wrong = Vec::new();
    let mut covered = 0;
    for row in TABLE {
        for caller in &callers {
            let expected = row.expected[caller.column];
            let id = world.fresh(row.about);
            let before = if expected < 400 { Vec::new() } else { world.state() };
            let response = send(&world, row, &id, caller);
            covered += 1;
            let what = format!("{} by {}", row.route, caller.name);
            if response.status != expected {
                wrong.push(format!("{what}: {expected} expected, {response:?}"));
            } else if expected >= 400 && world.state() != before {
                wrong.push(format!("{what}: refused with {expected}, and yet it changed something"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {covered}:\n{}", wrong.len(), wrong.join("\n"));
    println!("{covered} calls: {} routes, {} callers", TABLE.len(), callers.len());
}

#[test]
fn forbidden_and_absent_are_the_same_to_the_byte() {
    let world = World::new(SERVER.get());
    let callers = world.callers();
    let mut covered = 0;
    for row in TABLE.iter().filter(|row| row.about != About::Nothing && row.about != About::FreshSession) {
        for caller in callers.iter().filter(|caller| row.expected[caller.column] >= 400) {
            let there = without_id(&send(&world, row, &world.fresh(row.about), caller));
            for id in World::absent(row.about) {
                let absent = without_id(&send(&world, row, &id, caller));
                assert_eq!(there, absent, "{} by {}, {id}", row.route, caller.name);
                covered += 1;
            }
        }
    }
    println!("{covered} comparisons");
}

#[test]
fn lists_show_a_participant_their_own_alone() {
    let world = World::new(SERVER.get());
    let others: BTreeSet<String> = (0..3).map(|_| world.fresh(About::OwnersSession)).collect();
    for caller in world.callers().iter().filter(|caller| [table::OTHER, table::ADMIN].contains(&caller.column)) {
        let response = caller.sign(Request::get("/api/v1/my/sessions")).send(world.server.address()).unwrap();
        let items: Vec<Value> = response.json()["items"].as_array().unwrap().clone();
        assert!(items.iter().all(|item| !others.contains(item["id"].as_str().unwrap())), "{}", caller.name);
    }
}

#[test]
fn methods_that_a_route_does_not_take_are_refused_for_everybody() {
    let world = World::new(SERVER.get());
    let callers = world.callers();
    let routes = routes(&world.server);
    let paths: BTreeSet<&str> = routes.iter().map(|route| route.split_once(' ').unwrap().1).collect();
    let mut covered = 0;
    for path in paths {
        let target = path.replace("{name}", "filmgate.css").replace(['{', '}'], "");
        let taken = |method: &str| routes.contains(&format!("{method} {path}"));
        for method in METHODS {
            if taken(method) || (method == "HEAD" && taken("GET")) {
                continue;
            }
            for caller in callers.iter().filter(|caller| ["nobody", "the owner", "an admin"].contains(&caller.name)) {
                let response = caller.sign(Request::new(method, &target)).send(world.server.address()).unwrap();
                assert_eq!(response.status, 405, "{method} {target} by {}: {response:?}", caller.name);
                let mut allowed: Vec<&str> = response.header("allow").unwrap().split(',').map(str::trim).collect();
                allowed.retain(|method| *method != "HEAD");
                assert!(!allowed.is_empty() && allowed.iter().all(|method| taken(method)), "{target}: {allowed:?}");
                covered += 1;
            }
        }
    }
    println!("{covered} methods refused");
}

#[test]
fn head_is_get_without_its_body() {
    let world = World::new(SERVER.get());
    let callers = world.callers();
    let mut covered = 0;
    for row in TABLE.iter().filter(|row| row.route.starts_with("GET ")) {
        let id = world.fresh(row.about);
        for caller in &callers {
            let mut head = request(&world, row, &id);
            head.method = "HEAD".to_owned();
            let response = caller.sign(head).send(world.server.address()).unwrap();
            assert_eq!(response.status, row.expected[caller.column], "HEAD {} by {}", row.route, caller.name);
            covered += 1;
        }
    }
    println!("{covered} HEAD requests");
}
