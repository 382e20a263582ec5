//! A name that is no setting, and what was probably meant.

use super::One::{Env, File, Flag};
use super::check_all;

#[test]
fn a_name_that_is_no_setting() {
    check_all(&[
        (
            File("[server]\nlisen = \"x\""),
            "
                FILE:2:1: unknown setting server.lisen
                hint: did you mean listen?
            ",
        ),
        (
            File(r#"listen = "x""#),
            "
                FILE:1:1: unknown setting listen
                hint: did you mean listen in [server]?
            ",
        ),
        (
            File("[server]\nmode = \"direct\""),
            "
                FILE:2:1: unknown setting server.mode
                hint: did you mean mode in [ingest]?
            ",
        ),
        (
            File("[server]\nuploads_in_flight = 1"),
            "
                FILE:2:1: unknown setting server.uploads_in_flight
                hint: did you mean uploads_in_flight_max in [ingest]?
            ",
        ),
        (
            File("[server]\nheader_read_timeout = 1"),
            "
                FILE:2:1: unknown setting server.header_read_timeout
                hint: did you mean header_read_timeout_ms?
            ",
        ),
        (
            File("[server]\nListen = \"x\""),
            "
                FILE:2:1: unknown setting server.Listen
                hint: did you mean listen?
            ",
        ),
        (
            File("[server]\nbody-grace-ms = 1"),
            "
                FILE:2:1: unknown setting server.body-grace-ms
                hint: did you mean body_grace_ms?
            ",
        ),
        (
            File("[server]\ndata_dir = \"x\""),
            "
                FILE:2:1: unknown setting server.data_dir
                hint: did you mean data_dir, above the first section?
            ",
        ),
        (
            File("[server]\nxyzzy = 1"),
            "
                FILE:2:1: unknown setting server.xyzzy
                hint: `filmgate config show` lists every setting
            ",
        ),
        (
            File("xyzzy = 1"),
            "
                FILE:1:1: unknown setting xyzzy
                hint: `filmgate config show` lists every setting
            ",
        ),
        (
            File("[serve]\nlisten = \"x\""),
            "
                FILE:1:2: unknown section [serve]
                hint: did you mean [server]?
            ",
        ),
        (
            File("[xyzzy]\na = 1\nb = 2"),
            "
                FILE:1:2: unknown section [xyzzy]
                hint: the sections are server, ingest, records, blobs, processing, jobs, webhook, celery, identity, identity.flask, identity.forward, identity.jwt, host, log, api
            ",
        ),
        (
            File("server = 5"),
            "
                FILE:1:1: server is a section, not a setting
                hint: write [server], and its settings below
            ",
        ),
        (
            File("[[server]]\nlisten = \"x\""),
            "
                FILE:1:3: server is a section, not a setting
                hint: write [server], and its settings below
            ",
        ),
        (
            File("[data_dir]\nx = 1"),
            r#"
                FILE:1:1: data_dir: a section stands where a text in quotes belongs
                allowed: the path of a folder
                hint: the default is data_dir = "filmgate-data"
            "#,
        ),
        (
            File(r#""server.listen" = "x""#),
            "
                FILE:1:1: unknown setting server.listen
                hint: did you mean listen in [server]?
            ",
        ),
        (
            File("[server]\npublic_url_file = \"x\""),
            "
                FILE:2:1: unknown setting server.public_url_file
                hint: only secrets are read from files; set public_url itself
            ",
        ),
        (
            File("[server.listen]\nx = 1"),
            r#"
                FILE:1:1: server.listen: a section stands where a text in quotes belongs
                allowed: an address and a port, as "127.0.0.1:8080", "[::1]:8080" or "localhost:8080"
                hint: the default is listen = "127.0.0.1:8080"
            "#,
        ),
        (
            Env("FILMGATE__SERVER__LISEN", "x"),
            "
                environment FILMGATE__SERVER__LISEN: no setting has this name
                hint: did you mean FILMGATE__SERVER__LISTEN?
            ",
        ),
        (
            Env("FILMGATE__SERVER_LISTEN", "x"),
            "
                environment FILMGATE__SERVER_LISTEN: no setting has this name
                hint: did you mean FILMGATE__SERVER__LISTEN?
            ",
        ),
        (
            Env("FILMGATE_SERVER__LISTEN", "x"),
            "
                environment FILMGATE_SERVER__LISTEN: no setting has this name
                hint: did you mean FILMGATE__SERVER__LISTEN?
            ",
        ),
        (
            Env("FILMGATE__LISTEN", "x"),
            "
                environment FILMGATE__LISTEN: no setting has this name
                hint: did you mean FILMGATE__SERVER__LISTEN?
            ",
        ),
        (
            Env("filmgate__server__listen", "x"),
            "
                environment filmgate__server__listen: no setting has this name
                hint: did you mean FILMGATE__SERVER__LISTEN?
            ",
        ),
        (
            Env("FILMGATE__SERVER__PUBLIC_URL_FILE", "x"),
            "
                environment FILMGATE__SERVER__PUBLIC_URL_FILE: no setting has this name
                hint: only secrets are read from files; set FILMGATE__SERVER__PUBLIC_URL itself
            ",
        ),
        (
            Env("FILMGATE__XYZZY__FOO", "x"),
            "
                environment FILMGATE__XYZZY__FOO: no setting has this name
                hint: `filmgate config show` lists every setting
            ",
        ),
        (
            Env("FILMGATE__", "x"),
            "
                environment FILMGATE__: no setting has this name
                hint: `filmgate config show` lists every setting
            ",
        ),
        (
            Flag("server.lisen", "x"),
            "
                flag server.lisen: no setting has this name
                hint: did you mean server.listen?
            ",
        ),
        (
            Flag("listen", "x"),
            "
                flag listen: no setting has this name
                hint: did you mean server.listen?
            ",
        ),
        (
            Flag("xyzzy", "x"),
            "
                flag xyzzy: no setting has this name
                hint: `filmgate config show` lists every setting
            ",
        ),
    ]);
}
