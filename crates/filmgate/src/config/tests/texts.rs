//! A text that does not look as its rule demands.

use super::One::{Env, File};
use super::{Input, check, check_all};

#[test]
fn a_text_that_does_not_look_as_it_must() {
    check_all(&[
        (
            File(r#"data_dir = """#),
            r#"
                FILE:1:12: data_dir: is empty
                allowed: the path of a folder
                hint: the default is data_dir = "filmgate-data"
            "#,
        ),
        (
            File("data_dir = \"a\\u0000b\""),
            r#"
                FILE:1:12: data_dir: a path cannot hold a NUL character
                allowed: the path of a folder
                hint: the default is data_dir = "filmgate-data"
            "#,
        ),
        (
            File(r#"server.listen = "8080""#),
            r#"
                FILE:1:17: server.listen: `8080` is a port without an address
                allowed: an address and a port, as "127.0.0.1:8080", "[::1]:8080" or "localhost:8080"
                hint: write listen = "127.0.0.1:8080"
            "#,
        ),
        (
            File(r#"server.listen = ":8080""#),
            r#"
                FILE:1:17: server.listen: `:8080` has no address
                allowed: an address and a port, as "127.0.0.1:8080", "[::1]:8080" or "localhost:8080"
                hint: write listen = "0.0.0.0:8080"
            "#,
        ),
        (
            File(r#"server.listen = "0.0.0.0""#),
            r#"
                FILE:1:17: server.listen: `0.0.0.0` is an address without a port
                allowed: an address and a port, as "127.0.0.1:8080", "[::1]:8080" or "localhost:8080"
                hint: write listen = "0.0.0.0:8080"
            "#,
        ),
        (
            File(r#"server.listen = "localhost""#),
            r#"
                FILE:1:17: server.listen: `localhost` is not an address and a port
                allowed: an address and a port, as "127.0.0.1:8080", "[::1]:8080" or "localhost:8080"
                hint: the default is listen = "127.0.0.1:8080"
            "#,
        ),
        (
            File(r#"server.listen = "localhost:99999""#),
            r#"
                FILE:1:17: server.listen: `localhost:99999` has no port from 0 to 65535
                allowed: an address and a port, as "127.0.0.1:8080", "[::1]:8080" or "localhost:8080"
                hint: the default is listen = "127.0.0.1:8080"
            "#,
        ),
        (
            File(r#"server.listen = """#),
            r#"
                FILE:1:17: server.listen: is empty
                allowed: an address and a port, as "127.0.0.1:8080", "[::1]:8080" or "localhost:8080"
                hint: the default is listen = "127.0.0.1:8080"
            "#,
        ),
        (
            File(r#"server.trusted_proxies = ["10.0.0.0/8", "10.0.0.1/8", "nginx"]"#),
            r#"
                FILE:1:41: server.trusted_proxies: `10.0.0.1/8` has bits beyond its prefix
                allowed: addresses and networks, as "127.0.0.1" or "10.0.0.0/8"
                hint: write 10.0.0.0/8 for the network, or 10.0.0.1 for the one address
                FILE:1:55: server.trusted_proxies: `nginx` is neither an address nor a network
                allowed: addresses and networks, as "127.0.0.1" or "10.0.0.0/8"
                hint: the default is trusted_proxies = []
            "#,
        ),
        (
            Env("FILMGATE__SERVER__TRUSTED_PROXIES", "10.0.0.0/33"),
            r#"
                environment FILMGATE__SERVER__TRUSTED_PROXIES: server.trusted_proxies: `10.0.0.0/33` is neither an address nor a network
                allowed: addresses and networks, as "127.0.0.1" or "10.0.0.0/8"
                hint: the default is FILMGATE__SERVER__TRUSTED_PROXIES=
            "#,
        ),
        (
            File(r#"server.public_url = "photos.example.org""#),
            r#"
                FILE:1:21: server.public_url: `photos.example.org` has no scheme
                allowed: scheme and host, as "https://photos.example.org"; or empty
                hint: write public_url = "https://photos.example.org"
            "#,
        ),
        (
            File(r#"server.public_url = "https://Photos.example.org:443""#),
            r#"
                FILE:1:21: server.public_url: `https://Photos.example.org:443` is not how browsers write it
                allowed: scheme and host, as "https://photos.example.org"; or empty
                hint: write public_url = "https://photos.example.org"
            "#,
        ),
        (
            File(r#"server.public_url = "https://photos.example.org/""#),
            r#"
                FILE:1:21: server.public_url: `https://photos.example.org/` goes on after the host
                allowed: scheme and host, as "https://photos.example.org"; or empty
                hint: write public_url = "https://photos.example.org"
            "#,
        ),
        (
            File(r#"server.public_url = "ftp://x""#),
            r#"
                FILE:1:21: server.public_url: `ftp://x` is neither http:// nor https://
                allowed: scheme and host, as "https://photos.example.org"; or empty
                hint: the default is public_url = ""
            "#,
        ),
        (
            File(r#"server.public_url = "https://""#),
            r#"
                FILE:1:21: server.public_url: `https://` has no valid host name (international names in their xn-- form)
                allowed: scheme and host, as "https://photos.example.org"; or empty
                hint: the default is public_url = ""
            "#,
        ),
        (
            File(r#"server.public_url = "https://a:0""#),
            r#"
                FILE:1:21: server.public_url: `https://a:0` has no port from 1 to 65535
                allowed: scheme and host, as "https://photos.example.org"; or empty
                hint: the default is public_url = ""
            "#,
        ),
        (
            File(r#"server.public_url = "https://me:pw@a""#),
            r#"
                FILE:1:21: server.public_url: holds a user name or a password
                allowed: scheme and host, as "https://photos.example.org"; or empty
                hint: leave them out
            "#,
        ),
        (
            File(r#"server.allowed_origins = ["*", "https://a", "https://b/c?d"]"#),
            r#"
                FILE:1:27: server.allowed_origins: `*` would let every page on the web act for your users
                allowed: origins as browsers send them, as ["https://clinic.example.org"]
                hint: name each origin
                FILE:1:45: server.allowed_origins: `https://b/c?d` goes on after the host
                allowed: origins as browsers send them, as ["https://clinic.example.org"]
                hint: write https://b
            "#,
        ),
        (
            File(r#"records.url = "catalog.sqlite""#),
            r#"
                FILE:1:15: records.url: what it says does not begin with sqlite:
                allowed: "sqlite:PATH", or "postgres://USER:PASSWORD@HOST:5432/DATABASE"; or empty for catalog.sqlite in the data folder
                hint: the default is url = ""
            "#,
        ),
        (
            File(r#"records.url = "sqlite://host/path""#),
            r#"
                FILE:1:15: records.url: what it says names a machine, not a path
                allowed: "sqlite:PATH", or "postgres://USER:PASSWORD@HOST:5432/DATABASE"; or empty for catalog.sqlite in the data folder
                hint: write sqlite:relative/path or sqlite:/absolute/path
            "#,
        ),
        (
            File(r#"records.url = "sqlite::memory:""#),
            r#"
                FILE:1:15: records.url: what it says names no file or folder
                allowed: "sqlite:PATH", or "postgres://USER:PASSWORD@HOST:5432/DATABASE"; or empty for catalog.sqlite in the data folder
                hint: the default is url = ""
            "#,
        ),
        (
            File(r#"records.url = "sqlite:a?mode=rwc""#),
            r#"
                FILE:1:15: records.url: what it says has options after a question mark; there are none
                allowed: "sqlite:PATH", or "postgres://USER:PASSWORD@HOST:5432/DATABASE"; or empty for catalog.sqlite in the data folder
                hint: the default is url = ""
            "#,
        ),
        (
            File(r#"records.url = "mysql:a""#),
            r#"
                FILE:1:15: records.url: what it says is no kind of store that Filmgate knows
                allowed: "sqlite:PATH", or "postgres://USER:PASSWORD@HOST:5432/DATABASE"; or empty for catalog.sqlite in the data folder
                hint: the default is url = ""
            "#,
        ),
        (
            File(r#"blobs.url = "file:""#),
            r#"
                FILE:1:13: blobs.url: `file:` names no file or folder
                allowed: "file:PATH", "s3://BUCKET" or "s3://BUCKET/PREFIX"; or empty for blobs in the data folder
                hint: the default is url = ""
            "#,
        ),
        (
            File(r#"log.level = "inof""#),
            r#"
                FILE:1:13: log.level: `inof` is no level
                allowed: error, warn, info, debug, trace or off; by module as "info,filmgate=debug"
                hint: did you mean info?
            "#,
        ),
        (
            File(r#"log.level = """#),
            r#"
                FILE:1:13: log.level: is empty
                allowed: error, warn, info, debug, trace or off; by module as "info,filmgate=debug"
                hint: write level = "info"
            "#,
        ),
        (
            File(r#"log.level = "info,a=b=c""#),
            r#"
                FILE:1:13: log.level: `info,a=b=c` is no log filter: error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5
                allowed: error, warn, info, debug, trace or off; by module as "info,filmgate=debug"
                hint: the default is level = "info"
            "#,
        ),
    ]);
}

#[test]
fn texts_that_are_right() {
    let texts = [
        ("server.listen", "[::1]:0"),
        ("server.listen", "localhost:8080"),
        ("server.public_url", "http://10.0.0.1:8080"),
        ("server.public_url", "https://[::1]:8443"),
        ("server.allowed_origins", "https://xn--bcher-kva.example"),
        ("records.url", "sqlite:catalog.db"),
        ("blobs.url", "file:///srv/blobs"),
        ("log.level", "INFO,hyper=off,filmgate::listen[span{id=1}]=trace"),
        ("server.trusted_proxies", "0.0.0.0/0"),
    ];
    for (key, text) in texts {
        check(Input { flags: &[(key, text)], ..Input::default() }, "fine");
    }
}
