"""The same work in FastAPI: sign-in by the same cookie, ownership, settings, a file, a row. Nothing is synced."""

import json
import os
import sqlite3
import threading
import uuid
from datetime import datetime, timezone
from hashlib import sha1
from pathlib import Path

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from itsdangerous import BadSignature, URLSafeTimedSerializer

DATA = Path(os.environ["PEER_DATA"])
app = FastAPI()
cookies = URLSafeTimedSerializer(
    os.environ["PEER_SECRET"],
    salt="cookie-session",
    signer_kwargs={"key_derivation": "hmac", "digest_method": sha1},
)
local = threading.local()


def database():
    if not hasattr(local, "db"):
        local.db = sqlite3.connect(DATA / "app.db", timeout=30, isolation_level=None)
        local.db.execute("PRAGMA journal_mode=WAL")
        local.db.execute("PRAGMA synchronous=OFF")
    return local.db


def user_of(request: Request) -> int:
    try:
        user_id = int(cookies.loads(request.cookies.get("session", ""), max_age=2678400)["_user_id"])
    except (BadSignature, KeyError, ValueError):
        raise HTTPException(401) from None
    return user_id


def own_session(session_id, user_id):
    found = database().execute(
        "SELECT s.user_id, c.setting_name, c.recording_mode, c.interval_seconds, c.resolution, c.is_active"
        " FROM assessment_sessions s JOIN camera_settings c ON c.id = s.camera_settings_id"
        " JOIN users u ON u.id = s.user_id WHERE s.id = ?",
        (session_id,),
    ).fetchone()
    if found is None or found[0] != user_id:
        raise HTTPException(403)
    return dict(zip(("setting_name", "recording_mode", "interval_seconds", "resolution", "is_active"), found[1:]))


def save(session_id, data, trigger, kind, settings):
    capture_id, now = str(uuid.uuid4()), datetime.now(timezone.utc).replace(tzinfo=None)
    filename = f"{capture_id}.jpg"
    (DATA / "uploads" / filename).write_bytes(data)
    database().execute(
        "INSERT INTO camera_captures (id, session_id, filename, file_size_bytes, capture_trigger, timestamp,"
        " assessment_type, camera_settings_snapshot) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (capture_id, session_id, filename, len(data), trigger, now.isoformat(" "), kind, json.dumps(settings)),
    )
    return {"id": capture_id, "filename": filename, "trigger": trigger, "timestamp": now.isoformat()}


@app.post("/assessment/camera/upload")
async def upload(request: Request, user_id: int = Depends(user_of)):
    form = await request.form()
    session_id = form.get("session_id")
    if not session_id:
        raise HTTPException(400)
    settings = await run_in_threadpool(own_session, session_id, user_id)
    saved = []
    for key, file in form.items():
        if not key.startswith("capture_") or not file.filename:
            continue
        metadata = json.loads(form.get(key.replace("capture_", "metadata_"), "{}"))
        trigger = metadata.get("trigger", "MANUAL")
        if settings["is_active"] and settings["recording_mode"] == "INTERVAL" and trigger != "INTERVAL":
            continue
        kind = "PHQ" if metadata.get("phq_response_id") else "LLM" if metadata.get("llm_conversation_id") else "GENERAL"
        saved.append(await run_in_threadpool(save, session_id, await file.read(), trigger, kind, settings))
    return {"status": "OLKORECT", "message": f"Uploaded {len(saved)} captures", "captures": saved}


@app.get("/assessment/camera/settings/{session_id}")
async def settings(session_id: str, user_id: int = Depends(user_of)):
    found = await run_in_threadpool(own_session, session_id, user_id)
    return {"status": "OLKORECT", "data": {"settings": found, "session_id": session_id}}
