//! Photos in a bucket: its address, its keys, and what goes with it.

use std::path::Path;
use std::time::Duration;

use super::One::File;
use super::{check, check_all, file, load, messages};

const ALLOWED: &str =
    r#"allowed: "file:PATH", "s3://BUCKET" or "s3://BUCKET/PREFIX"; or empty for blobs in the data folder"#;

/// A bucket's address, and what is said of it after the place.
#[track_caller]
fn check_url(url: &str, what: &str, hint: &str) {
    let text = format!("blobs.url = {url:?}");
    check(file(&text), &format!("FILE:1:13: blobs.url: {what}\n{ALLOWED}\nhint: {hint}"));
}

#[test]
fn the_address_of_a_bucket() {
    check_url("s3:photos", "`s3:photos` is no address of a bucket", r#"write url = "s3://photos""#);
    check_url("S3://photos", "`S3://photos` is no address of a bucket", r#"write url = "s3://photos""#);
    check_url("s3a://photos/a", "`s3a://photos/a` is no address of a bucket", r#"write url = "s3://photos/a""#);
    check_url("s3://Photos", "`Photos` has capitals, and a bucket's name has none", r#"write url = "s3://photos""#);
    check_url("s3://", "names no bucket", "write s3://BUCKET");
    check_url("s3://ab", "`ab` is no bucket's name: 3 to 63 of a-z, 0-9, . and -", r#"the default is url = """#);
    check_url(
        "s3://a_photo",
        "`a_photo` is no bucket's name: 3 to 63 of a-z, 0-9, . and -",
        r#"the default is url = """#,
    );
    check_url(
        "s3://photos/../other",
        "`../other` is no prefix: parts of letters, digits and . _ - with / between",
        r#"the default is url = """#,
    );
    check_url(
        "http://127.0.0.1:3900/photos",
        "is the address of a server",
        "a bucket is s3://BUCKET; 127.0.0.1:3900 goes to blobs.s3_endpoint",
    );
    check_url(
        "s3://me:hunter2@photos",
        "holds a key or a password",
        "write s3://BUCKET; the key goes to blobs.s3_access_key_id and s3_secret_access_key",
    );
}

const KEYS: &str = "[blobs]\nurl = \"s3://photos/of/us/\"\ns3_access_key_id = \"GK1\"\ns3_secret_access_key = \"s\"\n";

#[test]
fn what_follows_from_a_bucket() {
    let config = load(file(KEYS)).unwrap();
    assert_eq!(config.blobs_path(), Path::new("filmgate-data/blobs"), "where they are staged");
    let bucket = config.blobs.bucket_at(&config.blobs.url).unwrap();
    assert_eq!((bucket.bucket.as_str(), bucket.prefix.as_str(), bucket.endpoint), ("photos", "of/us", None));
    assert_eq!((bucket.timeout, bucket.retry), (Duration::from_secs(30), Duration::from_secs(10)));
    assert!(!load(file("")).unwrap().blobs.is_bucket());
    assert!(!load(file("blobs.url = \"file:s3\"")).unwrap().blobs.is_bucket());
    assert_eq!(messages(file(&format!("{KEYS}serve = \"redirect\"\n[ingest]\ndurability = \"node\"\n"))), "fine");
}

#[test]
fn a_bucket_needs_its_keys_and_other_settings_a_bucket() {
    check(
        file("[blobs]\nurl = \"s3://photos\"\ns3_access_key_id = \"GK1\""),
        "
            FILE:2:7: blobs.url is a bucket, and blobs.s3_secret_access_key is not set
            allowed: both keys, as the store gave them
            hint: set blobs.s3_secret_access_key, best from a file of its own or the environment
        ",
    );
    check_all(&[
        (
            File("ingest.durability = \"node\""),
            "
                FILE:1:21: ingest.durability is \"node\", and the photos are in a folder: it is for photos in S3
                allowed: \"node\" together with blobs.url = \"s3://BUCKET\"
                hint: leave ingest.durability out, or name a bucket
            ",
        ),
        (
            File("blobs.serve = \"redirect\""),
            "
                FILE:1:15: blobs.serve is \"redirect\", and the photos are in a folder: it is for photos in S3
                allowed: \"redirect\" together with blobs.url = \"s3://BUCKET\"
                hint: leave blobs.serve out, or name a bucket
            ",
        ),
        (
            File("blobs.s3_endpoint = \"127.0.0.1:3900\""),
            "
                FILE:1:21: blobs.s3_endpoint: `127.0.0.1:3900` has no scheme
                allowed: scheme, host and port, as \"http://127.0.0.1:3900\"; or empty for AWS
                hint: write s3_endpoint = \"https://127.0.0.1:3900\"
            ",
        ),
    ]);
    let said = messages(file("blobs.s3_secret_access_key = \"hunter2 \""));
    assert!(said.contains("holds spaces") && !said.contains("hunter2"), "{said}");
}
