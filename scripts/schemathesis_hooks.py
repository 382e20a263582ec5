"""What scripts/schemathesis needs to reach every operation, and its count of what was covered.

Made-up ids name nothing and made-up bytes are no photo: left alone, nearly every case ends in a 404. So half of the
cases get values that exist, in the places where their own fit the document too; what was made not to fit stays.
"""

import atexit
import collections
import json
import os
import random
import struct
import time
import uuid
import zlib

import requests
import schemathesis
from schemathesis.core.parameters import ParameterLocation

BASE, TALLY = os.environ["FILMGATE_URL"], os.environ["FILMGATE_TALLY"]
COOKIE = "filmgate_sign_in"
CALLER = os.environ["FILMGATE_CALLER_SECRET"]
PASSWORD = "correct horse battery"


def ask(method, path, secret=os.environ["FILMGATE_ADMIN_SECRET"], **body):
    answer = requests.request(method, BASE + path, cookies={COOKIE: secret}, timeout=30, **body)
    answer.raise_for_status()
    return answer


def user():
    name = f"schemathesis-{uuid.uuid4()}"
    return ask("POST", "/api/v1/users", json={"username": name, "password": PASSWORD}).json()


def sign_in(name):
    while True:
        answer = requests.post(BASE + "/api/v1/sign-in", json={"username": name, "password": PASSWORD}, timeout=30)
        if answer.status_code != 429:  # the pass before has guessed a lot
            answer.raise_for_status()
            return answer.cookies[COOKIE]
        time.sleep(int(answer.headers["Retry-After"]))


def settings():
    events = {f"capture_on_{event}": True for event in ("button_click", "message_send", "question_start")}
    new = {"setting_name": f"schemathesis {uuid.uuid4()}", "recording_mode": "EVENT_DRIVEN", **events}
    return ask("POST", "/api/v1/camera-settings", json=new).json()["id"]


def session(settings_id=None):
    new = {"user_id": ME, "camera_settings_id": settings_id}
    return ask("POST", "/api/v1/sessions", json=new).json()["id"]


