//! Every setting, once. Whoever adds one adds it here, and nowhere else.
//!
//! Owns names, types, defaults, limits and documentation. The doc comments are what
//! `filmgate.example.toml` prints, so they speak to whoever runs the server: what it does, in which
//! unit, and what the extremes mean.

#![allow(clippy::doc_markdown, reason = "prose for a TOML file, where backticks would only disturb")]

use std::path::PathBuf;

use ipnet::IpNet;

use super::rules;
use super::secret::Secret;
use super::values::choices;

choices! {
    /// When an upload is answered.
    Mode {
        /// Stored and recorded first: the answer carries the ids.
        Direct = "direct",
        /// Stored and recorded first all the same: the answer carries the tasks.
        Queued = "queued",
    } later []
}

choices! {
    /// What a success answer promises.
    Durability {
        /// The photo survives a power cut.
        Durable = "durable",
        /// The photo survives a power cut of this machine, and not the loss of its disk.
        Node = "node",
        /// The photo survives a crash of the program, not of the machine.
        Relaxed = "relaxed",
    } later []
}

choices! {
    /// How photos in a bucket reach who asks for them.
    ServeFrom {
        /// Through the server, checked before their first byte.
        Stream = "stream",
        /// By a signed address of the bucket.
        Redirect = "redirect",
    } later []
}

choices! {
    /// What of a photo is checked before its upload is answered.
    Verify {
        /// Type, header, dimensions and completeness.
        Structure = "structure",
        /// Also that it can be decoded.
        Decode = "decode",
    } later []
}

choices! {
    /// What becomes of an original once it is processed.
    Original {
        /// It stays as it was received, to the byte.
        Keep = "keep",
        /// One without metadata takes its place.
        Strip = "strip",
    } later []
}

choices! {
    /// Who says who a request comes from.
    Provider {
        /// Filmgate's own users and sign-in.
        Local = "local",
        /// A Flask app, by its cookies.
        Flask = "flask",
        /// An app, by asking it.
        Forward = "forward",
        /// Whoever signs bearer tokens.
        Jwt = "jwt",
    } later []
}

choices! {
    /// Flask-Login's session protection.
    SessionProtection {
        /// Sessions of another address or browser are no longer fresh; they go on otherwise.
        Basic = "basic",
        /// They end, but for permanent ones.
        Strong = "strong",
        /// Nobody looks.
        None = "none",
    } later []
}

choices! {
    /// How log lines are written.
    LogFormat {
        /// For people.
        Text = "text",
        /// An object a line, for collectors.
        Json = "json",
    } later []
}

/// What a flag of the app's holds where the answer is yes.
fn yes() -> Vec<String> {
    host::YES.map(str::to_owned).to_vec()
}

