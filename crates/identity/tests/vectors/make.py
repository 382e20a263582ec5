"""Cookies made by the real Flask and Flask-Login, and what they themselves say of them.

    python make.py > flask-3.1.json        in an environment with Flask and Flask-Login; the clock is held still

Each case is a request, the settings of an app, and the user that this app, which runs here, finds in it: `user` is the
library's own verdict and nobody's expectation. Our reader has to say the same.
"""

import base64
import datetime
import json
import logging
import time
import uuid
from importlib.metadata import version

import flask
import flask_login
import itsdangerous
from flask.sessions import SecureCookieSessionInterface
from markupsafe import Markup
from werkzeug.test import create_environ
from werkzeug.wrappers import Response

NOW = 1_800_000_000
time.time = lambda: CLOCK[0]
CLOCK = [NOW]

KEY, OLD, OTHER = "the key of the app, in force", "the key before it", "a key of somebody else's"
LATIN, WIDE, BYTES = "clé secrète à garder", "ключ приложения", bytes([0, 255, 254, 128, 44, 10]) * 4
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
MONTH = 31 * 24 * 60 * 60


class User(flask_login.UserMixin):
    def __init__(self, id):
        self.id = id


class AsItIs(User):
    """get_id() of some apps hands the number itself over."""

    def get_id(self):
        return self.id


class Rotating(SecureCookieSessionInterface):
    """SECRET_KEY_FALLBACKS came with Flask 3.1; until then this is how apps rotate."""

    def get_signing_serializer(self, app):
        serializer = super().get_signing_serializer(app)
        keys = [*reversed(app.config["FALLBACKS"]), app.secret_key]
        serializer.secret_keys = [key.encode() if isinstance(key, str) else key for key in keys]
        return serializer


def make_app(keys=(KEY,), salt="cookie-session", cookie_name="session", protection="basic", remember="remember_token",
             max_age=MONTH):
    app = flask.Flask("assessment")
    app.logger.setLevel(logging.CRITICAL + 1)
    app.config.update(SECRET_KEY=keys[0], SESSION_COOKIE_NAME=cookie_name, REMEMBER_COOKIE_NAME=remember or "unused",
                      PERMANENT_SESSION_LIFETIME=datetime.timedelta(seconds=max_age))
    if len(keys) > 1:
        if tuple(map(int, version("flask").split(".")[:2])) >= (3, 1):
            app.config["SECRET_KEY_FALLBACKS"] = list(keys[1:])
        else:
            app.config["FALLBACKS"] = keys[1:]
            app.session_interface = Rotating()
    app.session_interface.salt = salt
    manager = flask_login.LoginManager(app)
    manager.session_protection = None if protection == "none" else protection
    manager.user_loader(User)

    @app.route("/login", methods=["POST"])
    def login():
        asked = CALL[0]
        flask.session.permanent = asked.get("permanent", False)
        flask.session.update(asked.get("more", {}))
        if asked.get("user", "42") is not None:
            kind = AsItIs if asked.get("as_it_is") else User
            flask_login.login_user(kind(asked.get("user", "42")), remember=asked.get("remember", False))
        return ""

    @app.route("/logout", methods=["POST"])
    def logout():
        flask_login.logout_user()
        flask.session["kept"] = 1
        return ""

    @app.route("/who")
    def who():
        current = flask_login.current_user
        return flask.jsonify(str(current.get_id()) if current.is_authenticated else None)

    return app


CALL = [{}]


def call(app, method, path, cookies="", agent=AGENT, forwarded="203.0.113.5", peer="127.0.0.1"):
    environ = create_environ(path, "http://localhost", method=method)
    environ["REMOTE_ADDR"] = peer
    # The builder of requests gives a name of its own to a browser without one.
    environ.pop("HTTP_USER_AGENT", None)
    for name, value in (("USER_AGENT", agent), ("X_FORWARDED_FOR", forwarded), ("COOKIE", cookies or None)):
        if value is not None:
            environ[f"HTTP_{name}"] = value
    return Response.from_app(app, environ)


def jar(answer):
    """Name to value, as a browser sends them back."""
    assert answer.status_code == 200, answer.status
    return dict(line.split(";")[0].split("=", 1) for line in answer.headers.getlist("Set-Cookie"))


def login(app, **asked):
    client = {name: asked.pop(name) for name in ("agent", "forwarded", "peer") if name in asked}
    CALL[0] = asked
    return jar(call(app, "POST", "/login", **client))


def header(cookies):
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


CASES = []


