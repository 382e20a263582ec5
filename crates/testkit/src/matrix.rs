//! The engines that a whole suite runs on, as the environment says: rows in SQLite or PostgreSQL, photos in a folder or
//! in S3, tasks by the catalog alone or over Redis.
//!
//! It owns the settings that make a server on a data folder use them, and gives each folder a database, a prefix in the
//! bucket and a prefix in Redis of its own, so that tests do not see each other. `with-engines` starts the engines and
//! sets the variables; without them everything is in the data folder, as ever.
//!
//! It leaves to others: tests that look into the folder itself, which ask [`in_folder`] first.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

use crate::api::sha256;
use crate::rig::bucket::Bucket;
use crate::rig::postgres;

/// `postgres`: each data folder gets a database of its own at [`POSTGRES_URL`].
pub const RECORDS: &str = "FILMGATE_TEST_RECORDS";
/// A database that is there, by whose side others are made.
pub const POSTGRES_URL: &str = "FILMGATE_TEST_POSTGRES_URL";
/// `s3`: each data folder gets a prefix of its own in the bucket that the others name.
pub const BLOBS: &str = "FILMGATE_TEST_BLOBS";
pub const S3_ENDPOINT: &str = "FILMGATE_TEST_S3_ENDPOINT";
pub const S3_REGION: &str = "FILMGATE_TEST_S3_REGION";
/// `s3://BUCKET`.
pub const S3_URL: &str = "FILMGATE_TEST_S3_URL";
pub const S3_KEY: &str = "FILMGATE_TEST_S3_KEY";
pub const S3_SECRET: &str = "FILMGATE_TEST_S3_SECRET";
/// A database that is there on a MariaDB, by whose side others are made: for the tests of the app's tables.
pub const MARIADB_URL: &str = "FILMGATE_TEST_MARIADB_URL";
/// Tasks go over this Redis.
pub const REDIS_URL: &str = "FILMGATE_TEST_REDIS_URL";

fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set; run the suite under with-engines"))
}

pub fn has_postgres() -> bool {
    std::env::var(RECORDS).as_deref() == Ok("postgres")
}

pub fn has_s3() -> bool {
    std::env::var(BLOBS).as_deref() == Ok("s3")
}

/// Whether rows and photos lie in the data folder, where a test can look at the files and damage them.
pub fn in_folder() -> bool {
    !has_postgres() && !has_s3()
}

/// What is this folder's, and no other's.
fn name(data: &Path) -> String {
    let data = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    format!("t_{}", &sha256(data.as_os_str().as_encoded_bytes())[..20])
}

fn database_url(database: &str) -> Result<String> {
    let url = variable(POSTGRES_URL)?;
    let (server, _) = url.rsplit_once('/').with_context(|| format!("{POSTGRES_URL} names no database"))?;
    Ok(format!("{server}/{database}"))
}

/// The settings that a program on this data folder needs; its database is made where there is none.
pub fn envs(data: &Path) -> Result<Vec<(String, String)>> {
    let mut envs = Vec::new();
    let mut set = |name: &str, value: String| envs.push((format!("FILMGATE__{name}"), value));
    let name = name(data);
    if has_postgres() {
        create_database(&name)?;
        set("RECORDS__URL", database_url(&name)?);
        // Many servers at once share one PostgreSQL.
        set("RECORDS__CONNECTIONS_MAX", "6".to_owned());
    }
    if has_s3() {
        set("BLOBS__URL", format!("{}/{name}", variable(S3_URL)?));
        set("BLOBS__S3_ENDPOINT", variable(S3_ENDPOINT)?);
        set("BLOBS__S3_REGION", variable(S3_REGION)?);
        set("BLOBS__S3_ACCESS_KEY_ID", variable(S3_KEY)?);
        set("BLOBS__S3_SECRET_ACCESS_KEY", variable(S3_SECRET)?);
        set("BLOBS__S3_PATH_STYLE", "true".to_owned());
    }
    if let Ok(url) = std::env::var(REDIS_URL) {
        set("JOBS__REDIS_URL", url);
        set("JOBS__REDIS_KEY_PREFIX", name);
    }
    Ok(envs)
}

/// As [`envs`], but where `chosen` says itself where rows, photos or tasks are, nothing of these: half of the one and
/// half of the other would be a place that neither meant.
pub fn envs_beside(data: &Path, chosen: &[(String, String)]) -> Result<Vec<(String, String)>> {
    let groups = [
        ("FILMGATE__RECORDS__URL", "FILMGATE__RECORDS__"),
        ("FILMGATE__BLOBS__URL", "FILMGATE__BLOBS__"),
        ("FILMGATE__JOBS__REDIS_URL", "FILMGATE__JOBS__REDIS_"),
    ];
    let mut envs = envs(data)?;
    for (name, group) in groups {
        if chosen.iter().any(|(set, _)| set == name) {
            envs.retain(|(set, _)| !set.starts_with(group));
        }
    }
    Ok(envs)
}

static MADE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn create_database(name: &str) -> Result<()> {
    // Held meanwhile: PostgreSQL copies its template for one at a time, and refuses a second.
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if made.contains(name) {
        return Ok(());
    }
    let url = variable(POSTGRES_URL)?;
    match postgres::execute(&url, &format!("CREATE DATABASE {name}")) {
        Ok(_) => {}
        Err(error) if error.to_string().contains("already exists") => {}
        Err(error) => return Err(error),
    }
    made.insert(name.to_owned());
    Ok(())
}

/// Removes what was made for this folder, when the folder goes: hundreds of databases would fill the disk.
pub fn forget(data: &Path) {
    let name = name(data);
    let was_made = MADE.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
    if was_made && let Ok(url) = variable(POSTGRES_URL) {
        // Left over, it goes with the cluster.
        if let Err(error) = postgres::execute(&url, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")) {
            eprintln!("left behind: database {name}: {error:#}");
        }
    }
}

/// What the store of this folder's server holds in the bucket, as paths below the store's root; none without S3.
pub fn objects(data: &Path) -> Result<Vec<PathBuf>> {
    if !has_s3() {
        return Ok(Vec::new());
    }
    let endpoint = variable(S3_ENDPOINT)?;
    let bucket = Bucket {
        address: endpoint.trim_start_matches("http://").parse().with_context(|| format!("no address in {endpoint}"))?,
        region: variable(S3_REGION)?,
        name: variable(S3_URL)?.trim_start_matches("s3://").to_owned(),
        access_key_id: variable(S3_KEY)?,
        secret_access_key: variable(S3_SECRET)?,
    };
    let prefix = format!("{}/", name(data));
    let listed = bucket.list(&prefix)?;
    Ok(listed.into_keys().filter_map(|key| Some(PathBuf::from(key.strip_prefix(&prefix)?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_folder_has_a_name_that_a_database_can_have() {
        let (one, two) = (name(Path::new("/a/data")), name(Path::new("/b/data")));
        assert_ne!(one, two);
        assert_eq!(one, name(Path::new("/a/data")));
        assert!(one.len() < 63 && one.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{one}");
    }
}
