"""The app alone: what it does, and what 96 slow uploads do to it."""

from dataclasses import dataclass

from .browser import Browser
from .held import Held, Participants, page_times
from .photos import photo
from .report import Checks
from .stack import PASSWORD, Stack

HELD_SECONDS = 6
PAGE_TIMEOUT_SECONDS = 2


@dataclass
class Participant:
    """Somebody signed in, and their assessment session, through all of the checks."""

    browser: Browser
    session: str
    # What was uploaded by which name, while it may still be shown.
    app_photos: dict[str, bytes]
    filmgate_photos: dict[str, bytes]


def before(checks: Checks, stack: Stack) -> Participant:
    checks.part("Before: the app alone")
    browser = Browser(stack.nginx_port)
    browser.sign_in("participant", PASSWORD, remember=True)
    checks.equal("signed in through the app's page", sorted(browser.cookies), ["remember_token", "session"])
    session = browser.start_session()
    first = photo(1)
    answer = browser.upload_single(session, first)
    checks.equal("a frame is taken", answer.status, 200)
    name = answer.json()["data"]["filename"]
    checks.check("the app named it by session and second", name.startswith(session), name)
    checks.equal("the app's page lists it", list(browser.listed(session)), [name])
    checks.equal("it is shown to its owner", browser.get(f"/assessment/camera/file/{name}").body, first)
    return Participant(browser, session, {name: first}, {})


def held_before(checks: Checks, stack: Stack) -> None:
    checks.part("Before: 96 uploads held at 1 KB/s")
    held_times(checks, stack, 96, may_answer=False)


def held_times(checks: Checks, stack: Stack, count: int, may_answer: bool) -> None:
    participants = Participants.sign_in(stack, 2)
    held = Held(stack.nginx_port, participants, count, 1024, 200_000)
    times = page_times(stack.nginx_port, participants, HELD_SECONDS, PAGE_TIMEOUT_SECONDS)
    ended = held.end("finish")
    unanswered = times.count(None)
    said = f"{unanswered} of {len(times)} requests of the questionnaire page unanswered"
    if may_answer:
        checks.equal(said, unanswered, 0)
    else:
        # The kernel hands connections to the six processes unevenly, so one of them may have a thread left.
        checks.check(f"{said}: its p95 never comes", unanswered * 20 > len(times))
    checks.equal("the held uploads end well once they hurry", ended, {"answered_while_held": 0, "ended": {"200": count}})
