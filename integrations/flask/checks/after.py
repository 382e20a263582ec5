"""The camera routes at Filmgate, by one block in nginx."""

import hashlib

from .before import Participant, held_times
from .browser import Browser
from .photos import photo
from .report import Checks
from .stack import PASSWORD, Stack

FILE = "/assessment/camera/file/"


def after(checks: Checks, stack: Stack, alice: Participant) -> None:
    checks.part("After: one block more, and the cookie of before")
    browser, session = alice.browser, alice.session
    photos = [photo(seed) for seed in (2, 3, 4)]
    answer = browser.upload_single(session, photos[0])
    checks.equal("a frame is taken", answer.status, 200)
    alice.filmgate_photos[answer.json()["data"]["filename"]] = photos[0]
    answer = browser.upload_batch(session, photos[1:])
    checks.equal("a form of two photos is taken", answer.status, 200)
    captures = answer.json()["captures"]
    digests = [hashlib.sha256(data).hexdigest() for data in photos[1:]]
    checks.equal("it was Filmgate: the answer has checksums", [c.get("sha256") for c in captures], digests)
    alice.filmgate_photos.update({c["filename"]: data for c, data in zip(captures, photos[1:], strict=True)})
    checks.equal("three names for three photos of one second", len(alice.filmgate_photos), 3)

    names = sorted([*alice.app_photos, *alice.filmgate_photos])
    checks.soon("the app's own page lists all four", lambda: sorted(browser.listed(session)), names)
    for name, data in alice.filmgate_photos.items():
        checks.equal(f"{name} is shown to its owner", browser.get(FILE + name).body, data)


def who_may(checks: Checks, stack: Stack, alice: Participant) -> None:
    checks.part("Who may, by the app's cookies alone")
    name = next(iter(alice.filmgate_photos))
    data = photo(5)

    other = Browser(stack.nginx_port)
    other.sign_in("participant2", PASSWORD)
    checks.equal("another participant does not see the photo", other.get(FILE + name).status, 404)
    checks.equal("nor may they add one", other.upload_single(alice.session, data).status, 403)

    admin = Browser(stack.nginx_port)
    admin.sign_in("admin", PASSWORD)
    checks.equal("the app's administrator sees it", admin.get(FILE + name).body, alice.filmgate_photos[name])

    nobody = Browser(stack.nginx_port)
    checks.equal("nobody signed in: 401", nobody.get(FILE + name).status, 401)
    checks.equal("and no upload", nobody.upload_single(alice.session, data).status, 401)

    cookie = alice.browser.cookies["session"]
    forged = Browser(stack.nginx_port, {"session": cookie[:-4] + ("AAAA" if cookie[-4:] != "AAAA" else "BBBB")})
    checks.equal("a forged cookie is nobody", forged.upload_single(alice.session, data).status, 401)

    remembered = Browser(stack.nginx_port, {"remember_token": alice.browser.cookies["remember_token"]})
    checks.equal("remember_token alone is enough", remembered.get(FILE + name).body, alice.filmgate_photos[name])

    closed = Browser(stack.nginx_port)
    checks.equal("an inactive user cannot sign in", closed.post("/login", username="inactive", password=PASSWORD).status, 403)


def keeps_its_links(checks: Checks, stack: Stack) -> None:
    checks.part("Links of the page, links of the app, and cleaning up")
    browser = Browser(stack.nginx_port)
    browser.sign_in("participant", PASSWORD)
    session = browser.start_session()

    def upload(seed: int) -> dict:
        return browser.upload_single(session, photo(seed)).json()["data"]

    by_page = upload(6)
    answer = browser.post_json(
        f"/assessment/camera/link/{session}",
        {"capture_ids": [by_page["capture_id"]], "assessment_record_id": "phq-1", "assessment_type": "phq"},
    )
    checks.equal("the page links a photo to its questionnaire", answer.json()["data"]["captures_updated"], 1)
    checks.soon("the app's table has the link", lambda: browser.listed(session), {by_page["filename"]: "phq-1"})

    browser.get(f"/assessment/{session}/conversation")
    by_app = upload(7)
    checks.soon("a photo of the conversation", lambda: len(browser.listed(session)), 2)
    browser.post(f"/assessment/{session}/finish")
    linked = browser.listed(session)
    checks.check("the app links it in its own table", linked[by_app["filename"]] not in ("", "phq-1"), linked)

    loose = upload(8)
    checks.soon("and one that belongs to nothing", lambda: len(browser.listed(session)), 3)
    answer = browser.post_json(f"/assessment/camera/cleanup/{session}", {})
    checks.equal("cleaning up takes that one alone", answer.json().get("data", {}).get("captures_cleaned"), 1)
    checks.soon("the app's page lists the other two", lambda: browser.listed(session), linked)
    checks.equal("the photo that the app linked is there", browser.get(FILE + by_app["filename"]).status, 200)
    checks.equal("the cleaned one is gone", browser.get(FILE + loose["filename"]).status, 404)


def held_after(checks: Checks, stack: Stack) -> None:
    checks.part("After: 96 uploads held at 1 KB/s")
    held_times(checks, stack, 96, may_answer=True)