def case(name, cookies, at=NOW, agent=AGENT, forwarded="203.0.113.5", peer="127.0.0.1", **settings):
    """What the app of these settings says of this request."""
    cookies = cookies if isinstance(cookies, str) else header(cookies)
    CLOCK[0] = at
    answer = call(make_app(**settings), "GET", "/who", cookies, agent, forwarded, peer)
    # What is signed and no JSON is an error in Flask itself: nobody either.
    user = json.loads(answer.get_data()) if answer.status_code == 200 else None
    CLOCK[0] = NOW

    def text(key):
        return key if isinstance(key, str) else "base64:" + base64.b64encode(key).decode()

    CASES.append({
        "name": name,
        "settings": {
            "secret_keys": [text(key) for key in settings.get("keys", (KEY,))],
            "salt": settings.get("salt", "cookie-session"),
            "cookie_name": settings.get("cookie_name", "session"),
            "max_age_seconds": settings.get("max_age", MONTH),
            "remember_cookie_name": settings.get("remember", "remember_token"),
            "session_protection": settings.get("protection", "basic"),
        },
        "request": {"cookie": cookies, "user_agent": agent, "x_forwarded_for": forwarded, "peer": peer},
        "at": at,
        "user": user,
    })


def swapped(text, at):
    """Another letter of the same alphabet at this place."""
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1:]


def sessions():
    app = make_app()
    plain = login(app)
    case("a session", plain)
    case("a session among other cookies", f"theme=dark; {header(plain)}; _ga=GA1.1.1; filmgate=1")
    case("the first of two", f"session={plain['session']}; session={login(app, user='43')['session']}")
    case("a session in quotes", f'session="{plain["session"]}"')
    case("nothing", "")
    case("an empty cookie", "session=")
    case("another user", login(app, user="9007199254740993"))
    case("a permanent session", login(app, permanent=True))
    case("a number as it is", login(app, user=42, as_it_is=True))
    big = login(app, more={"answers": {f"phq{n}": "several days" for n in range(60)}})
    assert big["session"].startswith("."), "a compressed one"
    case("a compressed session", big)
    case("what JSON cannot say", login(app, more={
        "when": datetime.datetime(2026, 11, 29, tzinfo=datetime.timezone.utc), "id": uuid.UUID(int=5),
        "bytes": b"\0\xff", "markup": Markup("<b>"), "tuple": (1, (2,)), "one": {" t": 1}, "nested": {"_user_id": "7"},
        "text": "\u00e9\u4e2d\U0001f642\ud800\u2028\"\\", "number": 1e300, "large": 2**80, "none": None,
    }))
    case("signed out", jar(call(app, "POST", "/logout", header(plain))))
    case("never signed in", login(app, user=None, more={"csrf_token": "5"}))
    for name in ("anna", "7b1c1d4e-2f7a-4a51-9c0e-0d6b1c2a3f44", "-5", "4 2", ""):
        case(f"no number: {name!r}", login(app, user=name))
    case("the oldest that counts", plain, at=NOW + MONTH)
    case("a second too old", plain, at=NOW + MONTH + 1)
    case("from the future", plain, at=NOW - 60)
    case("a short life", plain, at=NOW + 61, max_age=60)
    case("another name", login(make_app(cookie_name="assessment"), user="44"), cookie_name="assessment")
    case("of another name", login(make_app(cookie_name="assessment")))
    case("another salt", login(make_app(salt="salt of this app")), salt="salt of this app")
    case("of a foreign salt", login(make_app(salt="salt of this app")))
    case("the salt of a remembered flash", login(make_app(salt="flask-login")))


def keys():
    for name, key in (("a key in Latin-1", LATIN), ("a key of bytes", BYTES), ("a key of one byte", "k")):
        both = login(make_app(keys=(key,)), remember=True)
        case(name, both, keys=(key,))
        case(f"{name}: remembered", {"remember_token": both["remember_token"]}, keys=(key,))
    case("a key in Cyrillic", login(make_app(keys=(WIDE,))), keys=(WIDE,))
    old = login(make_app(keys=(OLD,)), remember=True)
    case("made before the key was changed", {"session": old["session"]}, keys=(KEY, OLD))
    case("made two changes ago", {"session": old["session"]}, keys=(KEY, OTHER, OLD))
    case("made after the key was changed", {"session": login(make_app(keys=(KEY, OLD)))["session"]}, keys=(KEY, OLD))
    case("its key was rotated out", {"session": old["session"]})
    case("a token made before the key was changed", {"remember_token": old["remember_token"]}, keys=(KEY, OLD))
    case("its token's key was rotated out", {"remember_token": old["remember_token"]})
    case("of another app", login(make_app(keys=(OTHER,)), remember=True))


