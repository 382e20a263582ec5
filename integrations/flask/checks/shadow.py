"""Shadow mode: the app serves, Filmgate gets a copy and writes nothing into the app's tables."""

import json
from datetime import UTC, datetime

from .browser import Browser
from .photos import photo
from .report import Checks
from .stack import PASSWORD, Stack

UPLOADS = 5
WRITE_NOTHING = {"FILMGATE__HOST__WRITE_CAPTURES": "false"}


def shadow(checks: Checks, stack: Stack) -> None:
    checks.part("Shadow mode")
    stack.stop("filmgate")
    stack.start_filmgate(**WRITE_NOTHING)
    stack.switch("shadow")
    began = datetime.now(UTC)
    browser = Browser(stack.nginx_port)
    browser.sign_in("participant", PASSWORD)
    session = browser.start_session()
    for seed in range(20, 20 + UPLOADS):
        answer = browser.upload_single(session, photo(seed))
        checks.check("the app answers", answer.status == 200 and session in answer.text(), answer.text())
    answer = browser.upload_batch(session, [photo(30)])
    checks.check("forms of many photos too", answer.status == 200 and session in answer.text(), answer.text())

    # The same browser, past nginx.
    at_filmgate = Browser(stack.filmgate_port, dict(browser.cookies))

    def copies() -> int:
        return at_filmgate.get(f"/assessment/camera/session/{session}").json().get("total_captures", -1)

    checks.soon("Filmgate has a copy of each", copies, UPLOADS + 1)
    rows = browser.get(f"/assessment/camera/session/{session}").json()["captures"]
    checks.equal("the app's table has each once, by the app's name", [row["filename"][:36] for row in rows], [session] * 6)

    checks.equal("shadow report finds both alike", report(stack, began), (0, UPLOADS + 1, UPLOADS + 1, []))

    stack.stop("filmgate")
    answer = browser.upload_single(session, photo(31))
    checks.check("a Filmgate that is away does not hurt the app", answer.status == 200, answer.status)
    status, in_app, in_filmgate, missing = report(stack, began)
    checks.equal("shadow report then names the photo that is missing", (status, in_app - in_filmgate, len(missing)), (1, 1, 1))


def report(stack: Stack, began: datetime) -> tuple[int, int, int, list[str]]:
    """Its exit status, the captures of both sides, and which Filmgate has not."""
    period = ["--from", began.isoformat(), "--until", datetime.now(UTC).isoformat()]
    ran = stack.filmgate("shadow", "report", *period, "--json", **WRITE_NOTHING)
    found = json.loads(ran.stdout or "{}")
    return ran.returncode, found["app"], found["filmgate"], found["missing_in_filmgate"]
