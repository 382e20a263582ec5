"""The camera routes as the app has always had them.

These are what Filmgate takes over by one block in nginx, and what the app goes back to without it. Nothing here is
mended: the whole form is read before anything is asked of it, refusals of a single frame are answered with 200, an
exception is shown to the client, and whoever uploads slowly holds one of the 96 threads for as long.
"""

import asyncio
import json

from flask import Blueprint, abort, current_app, jsonify, request, send_file, url_for
from flask_login import current_user, login_required
from sqlalchemy import select

from .capture_service import CameraCaptureService
from .database import db
from .models import AssessmentSession, CameraCapture

blueprint = Blueprint("camera", __name__, url_prefix="/assessment/camera")


@blueprint.post("/upload")
@login_required
async def upload():
    try:
        session_id = request.form.get("session_id")
        if not session_id:
            return snafu("session_id required", 400)
        session = own_session(session_id)
        if session is None:
            return snafu("Session not found or access denied", 403)

        settings = CameraCaptureService.get_camera_settings_for_session(session_id)
        snapshot = CameraCaptureService.create_settings_snapshot(settings)
        loop = asyncio.get_running_loop()
        saved = []
        for key, file in request.files.items():
            if not key.startswith("capture_") or not file.filename:
                continue
            metadata = metadata_of(request.form.get(key.replace("capture_", "metadata_"), "{}"))
            trigger = metadata.get("trigger", "MANUAL")
            if settings is not None and not CameraCaptureService.should_capture_on_trigger(settings, trigger):
                continue
            phq, llm = metadata.get("phq_response_id"), metadata.get("llm_conversation_id")
            capture = await loop.run_in_executor(
                None,
                save_capture_sync,
                session_id,
                file.read(),
                trigger,
                phq or llm,
                "PHQ" if phq else "LLM" if llm else "GENERAL",
                snapshot,
                current_app.config["UPLOADS_DIR"],
            )
            saved.append(capture)
        return jsonify({"status": "OLKORECT", "message": f"Uploaded {len(saved)} captures", "captures": saved})
    except Exception as error:
        print(f"Error uploading captures: {error}")
        return snafu(str(error), 500)


def save_capture_sync(*arguments) -> dict:
    """Runs in a thread of its own, so with a database session of its own, which nobody else would close."""
    try:
        return answer_of(CameraCaptureService.save_capture(*arguments))
    finally:
        db.remove()


@blueprint.post("/upload-single/<session_id>")
@login_required
def upload_single(session_id: str):
    try:
        trigger = request.form.get("trigger", "unknown")
        if own_session(session_id) is None:
            return snafu("Session not found or access denied", 403)
        settings = CameraCaptureService.get_camera_settings_for_session(session_id)
        if settings is None or not settings.is_active:
            return snafu("No camera settings configured", 200)
        image = request.files.get("image")
        if image is None:
            return snafu("No image file provided", 200)
        if not CameraCaptureService.should_capture_on_trigger(settings, trigger):
            return snafu(f"Trigger '{trigger}' not allowed for current settings", 200)
        capture = CameraCaptureService.save_capture(
            session_id,
            image.read(),
            trigger,
            None,
            "GENERAL",
            CameraCaptureService.create_settings_snapshot(settings),
            current_app.config["UPLOADS_DIR"],
        )
        answer = answer_of(capture)
        answer["capture_id"] = answer.pop("id")
        return olkorect(answer)
    except Exception as error:
        print(f"Error uploading capture: {error}")
        return snafu(str(error), 500)


@blueprint.get("/settings/<session_id>")
@login_required
def settings(session_id: str):
    if own_session(session_id) is None:
        return snafu("Session not found or access denied", 403)
    snapshot = CameraCaptureService.create_settings_snapshot(
        CameraCaptureService.get_camera_settings_for_session(session_id)
    )
    return olkorect({"settings": snapshot, "session_id": session_id})


@blueprint.get("/session/<session_id>")
@login_required
def session_captures(session_id: str):
    if own_session(session_id) is None:
        return snafu("Session not found or access denied", 403)
    rows = db.scalars(
        select(CameraCapture).where(CameraCapture.session_id == session_id).order_by(CameraCapture.timestamp)
    ).all()
    captures = [
        {
            "id": row.id,
            "filename": row.filename,
            "url": url_for("camera.file", filename=row.filename),
            "timestamp": row.timestamp.isoformat(),
            "capture_trigger": row.capture_trigger,
            "file_size_bytes": row.file_size_bytes,
            "assessment_type": row.assessment_type,
            "assessment_id": row.assessment_id,
        }
        for row in rows
    ]
    return jsonify(
        {"status": "OLKORECT", "session_id": session_id, "captures": captures, "total_captures": len(captures)}
    )


@blueprint.get("/file/<filename>")
@login_required
def file(filename: str):
    row = db.scalar(select(CameraCapture).where(CameraCapture.filename == filename).limit(1))
    if row is None or own_session(row.session_id) is None or not CameraCaptureService.path_of(filename).is_file():
        abort(404)
    return send_file(CameraCaptureService.path_of(filename), mimetype="image/jpeg")


@blueprint.post("/link/<session_id>")
@login_required
def link(session_id: str):
    if own_session(session_id) is None:
        return snafu("Session not found or access denied", 403)
    wanted = request.get_json()
    updated, linked_before = CameraCaptureService.link(
        session_id, wanted["capture_ids"], wanted["assessment_record_id"], wanted["assessment_type"].upper()
    )
    return olkorect(
        {
            "session_id": session_id,
            "captures_updated": updated,
            "captures_already_linked": linked_before,
            "assessment_record_id": wanted["assessment_record_id"],
            "assessment_type": wanted["assessment_type"],
            "contamination_prevented": linked_before > 0,
        }
    )


@blueprint.post("/cleanup/<session_id>")
@login_required
def cleanup(session_id: str):
    if own_session(session_id) is None:
        return snafu("Session not found or access denied", 403)
    return olkorect({"session_id": session_id, "captures_cleaned": CameraCaptureService.clean_up(session_id)})


def own_session(session_id: str) -> AssessmentSession | None:
    session = db.get(AssessmentSession, session_id)
    if session is None or (session.user_id != current_user.id and not current_user.is_admin):
        return None
    return session


def metadata_of(text: str) -> dict:
    try:
        metadata = json.loads(text)
    except ValueError:
        return {}
    return metadata if isinstance(metadata, dict) else {}


def answer_of(capture: CameraCapture) -> dict:
    return {
        "id": capture.id,
        "filename": capture.filename,
        "trigger": capture.capture_trigger,
        "timestamp": capture.timestamp.isoformat(),
    }


def olkorect(data: dict):
    return jsonify({"status": "OLKORECT", "data": data})


def snafu(error: str, status: int):
    return jsonify({"status": "SNAFU", "error": error}), status
