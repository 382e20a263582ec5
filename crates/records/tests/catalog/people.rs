//! Users, their sign-ins, tokens.

use records::{NewToken, Role, TokenScope, UserChange};
use uuid::Uuid;

use crate::support::{Catalog, at, catalog, conflict, not_found};

async fn user(catalog: &Catalog, name: &str, role: Role) -> records::User {
    catalog.create_user(name.to_owned(), format!("hash of {name}"), role, at(0)).await.unwrap()
}

#[tokio::test]
async fn users_are_made_found_and_changed() {
    let catalog = catalog().await;
    let anna = user(&catalog, "Anna", Role::Participant).await;
    assert_eq!(
        (anna.username.as_str(), anna.role, anna.is_active, anna.created_at),
        ("Anna", Role::Participant, true, at(0))
    );
    conflict(catalog.create_user("ANNA".to_owned(), String::new(), Role::Admin, at(1)).await);

    let (found, hash) = catalog.user_by_name("anna".to_owned()).await.unwrap().unwrap();
    assert_eq!((found.id, hash.as_str()), (anna.id, "hash of Anna"));
    assert!(catalog.user_by_name("nobody".to_owned()).await.unwrap().is_none());
    assert_eq!(catalog.user(anna.id).await.unwrap().unwrap().username, "Anna");
    assert!(catalog.user(99).await.unwrap().is_none());

    let change = UserChange { role: Some(Role::Admin), is_active: Some(false), ..UserChange::default() };
    let changed = catalog.change_user(anna.id, change).await.unwrap();
    assert_eq!((changed.role, changed.is_active), (Role::Admin, false));
    let (_, hash) = catalog.user_by_name("anna".to_owned()).await.unwrap().unwrap();
    assert_eq!(hash, "hash of Anna", "what a change leaves out stays");
    not_found(catalog.change_user(99, UserChange::default()).await);
}

#[tokio::test]
async fn users_are_listed_by_number_to_the_end() {
    let catalog = catalog().await;
    for number in 0..5 {
        user(&catalog, &format!("user {number}"), Role::Participant).await;
    }
    let (mut names, mut after) = (Vec::new(), Some(0));
    while let Some(number) = after {
        let (users, next) = catalog.users(number, 2).await.unwrap();
        names.push(users.into_iter().map(|user| user.username).collect::<Vec<_>>().join(","));
        after = next;
    }
    assert_eq!(names, ["user 0,user 1", "user 2,user 3", "user 4"]);
}

#[tokio::test]
async fn a_sign_in_lasts_until_something_ends_it() {
    let catalog = catalog().await;
    let cases: [(&str, UserChange, bool); 5] = [
        ("nothing", UserChange::default(), true),
        ("made active, as before", UserChange { is_active: Some(true), ..UserChange::default() }, true),
        ("another password", UserChange { password_hash: Some("h".to_owned()), ..UserChange::default() }, false),
        ("another role", UserChange { role: Some(Role::Admin), ..UserChange::default() }, false),
        ("switched off", UserChange { is_active: Some(false), ..UserChange::default() }, false),
    ];
    for (number, (what, change, lives)) in cases.into_iter().enumerate() {
        let user = user(&catalog, what, Role::Participant).await;
        let secret = [u8::try_from(number).unwrap(); 32];
        catalog.create_sign_in(secret, user.id, at(0), at(100)).await.unwrap();
        catalog.change_user(user.id, change).await.unwrap();
        assert_eq!(catalog.signed_in(secret, at(99)).await.unwrap().is_some(), lives, "{what}");
        assert!(catalog.signed_in(secret, at(100)).await.unwrap().is_none(), "{what}: past its time");
    }
}

#[tokio::test]
async fn sign_ins_end_one_by_one_all_together_and_by_time() {
    let catalog = catalog().await;
    let anna = user(&catalog, "Anna", Role::Participant).await;
    let ben = user(&catalog, "Ben", Role::Participant).await;
    for (number, user, until) in [(1, &anna, 50), (2, &anna, 100), (3, &anna, 100), (4, &ben, 100)] {
        catalog.create_sign_in([number; 32], user.id, at(0), at(until)).await.unwrap();
    }
    let alive = async |number: u8| catalog.signed_in([number; 32], at(10)).await.unwrap().is_some();
    let (found, expires_at) = catalog.signed_in([2; 32], at(10)).await.unwrap().unwrap();
    assert_eq!((found.id, expires_at), (anna.id, at(100)));
    catalog.end_sign_in([2; 32]).await.unwrap();
    catalog.end_sign_in([2; 32]).await.unwrap();
    assert!(!alive(2).await && alive(3).await);
    assert_eq!(catalog.forget_expired_sign_ins(at(50)).await.unwrap(), 1);
    assert_eq!(catalog.end_sign_ins_of(anna.id).await.unwrap(), 1);
    assert!(!alive(1).await && !alive(3).await && alive(4).await);
    not_found(catalog.end_sign_ins_of(99).await);
    catalog.create_sign_in([5; 32], 99, at(0), at(1)).await.expect_err("nobody's");
}

#[tokio::test]
async fn tokens_count_until_revoked_expired_or_their_user_is_off() {
    let catalog = catalog().await;
    let anna = user(&catalog, "Anna", Role::Admin).await;
    let new = |number: u8, user_id: Option<i64>, expires_at| NewToken {
        id: Uuid::now_v7(),
        name: format!("token {number}"),
        scope: if user_id.is_some() { TokenScope::User } else { TokenScope::Service },
        user_id,
        secret_hash: [number; 32],
        expires_at,
    };
    let service = catalog.create_token(new(1, None, None), at(1)).await.unwrap();
    assert_eq!((service.name.as_str(), service.scope, service.user_id), ("token 1", TokenScope::Service, None));
    assert_eq!((service.created_at, service.expires_at, service.revoked_at), (at(1), None, None));
    catalog.create_token(new(2, Some(anna.id), Some(at(50))), at(1)).await.unwrap();
    conflict(catalog.create_token(new(3, Some(99), None), at(1)).await);
    catalog.create_token(new(1, None, None), at(1)).await.expect_err("a secret twice");

    let found = async |number: u8, seconds| {
        let found = catalog.token_by_secret([number; 32], at(seconds)).await.unwrap();
        found.map(|(scope, user)| (scope, user.map(|user| user.id)))
    };
    assert_eq!(found(1, 1_000_000).await, Some((TokenScope::Service, None)));
    assert_eq!(found(2, 49).await, Some((TokenScope::User, Some(anna.id))));
    assert_eq!(found(2, 50).await, None);
    assert_eq!(found(9, 1).await, None);
    let off = UserChange { is_active: Some(false), ..UserChange::default() };
    catalog.change_user(anna.id, off).await.unwrap();
    assert_eq!(found(2, 49).await, None);

    for seconds in [5, 6] {
        let revoked = catalog.revoke_token(service.id, at(seconds)).await.unwrap();
        assert_eq!(revoked.revoked_at, Some(at(5)));
    }
    assert_eq!(found(1, 1).await, None);
    not_found(catalog.revoke_token(Uuid::now_v7(), at(1)).await);
}
