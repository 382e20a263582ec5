"""Shadow mode: the app serves, Filmgate gets a copy and writes nothing into the app's tables."""

from .browser import Browser
from .photos import photo
from .report import Checks
from .stack import PASSWORD, Stack

UPLOADS = 5


def shadow(checks: Checks, stack: Stack) -> None:
    checks.part("Shadow mode")
    stack.stop("filmgate")
    stack.start_filmgate(FILMGATE__HOST__WRITE_CAPTURES="false")
    stack.switch("shadow")
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

    stack.stop("filmgate")
    answer = browser.upload_single(session, photo(31))
    checks.check("a Filmgate that is away does not hurt the app", answer.status == 200, answer.status)
