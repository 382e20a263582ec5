//! The names clients give their files are text, and never a path.

use serde_json::json;
use testkit::{Form, Server, photo};

use crate::support::{assert_refused, assert_stored, batch, clear, files_of_store, rows_of_catalog, server};

/// An upload whose file is named by these bytes of a header, from behind `name="capture_0"; `.
fn upload(server: &Server, naming: &[u8], photo: &[u8]) -> testkit::Response {
    let headers = [&b"Content-Disposition: form-data; name=\"capture_0\"; "[..], naming].concat();
    let form = Form::new()
        .text("session_id", &server.demo().participant.session_id)
        .raw_part_bytes(&headers, photo)
        .json("metadata_0", &json!({"trigger": "INTERVAL"}));
    batch(server, &form).send(server.address()).unwrap()
}

#[test]
fn a_hostile_name_is_never_a_path() {
    let server = server();
    let photo = photo::jpeg_bytes(70_000, 1);
    let quoted = |name: &str| format!("filename=\"{name}\"").into_bytes();
    let cases = [
        ("up and out", quoted("../../x.jpg")),
        ("up and out, encoded", quoted("..%2f..%2fx.jpg")),
        ("a root", quoted("/etc/cron.d/x")),
        ("a drive", quoted("C:\\\\x.jpg")),
        ("a drive, unescaped", quoted("C:\\x.jpg")),
        ("up and out of Windows", quoted("..\\..\\x.jpg")),
        ("a share", quoted("\\\\\\\\host\\\\share\\\\x.jpg")),
        ("here", quoted(".")),
        ("above", quoted("..")),
        ("hidden", quoted(".htaccess")),
        ("of the store", quoted(".staging/x")),
        ("a device", quoted("CON")),
        ("a stream", quoted("x.jpg::$DATA")),
        ("NUL, encoded", quoted("x.php%00.jpg")),
        ("a line break, encoded", quoted("x%0d%0aSet-Cookie: a=b")),
        ("a tab", quoted("a\tb.jpg")),
        ("a quote, escaped", quoted("a\\\"; name=\\\"session_id.jpg")),
        ("markup", quoted("<img src=x onerror=alert(1)>.jpg")),
        ("a command", quoted("$(id)`id`;id|id.jpg")),
        ("4 kB", quoted(&"n".repeat(4_096))),
        ("4 kB of folders", quoted(&"n/".repeat(2_048))),
        ("right to left", quoted("gpj.\u{202e}exe.jpg")),
        ("invisible", quoted("\u{200b}\u{feff}")),
        ("two scripts", quoted("Пациент 患者.jpg")),
        ("spaces", quoted("   ")),
        ("not quoted", b"filename=../x.jpg".to_vec()),
        ("extended", b"filename=\"x.jpg\"; filename*=UTF-8''..%2F..%2Fx.jpg".to_vec()),
        ("extended, of no charset", b"filename=\"x.jpg\"; filename*=nothing''x.jpg".to_vec()),
        ("extended, of no UTF-8, alone", b"filename*=UTF-8''%FF.jpg".to_vec()),
        ("no UTF-8", b"filename=\"\xFF\xFE.jpg\"".to_vec()),
        ("Latin-1", b"filename=\"Caf\xE9.jpg\"".to_vec()),
        ("half a surrogate pair", b"filename=\"\xED\xA0\x80.jpg\"".to_vec()),
        ("an escape that is no UTF-8", quoted("100%FF.jpg")),
        ("upper case", b"FILENAME=\"x.jpg\"".to_vec()),
        ("a quote that does not end", b"filename=\"x.jpg".to_vec()),
    ];
    for (name, naming) in &cases {
        let stored = assert_stored(&server, name, &upload(&server, naming, &photo), &[&photo]);
        let filename = &stored[0].filename;
        assert_eq!(*filename, format!("{}.jpg", stored[0].id), "{name}");
        let files = files_of_store(&server);
        assert!(files.len() == 1 && files[0].ends_with(filename), "{name}: {files:?}");
        assert_eq!(rows_of_catalog(&server)[0]["filename"], **filename, "{name}");
        clear(&server);
    }
    println!("images: {} hostile filenames", cases.len());
}

#[test]
fn a_name_that_no_header_can_hold_is_refused() {
    let server = server();
    let photo = photo::jpeg_bytes(70_000, 1);
    let cases: [(&str, &[u8]); 4] = [
        ("NUL", b"filename=\"a\0b.jpg\""),
        ("a control byte", b"filename=\"a\x07b.jpg\""),
        ("delete", b"filename=\"a\x7Fb.jpg\""),
        ("a lone return", b"filename=\"a\rb.jpg\""),
    ];
    for (name, naming) in &cases {
        assert_refused(&server, name, &upload(&server, naming, &photo), 400, "malformed_form");
    }
    println!("images: {} filenames refused", cases.len());
}

/// An empty filename is a file field that nothing was chosen for, as in Flask; none is a text.
#[test]
fn a_part_without_a_filename_is_no_photo() {
    let server = server();
    let cases: [(&str, &[u8]); 3] =
        [("empty", b"filename=\"\""), ("none", b""), ("only in the name of another", b"x=\"a; filename=b.jpg\"")];
    for (name, naming) in &cases {
        let answer = upload(&server, naming, &photo::jpeg(8, 8, 1));
        assert_stored(&server, name, &answer, &[]);
        assert!(files_of_store(&server).is_empty(), "{name}");
    }
    println!("images: {} parts that are no photos", cases.len());
}