def tampered():
    value = login(make_app())["session"]
    payload, at, signature = value.rsplit(".", 2)
    later = itsdangerous.encoding.base64_encode(itsdangerous.encoding.int_to_bytes(NOW + 5)).decode()
    other = login(make_app(), user="1")["session"].split(".")[0]
    for name, text in (
        ("a letter of the payload", swapped(value, 5)),
        ("a letter of the time", f"{payload}.{swapped(at, 2)}.{signature}"),
        ("another time", f"{payload}.{later}.{signature}"),
        ("a letter of the signature", f"{payload}.{at}.{swapped(signature, 4)}"),
        ("somebody else's payload", f"{other}.{at}.{signature}"),
        ("without a signature", f"{payload}.{at}"),
        ("with an empty signature", f"{payload}.{at}."),
        ("without a time", f"{payload}.{signature}"),
        ("without its last letter", value[:-1]),
        ("half of it", value[: len(value) // 2]),
        ("a dot before it", f".{value}"),
        ("a dot after it", f"{value}."),
        ("dots alone", "..."),
        ("no base64", "{}.{}.{}"),
        ("a signature too long", f"{value}{signature}"),
        ("lower case", value.lower()),
        ("in percent signs", value.replace("_", "%5F").replace("-", "%2D").replace(".", "%2E")),
    ):
        case(f"tampered: {name}", f"session={text}")
    raw = itsdangerous.TimestampSigner(KEY, salt="cookie-session", key_derivation="hmac")
    for name, content in (("no JSON", b"e30x"), ("no zlib", b".e30"), ("no base64", b"~~~~")):
        case(f"signed, and no session: {name}", f"session={raw.sign(content).decode()}")


def remembered():
    app = make_app()
    both = login(app, remember=True)
    token = {"remember_token": both["remember_token"]}
    case("remembered", token)
    case("remembered years later", token, at=NOW + 10 * 365 * 86400)
    case("remembered, the session too old", both, at=NOW + MONTH + 1)
    case("remembered, the session tampered with", {**token, "session": swapped(both["session"], 3)})
    case("the session before the token", {**token, "session": login(app, user="77")["session"]})
    case("remembered beside an anonymous session", {**token, **login(app, user=None, more={"csrf_token": "5"})})
    case("a token in quotes", f'remember_token="{token["remember_token"]}"')
    case("a token of another name", {"stay": token["remember_token"]}, remember="stay")
    case("a token under the wrong name", token, remember="stay")
    text = token["remember_token"]
    for name, value in (
        ("another user", "43" + text[2:]), ("a letter", swapped(text, 20)), ("its last letter", text[:-1]),
        ("no signature", "42|"), ("no bar", text.replace("|", "")), ("a bar more", "42|" + text), ("nothing", ""),
    ):
        case(f"a token tampered with: {name}", {"remember_token": value})
    for name in ("anna", "4|2"):
        case(f"a token of no number: {name!r}", {"remember_token": login(app, user=name, remember=True)["remember_token"]})
    # Flask-Login takes the mark away with the answer that clears the cookie: a session that still has it is one whose
    # answer was lost.
    cleared = login(app, user=None, more={"_remember": "clear", "kept": 1})
    serializer = app.session_interface.get_signing_serializer(app)
    case("signed out, the token not yet gone", {**token, "session": serializer.dumps({"_remember": "clear"})})
    case("about to be remembered", {**token, "session": serializer.dumps({"_remember": "set"})})
    case("signed out and the mark is gone", {**token, **cleared})


def protected():
    agents = [AGENT, None, "", "it's", 'say "hi"', "it's \"both\" \\ \t", "caf\xe9 \xff\x80", "\x7f\x1f", "a" * 3000]
    for protection in ("basic", "strong", "none"):
        app = make_app(protection=protection)
        for agent in agents:
            name = f"{protection}: the browser {None if agent is None else agent[:20]!r}"
            case(name, login(app, agent=agent), agent=agent, protection=protection)
        here = login(app, remember=True)
        session = {"session": here["session"]}
        case(f"{protection}: another browser", session, agent="curl/8", protection=protection)
        case(f"{protection}: no browser", session, agent=None, protection=protection)
        case(f"{protection}: another address", session, forwarded="198.51.100.9", protection=protection)
        case(f"{protection}: through one proxy more", session, forwarded="203.0.113.5, 10.0.0.1", protection=protection)
        case(f"{protection}: spaces around the address", session, forwarded="  203.0.113.5 ,10.0.0.1", protection=protection)
        case(f"{protection}: not through the proxy", session, forwarded=None, protection=protection)
        case(f"{protection}: another peer behind the proxy", session, peer="127.0.0.9", protection=protection)
        direct = login(app, forwarded=None, peer="2001:db8::5")
        case(f"{protection}: without a proxy", direct, forwarded=None, peer="2001:db8::5", protection=protection)
        case(f"{protection}: without a proxy, elsewhere", direct, forwarded=None, peer="2001:db8::6", protection=protection)
        case(f"{protection}: remembered in another browser", here, agent="curl/8", protection=protection)
        case(f"{protection}: the token alone in another browser", {"remember_token": here["remember_token"]},
             agent="curl/8", protection=protection)
        anonymous = login(app, user=None, more={"csrf_token": "5"})
        case(f"{protection}: remembered beside an anonymous session",
             {"remember_token": here["remember_token"], **anonymous}, protection=protection)
        case(f"{protection}: a permanent session in another browser", login(app, permanent=True), agent="curl/8",
             protection=protection)


for part in (sessions, keys, tampered, remembered, protected):
    part()
versions = {name: version(name) for name in ("flask", "flask-login", "werkzeug", "itsdangerous")}
lines = ",\n".join(json.dumps(case, ensure_ascii=True) for case in CASES)
print(f'{{"versions": {json.dumps(versions)}, "cases": [\n{lines}\n]}}')
