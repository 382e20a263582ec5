"""Keeps captures as the app has always done: a file in a folder, a row in `camera_captures`.

Left with its faults, because they are what an app like this has: a file is named by second and session, so that two
frames of one second are one file and two rows; the file is not synced; QUESTION_START is asked of no setting.
"""

from datetime import datetime
from pathlib import Path

from flask import current_app
from sqlalchemy import select, update

from .database import db
from .models import AssessmentSession, CameraCapture, CameraSettings


class CameraCaptureService:
    @staticmethod
    def get_camera_settings_for_session(session_id: str) -> CameraSettings | None:
        session = db.get(AssessmentSession, session_id)
        if session is None or session.camera_settings_id is None:
            return None
        return db.get(CameraSettings, session.camera_settings_id)

    @staticmethod
    def create_settings_snapshot(settings: CameraSettings | None) -> dict | None:
        if settings is None:
            return None
        return {
            "setting_name": settings.setting_name,
            "recording_mode": settings.recording_mode,
            "interval_seconds": settings.interval_seconds,
            "resolution": settings.resolution,
            "capture_on_button_click": settings.capture_on_button_click,
            "capture_on_message_send": settings.capture_on_message_send,
            "capture_on_question_start": settings.capture_on_question_start,
        }

    @staticmethod
    def should_capture_on_trigger(settings: CameraSettings, trigger: str) -> bool:
        if not settings.is_active:
            return True
        trigger = trigger.upper()
        if settings.recording_mode == "INTERVAL":
            return trigger == "INTERVAL"
        if trigger == "BUTTON_CLICK":
            return settings.capture_on_button_click
        if trigger == "MESSAGE_SEND":
            return settings.capture_on_message_send
        return False

    @staticmethod
    def save_capture(
        session_id: str,
        file_data: bytes,
        capture_trigger: str,
        assessment_id: str | None,
        capture_type: str,
        camera_settings_snapshot: dict | None,
        uploads_dir: str,
    ) -> CameraCapture:
        now = datetime.utcnow()
        filename = f"{session_id}_{now:%Y%m%d_%H%M%S}.jpg"
        (Path(uploads_dir) / filename).write_bytes(file_data)
        capture = CameraCapture(
            session_id=session_id,
            filename=filename,
            file_size_bytes=len(file_data),
            capture_trigger=capture_trigger.upper(),
            timestamp=now,
            assessment_id=assessment_id,
            assessment_type=capture_type,
            camera_settings_snapshot=camera_settings_snapshot,
        )
        db.add(capture)
        db.commit()
        return capture

    @staticmethod
    def link(session_id: str, capture_ids: list[str], assessment_id: str, assessment_type: str) -> tuple[int, int]:
        """Links those that are free. How many, and how many were linked already."""
        captures = db.scalars(
            select(CameraCapture).where(CameraCapture.session_id == session_id, CameraCapture.id.in_(capture_ids))
        ).all()
        free = [capture for capture in captures if capture.assessment_id is None]
        for capture in free:
            capture.assessment_id = assessment_id
            capture.assessment_type = assessment_type
        db.commit()
        return len(free), len(captures) - len(free)

    @staticmethod
    def link_since(session_id: str, since: datetime, assessment_id: str, assessment_type: str) -> None:
        db.execute(
            update(CameraCapture)
            .where(
                CameraCapture.session_id == session_id,
                CameraCapture.timestamp >= since,
                CameraCapture.assessment_id.is_(None),
            )
            .values(assessment_id=assessment_id, assessment_type=assessment_type)
        )
        db.commit()

    @staticmethod
    def clean_up(session_id: str) -> int:
        """Deletes the rows that belong to no assessment. The files stay."""
        orphans = db.scalars(
            select(CameraCapture).where(CameraCapture.session_id == session_id, CameraCapture.assessment_id.is_(None))
        ).all()
        for capture in orphans:
            db.delete(capture)
        db.commit()
        return len(orphans)

    @staticmethod
    def path_of(filename: str) -> Path:
        return Path(current_app.config["UPLOADS_DIR"]) / filename
