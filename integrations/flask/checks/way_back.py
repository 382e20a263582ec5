"""Back to the app: by itself while Filmgate is away, and by hand for good."""

import json
import signal

from .after import FILE
from .before import Participant
from .photos import photo
from .report import Checks
from .stack import HERE, Stack, children, wait_until


def back_by_itself(checks: Checks, stack: Stack, alice: Participant) -> None:
    checks.part("Filmgate killed, camera-switch watching")
    watch = [HERE / "camera-switch", "watch"]
    stack.start("camera-switch", watch, **stack.switch_environment(), EVERY_SECONDS="0.3")
    workers = children(stack.pid("nginx"))
    stack.stop("filmgate", signal.SIGKILL)
    answer = alice.browser.upload_single(alice.session, photo(9))
    checks.equal("an upload meanwhile: an error that says so, and no half of it at the app", answer.status, 502)
    wait_until("camera-switch gives the routes back", lambda: stack.site() == "back")
    stack.wait_for_site(workers)
    upload_to_app(checks, alice, "uploads go to the app", 10)

    workers = children(stack.pid("nginx"))
    stack.start_filmgate()
    wait_until("camera-switch gives the routes to Filmgate", lambda: stack.site() == "after")
    stack.wait_for_site(workers)
    upload_to_filmgate(checks, alice, "and to Filmgate again, once it is ready", 11)
    stack.stop("camera-switch")


def back_by_hand(checks: Checks, stack: Stack, alice: Participant) -> None:
    checks.part("Back again, by reload")
    stack.switch("back")
    upload_to_app(checks, alice, "uploads go to the app", 12)
    for name, data in alice.filmgate_photos.items():
        checks.equal(f"{name}, which Filmgate took, is still shown", alice.browser.get(FILE + name).body, data)
    names = sorted([*alice.app_photos, *alice.filmgate_photos])
    checks.soon("the app's page lists all, each once", lambda: sorted(alice.browser.listed(alice.session)), names)


def taken_over(checks: Checks, stack: Stack, alice: Participant) -> None:
    checks.part("The app's photos taken over")
    told = json.loads(stack.filmgate("import", "--uploads", str(stack.uploads), "--json").stdout or "{}")
    lost = {row["filename"] for row in told["overwritten"]}
    checks.check("the slow uploads of one second took one file, and each that is lost is named", len(lost) > 0, told)
    checks.equal("no row is without its file", told["rows_without_file"], [])
    stack.switch("after")
    for name, data in alice.app_photos.items():
        checks.equal(f"{name}, which the app took, is shown by Filmgate", alice.browser.get(FILE + name).body, data)
    again = json.loads(stack.filmgate("import", "--uploads", str(stack.uploads), "--json").stdout or "{}")
    checks.equal("a second import finds nothing new", again["imported"], 0)


def upload_to_app(checks: Checks, alice: Participant, what: str, seed: int) -> None:
    data = photo(seed)
    answer = alice.browser.upload_single(alice.session, data)
    name = answer.json()["data"]["filename"] if answer.status == 200 else f"status {answer.status}"
    checks.check(what, name.startswith(alice.session), name)
    alice.app_photos[name] = data
    checks.equal("and it shows them", alice.browser.get(FILE + name).body, data)


def upload_to_filmgate(checks: Checks, alice: Participant, what: str, seed: int) -> None:
    data = photo(seed)
    answer = alice.browser.upload_single(alice.session, data)
    name = answer.json()["data"]["filename"] if answer.status == 200 else f"status {answer.status}"
    checks.check(what, answer.status == 200 and not name.startswith(alice.session), name)
    alice.filmgate_photos[name] = data