settings! {
    /// Every setting of the server, valid and complete.
    Config {
        /// The folder that holds everything: catalog, photos, staging files. One server owns it.
        /// Relative paths, here and below, start at the directory Filmgate is started in.
        data_dir: PathBuf = "filmgate-data", must rules::NOT_EMPTY;
    }

    /// What the server listens on, whom it believes, and how long it waits for slow cameras.
    ["server"] server: Server {
        /// Address and port. 127.0.0.1 is this machine alone, 0.0.0.0 every IPv4 network it is on.
        listen: String = "127.0.0.1:8080", must rules::LISTEN;
        /// Scheme and host as browsers see them, as in `https://photos.example.org`.
        /// Empty: derived from each request.
        public_url: String = "", must rules::PUBLIC_URL;
        /// The reverse proxies in front: addresses and networks, as in `["127.0.0.1", "10.0.0.0/8"]`.
        /// Only their X-Forwarded-* headers are believed. Empty: nobody's.
        trusted_proxies: Vec<IpNet> = vec![];
        /// Further origins whose pages may use a signed-in browser's cookie,
        /// as in `["https://clinic.example.org"]`. The server's own origin always may.
        allowed_origins: Vec<String> = vec![], must rules::ORIGINS;
        /// Certificate chain, a PEM file. Set together with the key, the server speaks HTTPS.
        tls_certificate_file: PathBuf = "";
        /// The certificate's private key, a PEM file.
        tls_key_file: PathBuf = "";
        /// Connections at once; a further one gets a 503. Each needs a file descriptor, so the
        /// limit of open files counts too: at most three quarters of it go to connections.
        connections_max: usize = 20_000, in 1..=1_000_000;
        /// Time for a request's header to arrive whole, in milliseconds. Also how long a connection
        /// may rest between two requests: keep it above the interval of the cameras.
        header_read_timeout_ms: u64 = 30_000, in 1..=3_600_000, as header_read_timeout in milliseconds;
        /// Longest silence within a request's body, in milliseconds; then 408.
        body_idle_timeout_ms: u64 = 30_000, in 1..=3_600_000, as body_idle_timeout in milliseconds;
        /// How long a body may be slower than the minimum rate, in milliseconds from its start.
        /// 0: not at all.
        body_grace_ms: u64 = 30_000, in 0..=3_600_000, as body_grace in milliseconds;
        /// Slowest a body may arrive, in bytes per second on average; slower is a 408.
        body_rate_min_bytes_per_second: u64 = 256, in 1..=1_073_741_824;
        /// Time for a whole body whose length is not known in advance, in milliseconds.
        /// For the others it follows from their length and the minimum rate.
        body_total_timeout_ms: u64 = 600_000, in 1..=86_400_000, as body_total_timeout in milliseconds;
        /// Longest a client may leave an answer unread, in milliseconds; then it is closed.
        write_timeout_ms: u64 = 30_000, in 1..=3_600_000, as write_timeout in milliseconds;
        /// Largest header of a request, in bytes, cookies and address line included; more is a 431.
        /// It is also the read buffer of each connection: smaller saves memory.
        header_bytes_max: usize = 16_384, in 8_192..=1_048_576;
        /// How much of a refused body is still read, in bytes, so that a browser sees the answer
        /// instead of a broken connection. 0: nothing.
        linger_bytes_max: u64 = 33_554_432, in 0..=1_099_511_627_776;
        /// How long a refused body is still read, in milliseconds.
        linger_timeout_ms: u64 = 30_000, in 1..=600_000, as linger_timeout in milliseconds;
        /// How long everything is still served after the signal to stop while /readyz already says no,
        /// in milliseconds: a load balancer that asks it then takes this server out, and nobody meets
        /// a closed door. 0: not at all.
        drain_delay_ms: u64 = 0, in 0..=3_600_000, as drain_delay in milliseconds;
        /// How long uploads under way may go on after the signal to stop, in milliseconds.
        /// 0: they are cut at once.
        drain_deadline_ms: u64 = 30_000, in 0..=3_600_000, as drain_deadline in milliseconds;
        /// Time for a TLS handshake, in milliseconds.
        tls_handshake_timeout_ms: u64 = 10_000, in 1..=600_000, as tls_handshake_timeout in milliseconds;
    }

    /// How photos are taken in, and how much at once.
    ["ingest"] ingest: Ingest {
        /// What an upload is answered with, once it is stored and recorded. "direct": 200 and the
        /// captures. "queued": 202 and the tasks that process them. A request may ask for the other
        /// by `Prefer: respond-async` or `Prefer: wait=10`.
        mode: Mode = Mode::Direct;
        /// What a 2xx promises. "durable": the photo survives a power cut; with photos in S3, S3 has it.
        /// "node", for photos in S3 alone: it survives a power cut of this machine, on its disk, and is
        /// shipped to S3 afterwards. If this machine's disk is lost before that, photos that were
        /// answered are lost; until then other nodes cannot show them.
        /// "relaxed" does not wait for the disk, and risks that: a photo that was answered with a
        /// 2xx may be lost at a power cut.
        durability: Durability = Durability::Durable;
        /// What is checked before the answer. "structure": type, header, dimensions, completeness.
        /// "decode": also that the photo can be decoded; a 422 then comes before the answer, and
        /// each upload pays for it with the time of a decode.
        verify: Verify = Verify::Structure;
        /// Threads for disk work: writing, syncing, renaming.
        disk_workers: usize = 16, in 1..=1_024;
        /// Pieces of disk work waiting for a thread; beyond them, new uploads get a 503.
        disk_queue_max: usize = 1_024, in 1..=1_000_000;
        /// Largest photo, in bytes.
        upload_bytes_max: u64 = 33_554_432, in 1..=1_099_511_627_776;
        /// Largest request, in bytes: all its photos and fields together.
        request_bytes_max: u64 = 268_435_456, in 1..=1_099_511_627_776;
        /// Photos in one request.
        captures_per_request_max: usize = 100, in 1..=10_000;
        /// Parts in one request, photos and fields together.
        parts_per_request_max: usize = 400, in 1..=100_000;
        /// Largest metadata of a photo, in bytes of JSON.
        metadata_bytes_max: usize = 65_536, in 2..=16_777_216;
        /// Deepest nesting of objects and lists in metadata.
        metadata_depth_max: usize = 32, in 1..=100;
        /// Uploads under way at once; further ones get a 503.
        uploads_in_flight_max: usize = 12_000, in 1..=1_000_000;
        /// The same for one user; further ones get a 429.
        uploads_in_flight_per_user_max: usize = 64, in 1..=1_000_000;
        /// Bytes of uploads under way at once, as announced or received.
        bytes_in_flight_max: u64 = 8_589_934_592, in 1..=1_125_899_906_842_624;
        /// The same for one user.
        bytes_in_flight_per_user_max: u64 = 536_870_912, in 1..=1_125_899_906_842_624;
        /// Largest image, in pixels (width times height), read from its header before decoding.
        image_pixels_max: u64 = 64_000_000, in 1..=4_294_967_296;
        /// Scans of a progressive JPEG.
        image_scans_max: u32 = 100, in 1..=100_000;
        /// Frames of an animation.
        image_frames_max: u32 = 16, in 1..=100_000;
        /// Free space to leave on the data folder's disk, in bytes. Below it uploads get a 507 and
        /// /readyz says not ready. 0: uploads go on until the disk is full.
        free_bytes_min: u64 = 268_435_456, in 0..=1_125_899_906_842_624;
        /// How long a request sent again is recognised, and a deleted photo stays deleted when an
        /// offline camera sends it again, in days.
        idempotency_keep_days: u64 = 400, in 1..=36_500, as idempotency_keep in days;
        /// How long files that nothing refers to are kept aside before they are deleted, in days.
        quarantine_keep_days: u64 = 30, in 1..=36_500, as quarantine_keep in days;
    }

    /// What cameras are asked for under pressure: fewer frames of the timer first, then lower quality;
    /// then frames of the timer are refused. Those of events come last.
    ["hints"] hints: Hints {
        /// Ask at all. Pages that do not follow the hints lose nothing by them.
        enabled: bool = true;
        /// How long uploads may take on average from their last byte to their answer, in milliseconds,
        /// before fewer are asked for. Set it well above what they take when all is quiet.
        answer_max_ms: u64 = 1_000, in 10..=60_000, as answer_max in milliseconds;
        /// The longest interval that is asked for, in milliseconds.
        interval_max_ms: u64 = 8_000, in 1_000..=60_000, as interval_max in milliseconds;
        /// The lowest JPEG quality that is asked for, in percent. 80: it is left alone.
        quality_percent_min: u32 = 50, in 30..=80;
        /// The share of uploads under way, of their bytes and of the disk's queue that frames of the
        /// timer cannot take, in percent. 0: all frames are alike.
        event_places_percent: u32 = 20, in 0..=90;
    }

    /// The catalog: sessions, photos, users and tasks.
    ["records"] records: Records {
        /// Where it is: "sqlite:PATH" for one server, or `postgres://user:password@host:5432/database`
        /// (PostgreSQL 15 or later) for several that share it. Add `?sslmode=require` for TLS.
        /// Empty: catalog.sqlite in the data folder.
        url: Secret = "", must rules::RECORDS_URL;
        /// SQLite: connections for reading. Writing has one of its own.
        read_connections: usize = 4, in 1..=256;
        /// PostgreSQL: connections at once, of this server. All of them together stay below the
        /// max_connections of PostgreSQL.
        connections_max: usize = 16, in 1..=1_000;
        /// PostgreSQL: how long a request waits for a database that is away, in milliseconds; then
        /// 503 with Retry-After.
        unavailable_after_ms: u64 = 5_000, in 100..=600_000, as unavailable_after in milliseconds;
        /// PostgreSQL with sslmode=require: certificate authorities to trust, a PEM file. Empty: those
        /// of the system.
        tls_ca_file: PathBuf = "";
        /// SQLite: requests that share one transaction, and with it one sync of the disk, when many wait.
        commit_batch_max: usize = 256, in 1..=10_000;
    }

    /// Where the photos themselves are.
    ["blobs"] blobs: Blobs {
        /// "file:PATH", a folder; or "s3://BUCKET" or "s3://BUCKET/PREFIX", a bucket that is there, of
        /// AWS, Garage, MinIO or another store that speaks S3. Empty: blobs in the data folder.
        /// With a bucket, photos on their way to it are in that folder, on this machine's own disk.
        url: String = "", must rules::BLOBS_URL;
        /// The store's address, as in `http://127.0.0.1:3900`. Empty: AWS, by region.
        s3_endpoint: String = "", must rules::S3_ENDPOINT;
        /// The region that requests are signed for. Garage's is "garage" unless it was set.
        s3_region: String = "us-east-1", must rules::S3_REGION;
        /// The key that may read, write, list and delete in the bucket.
        s3_access_key_id: Secret = "", must rules::S3_KEY;
        /// Its secret.
        s3_secret_access_key: Secret = "", must rules::S3_KEY;
        /// Ask for https://host/bucket/key, as most stores beside AWS want it, instead of
        /// https://bucket.host/key.
        s3_path_style: bool = true;
        /// Longest that one request to S3 may take, in milliseconds, with all of its bytes.
        s3_timeout_ms: u64 = 30_000, in 100..=600_000, as s3_timeout in milliseconds;
        /// How long a request that failed is tried again, in milliseconds; then an upload gets a 503
        /// with Retry-After. 0: not at all.
        s3_retry_ms: u64 = 10_000, in 0..=600_000, as s3_retry in milliseconds;
        /// How photos in a bucket are served. "stream": through this server, compared with their
        /// checksum before the first byte. "redirect": by a signed address of the bucket, which spares
        /// this server the bytes and gives up that check, the revocation of a sign-in within the
        /// address's time, and answers that name no other host: docs/operations.md.
        serve: ServeFrom = ServeFrom::Stream;
        /// How long a signed address is good for, in seconds.
        signed_url_seconds: u64 = 60, in 1..=604_800, as signed_url_time in seconds;
    }

    /// What is made of a photo after its upload: pictures to show, and signs of its quality.
    ["processing"] processing: Processing {
        /// Photos that this server decodes at once, each in a process of its own. One for each two
        /// processors leaves uploads and pages as quick as without; with one for each they wait for
        /// a processor at times. 0: none; `filmgate worker` does it.
        workers: usize = 1, in 0..=256;
        /// Memory of all decodes at once, in bytes. A photo that alone needs more is refused.
        decode_memory_bytes_max: u64 = 1_073_741_824, in 16_777_216..=1_125_899_906_842_624;
        /// Longest decode, in milliseconds, waiting for a processor included.
        decode_timeout_ms: u64 = 120_000, in 100..=3_600_000, as decode_timeout in milliseconds;
        /// How far decoding stands back for uploads: added to the niceness of its processes. At 19 it
        /// gets only what nobody else wants (SCHED_IDLE); where other programs keep the processors
        /// busy all day, choose less.
        niceness: u32 = 19, in 0..=19;
        /// Longest side of a thumbnail, in pixels.
        thumb_px: u32 = 320, in 16..=4_096;
        /// Longest side of a preview, in pixels.
        preview_px: u32 = 1_280, in 16..=16_384;
        /// Formats of thumbnails and previews: "jpeg", "webp" or both.
        formats: Vec<String> = vec!["jpeg".to_owned(), "webp".to_owned()], must rules::FORMATS;
        /// Quality of JPEG thumbnails and previews.
        jpeg_quality: u32 = 80, in 1..=100;
        /// Quality of WebP thumbnails and previews.
        webp_quality: u32 = 78, in 1..=100;
        /// What becomes of an original. "keep": it stays as it was received, to the byte, with the
        /// place, the time and the camera it may name. "strip": once it is processed, one without
        /// metadata takes its place, its pixels untouched.
        original: Original = Original::Keep;
        /// Bits, of 64, in which a frame's perceptual hash may differ from the one before it to
        /// count as nearly the same.
        near_duplicate_bits_max: u32 = 6, in 0..=64;
    }

    /// The tasks that do the work after an upload.
    ["jobs"] jobs: Jobs {
        /// Redis as a transport for tasks, as in `redis://:password@127.0.0.1:6379/0`.
        /// Empty: the catalog itself. Whatever Redis loses is still in the catalog.
        /// Several nodes also count guesses at passwords there, together: see [identity].
        redis_url: Secret = "", must rules::REDIS_URL;
        /// What Filmgate's keys in Redis begin with.
        redis_key_prefix: String = "filmgate", must rules::KEY_PREFIX;
        /// How long a worker holds a task without a sign of life, in milliseconds; then another
        /// takes it.
        lease_ms: u64 = 30_000, in 100..=3_600_000, as lease in milliseconds;
        /// Runs of a task before it is given up and kept as a dead letter.
        attempts_max: u32 = 8, in 1..=1_000;
        /// Wait after a first failure, in milliseconds; doubled after each further one.
        retry_delay_min_ms: u64 = 1_000, in 1..=86_400_000, as retry_delay_min in milliseconds;
        /// Longest wait between two runs, in milliseconds.
        retry_delay_max_ms: u64 = 300_000, in 1..=86_400_000, as retry_delay_max in milliseconds;
        /// How often to look for tasks that another process recorded, in milliseconds.
        poll_ms: u64 = 1_000, in 10..=60_000, as poll in milliseconds;
        /// How long tasks that are done are remembered, in days. Dead letters stay.
        keep_days: u64 = 30, in 1..=36_500, as keep in days;
    }

    /// Events as webhooks, signed as Standard Webhooks says: docs/events.md.
    ["webhook"] webhook: Webhook {
        /// Where they are posted, as in `https://app.example.org/filmgate`. Empty: nowhere.
        url: Secret = "", must rules::WEBHOOK_URL;
        /// The key of the signature, `whsec_` and base64; several, with a space between, while the
        /// receiver changes from one to the next.
        secret: Secret = "", must rules::WEBHOOK_SECRET;
        /// Which: "capture.stored", "capture.processed", "capture.failed", "capture.linked",
        /// "capture.deleted".
        events: Vec<String> = vec!["capture.processed".to_owned(), "capture.failed".to_owned(), "capture.deleted".to_owned()], must rules::EVENTS;
        /// Private networks that the receiver may be in, as in `["127.0.0.1", "10.0.0.0/8"]`; http://
        /// is for these alone. Empty: the public internet, by https://.
        allow_private_networks: Vec<IpNet> = vec![];
        /// Certificate authorities to trust instead of the public ones, a PEM file: for a receiver
        /// whose certificate the house made itself. Empty: the public ones.
        ca_file: PathBuf = "";
        /// Longest wait for its answer, in milliseconds.
        timeout_ms: u64 = 15_000, in 100..=300_000, as timeout in milliseconds;
        /// Tries before a delivery is given up and kept as a dead letter.
        attempts_max: u32 = 20, in 1..=1_000;
        /// Longest wait between two tries, in milliseconds.
        retry_delay_max_ms: u64 = 21_600_000, in 1..=86_400_000, as retry_delay_max in milliseconds;
    }

    /// Events as Celery tasks on the app's own broker: docs/events.md.
    ["celery"] celery: Celery {
        /// The app's broker, as in `redis://:password@127.0.0.1:6379/0`. Empty: none.
        broker_url: Secret = "", must rules::REDIS_URL;
        /// The queue its workers read.
        queue: String = "celery", must rules::KEY_PREFIX;
        /// The task they run.
        task_name: String = "filmgate.capture_event", must rules::TASK_NAME;
        /// Which: "capture.stored", "capture.processed", "capture.failed", "capture.linked",
        /// "capture.deleted".
        events: Vec<String> = vec!["capture.processed".to_owned(), "capture.failed".to_owned(), "capture.deleted".to_owned()], must rules::EVENTS;
    }

    /// Who is asking.
    ["identity"] identity: Identity {
        /// Whose users ask: docs/identity.md. "local": Filmgate's own. "flask": those of a Flask app, by
        /// its cookies. "forward": those of any app, by asking it. "jwt": those that an issuer of
        /// bearer tokens knows. With all but the first, Filmgate's own administrators may still sign in,
        /// and nobody else of its own.
        provider: Provider = Provider::Local;
        /// Numbers of users of the app's who may do everything here, as in [1, 7]. An app's database may
        /// say so of more: see [host].
        admin_user_ids: Vec<i64> = vec![];
        /// How long a sign-in lasts, in hours.
        sign_in_hours: u64 = 12, in 1..=87_600, as sign_in_lifetime in hours;
        /// Shortest password, in bytes.
        password_bytes_min: usize = 10, in 8..=1_024;
        /// Guesses at one user's password from one address, per minute; then 429. Counted by all nodes
        /// together in jobs.redis_url; without one, or while it is away, by each node for itself.
        sign_ins_per_minute_per_user: u32 = 10, in 1..=1_000_000;
        /// Guesses from one address at any user's password, per minute; then 429. Counted likewise.
        sign_ins_per_minute_per_address: u32 = 60, in 1..=1_000_000;
        /// Passwords checked at once. Each takes 19 MiB and some 20 ms of a processor.
        password_hashing_parallel: usize = 2, in 1..=256;
    }

    /// The cookies of a Flask app with Flask-Login, where identity.provider is "flask". All as the app's
    /// own configuration has it; what is left out there has the same default here.
    ["identity.flask"] flask: Flask {
        /// Its SECRET_KEY, then its SECRET_KEY_FALLBACKS, if it has any. Bytes that are no text, or a key
        /// with a comma in an environment variable: "base64:" and their base64. In a file of its own:
        /// one a line.
        secret_keys: Vec<Secret> = vec![], must rules::FLASK_KEYS;
        /// Its SESSION_COOKIE_NAME.
        cookie_name: String = "session", must rules::COOKIE_NAME;
        /// The salt of its session interface. Flask's own is this one.
        salt: String = "cookie-session", must rules::SALT;
        /// Its PERMANENT_SESSION_LIFETIME, in seconds. Flask holds every session to it, permanent or not.
        max_age_seconds: u64 = 2_678_400, in 1..=3_153_600_000, as max_age in seconds;
        /// Its REMEMBER_COOKIE_NAME. Empty: these cookies are not read, and who comes by one alone is
        /// nobody until the app has made a session of it.
        remember_cookie_name: String = "remember_token", must rules::COOKIE_NAME_OR_NONE;
        /// Its SESSION_PROTECTION: "basic", "strong" or "none". "strong" needs server.trusted_proxies, so
        /// that Filmgate sees the address that the app sees.
        session_protection: SessionProtection = SessionProtection::Basic;
    }

    /// Asking the app who is signed in, where identity.provider is "forward". It gets the request's
    /// cookies and authorization by GET, never its body.
    ["identity.forward"] forward: Forward {
        /// The app's address that says so, as in `http://127.0.0.1:8000/whoami`.
        url: Secret = "", must rules::APP_URL;
        /// Longest wait for its answer, in milliseconds; then 503 with Retry-After.
        timeout_ms: u64 = 2_000, in 10..=60_000, as timeout in milliseconds;
        /// How long an answer counts for the same cookies, authorization, address and browser, in
        /// milliseconds: who signs out of the app, or is switched off there, is out here by then. That
        /// somebody is nobody counts a second at most. 0: asked each time.
        cache_ms: u64 = 5_000, in 0..=3_600_000, as cache in milliseconds;
        /// Headers of its answer that may hold the user's number; the first that is there counts.
        user_headers: Vec<String> = vec!["X-Auth-Request-User".to_owned(), "Remote-User".to_owned()], must rules::HEADERS;
        /// The member of a JSON answer that holds it where no header does: a name, or a JSON pointer as
        /// "/user/id". Empty: JSON is not read.
        user_member: String = "user_id";
        /// The member with the user's name.
        username_member: String = "username";
        /// The header of the answer that makes an administrator, where it is admin_value. Empty: none.
        admin_header: String = "", must rules::HEADER_OR_NONE;
        /// The member of a JSON answer that does, where it is admin_value or a list with it. Empty: none.
        admin_member: String = "";
        /// See there; true in JSON is "true".
        admin_value: String = "true";
        /// The cookies that the app gets, as in `["sessionid"]`. Empty: all but Filmgate's own; then each
        /// change of any of them asks again.
        cookie_names: Vec<String> = vec![], must rules::COOKIE_NAMES;
    }

    /// Bearer tokens, where identity.provider is "jwt": RS256, ES256, EdDSA, or HS256 with a secret.
    ["identity.jwt"] jwt: Jwt {
        /// Where the issuer's keys are, as in `https://id.example.org/.well-known/jwks.json`.
        jwks_url: Secret = "", must rules::APP_URL;
        /// Or a file with them, read again when a token names a key that is not in it.
        jwks_file: PathBuf = "";
        /// Or the secret of HS256, of 32 bytes or more.
        secret: Secret = "", must rules::JWT_SECRET;
        /// Who issues the tokens: exactly their "iss".
        issuer: String = "";
        /// For whom: one of these is in their "aud".
        audiences: Vec<String> = vec![];
        /// The claim with the user's number: a name, or a JSON pointer as "/user/id".
        user_claim: String = "sub", must rules::CLAIM;
        /// The claim with the user's name.
        username_claim: String = "preferred_username";
        /// The claim that makes an administrator, where it is admin_value or a list with it, as
        /// "/realm_access/roles". Empty: none.
        admin_claim: String = "";
        /// See there; true in JSON is "true".
        admin_value: String = "admin";
        /// By how much two clocks may differ, in seconds.
        leeway_seconds: u64 = 30, in 0..=600, as leeway in seconds;
        /// How old keys may be before they are fetched again, in seconds: a key that the issuer took out
        /// counts no longer than that.
        refresh_seconds: u64 = 900, in 1..=604_800, as refresh in seconds;
        /// How old they may be while they cannot be fetched, in seconds; then 503 with Retry-After.
        keep_seconds: u64 = 86_400, in 1..=2_592_000, as keep in seconds;
        /// Shortest time between two fetches for keys that nobody has heard of, in milliseconds.
        refetch_ms: u64 = 10_000, in 100..=3_600_000, as refetch in milliseconds;
        /// Longest wait for the keys, in milliseconds.
        timeout_ms: u64 = 5_000, in 10..=60_000, as timeout in milliseconds;
    }

    /// The application around Filmgate, where there is one.
    ["host"] host: Host {
        /// Its database, where users, sessions and camera settings are read: `postgresql://`, `mysql://`,
        /// `mariadb://` or `sqlite:///`, as the app's own SQLALCHEMY_DATABASE_URI. Sessions are then the
        /// app's alone: docs/host.md. Empty: there is none, and sessions are registered with Filmgate.
        database_url: Secret = "", must rules::HOST_URL;
        /// Longest wait for its answer, in milliseconds, connecting included.
        timeout_ms: u64 = 2_000, in 10..=60_000, as timeout in milliseconds;
        /// Connections to it at once, of this server.
        connections_max: u32 = 4, in 1..=100;
        /// How long an answer counts, in milliseconds: who is switched off in the app, or loses a session,
        /// is out here by then. 0: asked each time.
        cache_ms: u64 = 5_000, in 0..=3_600_000, as cache in milliseconds;
        /// How long users and sessions that the database told of go on being believed while it is away, in
        /// seconds. All others get a 503 with Retry-After. 0: nobody is believed.
        verified_for_seconds: u64 = 3_600, in 0..=2_592_000, as verified_for in seconds;
        /// Write captures, their links and their deletion into the app's table of captures.
        write_captures: bool = false;
        /// The app's users: the table, with its schema before a dot where that must be said.
        users_table: String = "users", must rules::SQL_TABLE;
        /// Their number.
        user_id_column: String = "id", must rules::SQL_NAME;
        /// Their name; need not be there.
        username_column: String = "username", must rules::SQL_NAME_OR_NONE;
        /// What says that somebody may still come in. Empty: everybody may.
        user_active_column: String = "", must rules::SQL_NAME_OR_NONE;
        /// The values of it that mean yes.
        user_active_values: Vec<String> = yes();
        /// What makes an administrator. Empty: nothing does; see identity.admin_user_ids.
        user_admin_column: String = "", must rules::SQL_NAME_OR_NONE;
        /// The values of it that mean yes, as in `["admin", "staff"]`.
        user_admin_values: Vec<String> = yes();
        /// Instead of table and columns: a SELECT of `id` and, as far as there are, `username`, `is_active`
        /// and `is_admin`, of the user `:id`.
        user_query: String = "";
        /// The app's assessment sessions.
        sessions_table: String = "assessment_sessions", must rules::SQL_TABLE;
        /// Their key.
        session_id_column: String = "id", must rules::SQL_NAME;
        /// The number of the user whose a session is.
        session_user_column: String = "user_id", must rules::SQL_NAME;
        /// The key of its camera settings. Empty: sessions have none.
        session_settings_column: String = "camera_settings_id", must rules::SQL_NAME_OR_NONE;
        /// Instead: a SELECT of `id`, `user_id` and `camera_settings_id`, of the session `:id` (a text).
        session_query: String = "";
        /// The app's camera settings.
        settings_table: String = "camera_settings", must rules::SQL_TABLE;
        /// Their columns that are called otherwise, as in `["setting_name=title", "is_default="]`: after the
        /// sign the app's name, nothing where the app has none.
        settings_columns: Vec<String> = vec![], must rules::SETTINGS_COLUMNS;
        /// Instead: a SELECT of the columns of camera settings, of those of the key `:id` (a text).
        settings_query: String = "";
        /// The app's captures. Empty: it has no such table.
        captures_table: String = "camera_captures", must rules::SQL_TABLE_OR_NONE;
        /// Their columns that are called otherwise, likewise.
        captures_columns: Vec<String> = vec![], must rules::CAPTURES_COLUMNS;
        /// The folder that the app keeps its old photos in, for `filmgate import`. It is only read.
        uploads_dir: PathBuf = "";
    }

    /// What the server tells about itself, on standard error.
    ["log"] log: Log {
        /// "text" for people, "json" for collectors.
        format: LogFormat = LogFormat::Text;
        /// "error", "warn", "info", "debug" or "trace"; or by module, as in "info,filmgate=debug".
        level: String = "info", must rules::LOG_LEVEL;
    }

    /// The HTTP interface.
    ["api"] api: Api {
        /// Most items on one page of a list.
        page_size_max: usize = 200, in 1..=10_000;
        /// Serve the browsable documentation of the interface.
        docs: bool = true;
    }
}