def photo(is_broken=False):
    """A PNG of 8x8 grey pixels; broken, it is whole in its structure and cannot be decoded."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(bytes([0] + [128] * 8) * 8)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"broken" if is_broken else pixels) + chunk(b"IEND", b"")


def upload(session_id, count):
    files = {f"capture_{key}": ("frame.png", photo(), "image/png") for key in range(count)}
    form = {"session_id": session_id}
    return ask("POST", "/assessment/camera/upload", CALLER, data=form, files=files).json()["captures"]


def queue(session_id, content):
    """The task of a photo, once it has ended."""
    files, form = {"capture_0": ("frame.png", content, "image/png")}, {"session_id": session_id}
    headers = {"Prefer": "respond-async"}
    task = ask("POST", "/assessment/camera/upload", CALLER, data=form, files=files, headers=headers).json()["task_ids"][0]
    while ask("GET", f"/api/v1/tasks/{task}").json()["state"] not in ("SUCCESS", "FAILURE"):
        time.sleep(0.1)
    return task


def plain(value):
    try:
        return str(int(value))
    except (TypeError, ValueError):
        return str(value).lower()


ME = ask("GET", "/api/v1/sign-in", CALLER).json()["user"]["id"]
ADMIN_ID = ask("GET", "/api/v1/sign-in").json()["user"]["id"]
SIGNER, TARGET = user(), user()["id"]
# Made before the run's wrong guesses use up what the server lets this address guess.
SIGN_INS = [sign_in(SIGNER["username"]) for _ in range(3)]
SETTINGS, SPARE_SETTINGS = settings(), settings()
SESSION, KEPT_SESSION, SPARE_SESSION = session(SETTINGS), session(), session()
KEPT = upload(KEPT_SESSION, 10)
SPARE = upload(session(), 10) + upload(session(), 10)
DONE, DEAD = (queue(KEPT_SESSION, photo(is_broken)) for is_broken in (False, True))
TOKEN = ask("POST", "/api/v1/tokens", json={"name": "schemathesis"}).json()["id"]

OPEN = {"session_id": SESSION}
PATHS = {
    "upload_single": lambda pick: OPEN,
    "session_settings": lambda pick: OPEN,
    "session_captures": lambda pick: OPEN,
    "link": lambda pick: OPEN,
    "cleanup": lambda pick: {"session_id": SPARE_SESSION},
    "file": lambda pick: {"filename": pick.choice(KEPT)["filename"]},
    "camera_task": lambda pick: {"task_id": DONE},
    "show_task": lambda pick: {"id": DONE},
    "retry_task": lambda pick: {"id": DEAD},
    "revoke_task": lambda pick: {"id": DEAD},
    "show_user": lambda pick: {"id": TARGET},
    "change_user": lambda pick: {"id": TARGET},
    "end_sign_ins": lambda pick: {"id": TARGET},
    "revoke_token": lambda pick: {"id": TOKEN},
    "show_session": lambda pick: {"id": SPARE_SESSION},
    "register_session": lambda pick: {"id": str(uuid.UUID(int=pick.getrandbits(128)))},
    "change_session": lambda pick: {"id": SPARE_SESSION},
    "end_session": lambda pick: {"id": SPARE_SESSION},
    "show_camera_settings": lambda pick: {"id": SPARE_SETTINGS},
    "change_camera_settings": lambda pick: {"id": SPARE_SETTINGS},
    "show_capture": lambda pick: {"id": pick.choice(KEPT)["id"]},
    "delete_capture": lambda pick: {"id": SPARE.pop()["id"] if SPARE else str(uuid.UUID(int=0))},
}
CHANGES = {
    "change_camera_settings", "change_session", "change_user", "cleanup", "delete_capture", "end_session", "end_sign_ins",
}  # fmt: skip
KEEP = {plain(ME), plain(ADMIN_ID), plain(SIGNER["id"]), SESSION, KEPT_SESSION, SETTINGS}
KEEP |= {capture["id"] for capture in KEPT}
KEEP |= {ask("GET", f"/api/v1/tasks/{task}").json()["capture_id"] for task in (DONE, DEAD)}

BODIES = {
    "upload_batch": lambda pick: {
        "session_id": SESSION,
        "capture_0": photo(),
        "metadata_0": json.dumps({"trigger": pick.choice(["INTERVAL", "BUTTON_CLICK", "question_start"])}),
    },
    "upload_single": lambda pick: {"image": photo(), "trigger": pick.choice(["BUTTON_CLICK", "question_start"])},
    "link": lambda pick: {"capture_ids": [pick.choice(KEPT)["id"]]},
    "sign_in": lambda pick: {"username": SIGNER["username"], "password": PASSWORD},
    "create_camera_settings": lambda pick: {"setting_name": f"made {uuid.uuid4()}", "interval_seconds": 5},
    "change_camera_settings": lambda pick: {"setting_name": f"changed {uuid.uuid4()}", "interval_seconds": 5},
    "create_session": lambda pick: {"user_id": ME, "camera_settings_id": pick.choice([SETTINGS, None])},
    "register_session": lambda pick: {"user_id": ME, "camera_settings_id": pick.choice([SETTINGS, None])},
    "change_session": lambda pick: {"camera_settings_id": pick.choice([SETTINGS, None])},
    "create_token": lambda pick: {"user_id": TARGET},
    "create_user": lambda pick: {"username": f"made {uuid.uuid4()}", "password": PASSWORD},
    "change_user": lambda pick: {"password": PASSWORD},
}


@schemathesis.hook
def before_call(context, case, kwargs):
    operation = case.operation.definition.raw["operationId"]
    pick = random.Random(zlib.crc32(repr((operation, case.path_parameters, case.body)).encode()))
    # Schemathesis also tries ids that answers have named: what the rest of the run needs must not be changed or end.
    if operation in CHANGES and any(plain(value) in KEEP for value in case.path_parameters.values()):
        case.path_parameters.update(PATHS[operation](pick))
    if operation == "sign_out" and (case.cookies or {}).get(COOKIE) == CALLER:
        case.cookies[COOKIE] = SIGN_INS.pop() if len(SIGN_INS) > 1 else SIGN_INS[0]
    if case.meta is None or case.meta.phase.name.value == "stateful":
        return
    if pick.random() < 0.5 and operation != "sign_in":
        return
    if operation in PATHS and not case.meta.is_negative_at(ParameterLocation.PATH):
        case.path_parameters.update(PATHS[operation](pick))
        case.headers.pop("If-Match", None)
    if operation in BODIES and isinstance(case.body, dict) and not case.meta.is_negative_at(ParameterLocation.BODY):
        case.body = {**case.body, **BODIES[operation](pick)}


COUNTS = collections.defaultdict(collections.Counter)


@schemathesis.hook
def after_call(context, case, response):
    COUNTS[case.operation.definition.raw["operationId"]][response.status_code] += 1


@atexit.register
def tell():
    with open(TALLY, "w") as file:
        json.dump(COUNTS, file)
