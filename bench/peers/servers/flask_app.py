"""The original's way, kept small: Flask, Flask-Login, SQLAlchemy, a file, a row. With `CELERY_BROKER` the photo's bytes go
through the broker and a worker saves them, as the original's document proposes.

Started by Gunicorn as the original is: gthread, six processes of sixteen threads. Nothing is synced.
"""

import asyncio
import json
import os
import threading
import uuid
from datetime import datetime, timezone
from pathlib import Path

from flask import Flask, has_app_context, jsonify, request
from flask.globals import app_ctx
from flask_login import LoginManager, UserMixin, current_user, login_required
from sqlalchemy import JSON, Boolean, DateTime, ForeignKey, Integer, String, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, scoped_session, sessionmaker

DATA = Path(os.environ["PEER_DATA"])
UPLOADS = DATA / "uploads"


class Base(DeclarativeBase):
    pass


class User(Base, UserMixin):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(80))


class CameraSettings(Base):
    __tablename__ = "camera_settings"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    setting_name: Mapped[str] = mapped_column(String(80))
    recording_mode: Mapped[str] = mapped_column(String(20))
    interval_seconds: Mapped[int] = mapped_column(Integer)
    resolution: Mapped[str] = mapped_column(String(20))
    is_active: Mapped[bool] = mapped_column(Boolean)


class AssessmentSession(Base):
    __tablename__ = "assessment_sessions"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    camera_settings_id: Mapped[str] = mapped_column(ForeignKey("camera_settings.id"))


class CameraCapture(Base):
    __tablename__ = "camera_captures"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey("assessment_sessions.id"), index=True)
    filename: Mapped[str] = mapped_column(String(80))
    file_size_bytes: Mapped[int] = mapped_column(Integer)
    capture_trigger: Mapped[str] = mapped_column(String(20))
    timestamp: Mapped[datetime] = mapped_column(DateTime)
    assessment_type: Mapped[str] = mapped_column(String(10))
    camera_settings_snapshot: Mapped[dict] = mapped_column(JSON)


# Two for each of the 16 threads: the one that answers holds its own while another saves, and with fewer they all wait for each
# other.
engine = create_engine(f"sqlite:///{DATA}/app.db", pool_size=16, max_overflow=32)

def scope():
    """The request, as Flask-SQLAlchemy has it, and not the thread: an async view runs in one of its own, whose session nobody
    would put back. A thread that saves has none."""
    return id(app_ctx._get_current_object()) if has_app_context() else threading.get_ident()


db = scoped_session(sessionmaker(bind=engine), scopefunc=scope)


@event.listens_for(engine, "connect")
def prepare(connection, _):
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA busy_timeout=30000")


app = Flask(__name__)
app.secret_key = os.environ["PEER_SECRET"]
logins = LoginManager(app)
celery = None
if os.environ.get("CELERY_BROKER"):
    from celery import Celery

    celery = Celery("photo_tasks", broker=os.environ["CELERY_BROKER"])
    celery.conf.update(task_serializer="pickle", accept_content=["pickle"], task_ignore_result=True)


@logins.user_loader
def load_user(user_id):
    return db.get(User, int(user_id))


@app.teardown_appcontext
def put_back(_):
    db.remove()


def snafu(words, status):
    return jsonify({"status": "SNAFU", "error": words}), status


def save(session_id, data, trigger, capture_type, snapshot):
    try:
        now = datetime.now(timezone.utc).replace(tzinfo=None)
        # The original names files by second and session; two of one second would be one file and cost less.
        capture_id = str(uuid.uuid4())
        filename = f"{session_id}_{now:%Y%m%d_%H%M%S}_{capture_id[:8]}.jpg"
        (UPLOADS / filename).write_bytes(data)
        capture = CameraCapture(
            id=capture_id,
            session_id=session_id,
            filename=filename,
            file_size_bytes=len(data),
            capture_trigger=trigger,
            timestamp=now,
            assessment_type=capture_type,
            camera_settings_snapshot=snapshot,
        )
        db.add(capture)
        db.commit()
        return {
            "id": capture.id,
            "filename": capture.filename,
            "trigger": capture.capture_trigger,
            "timestamp": capture.timestamp.isoformat(),
        }
    finally:
        db.remove()


if celery is not None:
    save_task = celery.task(name="save")(save)


def own_session(session_id):
    session = db.get(AssessmentSession, session_id)
    return session if session is not None and session.user_id == current_user.id else None


def snapshot_of(settings):
    return {
        "setting_name": settings.setting_name,
        "recording_mode": settings.recording_mode,
        "interval_seconds": settings.interval_seconds,
        "resolution": settings.resolution,
    }


@app.post("/assessment/camera/upload")
@login_required
async def upload():
    session_id = request.form.get("session_id")
    if not session_id:
        return snafu("session_id required", 400)
    session = own_session(session_id)
    if session is None:
        return snafu("Session not found or access denied", 403)
    settings = db.get(CameraSettings, session.camera_settings_id)
    snapshot = snapshot_of(settings)
    loop = asyncio.get_running_loop()
    saved = []
    for key, file in request.files.items():
        if not key.startswith("capture_") or not file.filename:
            continue
        metadata = json.loads(request.form.get(key.replace("capture_", "metadata_"), "{}"))
        trigger = metadata.get("trigger", "MANUAL")
        if settings.is_active and settings.recording_mode == "INTERVAL" and trigger != "INTERVAL":
            continue
        kind = "PHQ" if metadata.get("phq_response_id") else "LLM" if metadata.get("llm_conversation_id") else "GENERAL"
        arguments = (session_id, file.read(), trigger, kind, snapshot)
        if celery is not None:
            saved.append(save_task.delay(*arguments).id)
        else:
            saved.append(await loop.run_in_executor(None, save, *arguments))
    if celery is not None:
        message = f"Queued {len(saved)} captures for processing"
        return jsonify({"status": "OLKORECT", "message": message, "task_ids": saved}), 202
    return jsonify({"status": "OLKORECT", "message": f"Uploaded {len(saved)} captures", "captures": saved})


@app.get("/assessment/camera/settings/<session_id>")
@login_required
def settings(session_id):
    session = own_session(session_id)
    if session is None:
        return snafu("Session not found or access denied", 403)
    found = snapshot_of(db.get(CameraSettings, session.camera_settings_id))
    return jsonify({"status": "OLKORECT", "data": {"settings": found, "session_id": session_id}})
