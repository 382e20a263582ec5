"""The app's tables."""

import uuid
from datetime import datetime

from flask_login import UserMixin
from sqlalchemy import JSON, Boolean, DateTime, ForeignKey, Integer, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


def new_id() -> str:
    return str(uuid.uuid4())


class Base(DeclarativeBase):
    pass


class User(UserMixin, Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    username: Mapped[str] = mapped_column(String(80), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    is_active: Mapped[bool] = mapped_column(Boolean, default=True)
    is_admin: Mapped[bool] = mapped_column(Boolean, default=False)


class CameraSettings(Base):
    __tablename__ = "camera_settings"

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    setting_name: Mapped[str] = mapped_column(String(100))
    recording_mode: Mapped[str] = mapped_column(String(20), default="INTERVAL")
    interval_seconds: Mapped[int | None] = mapped_column(Integer, default=1)
    resolution: Mapped[str] = mapped_column(String(20), default="1280x720")
    capture_on_button_click: Mapped[bool] = mapped_column(Boolean, default=False)
    capture_on_message_send: Mapped[bool] = mapped_column(Boolean, default=False)
    capture_on_question_start: Mapped[bool] = mapped_column(Boolean, default=False)
    is_active: Mapped[bool] = mapped_column(Boolean, default=True)
    is_default: Mapped[bool] = mapped_column(Boolean, default=False)


class AssessmentSession(Base):
    __tablename__ = "assessment_sessions"

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    camera_settings_id: Mapped[str | None] = mapped_column(ForeignKey("camera_settings.id"))
    consented_at: Mapped[datetime | None] = mapped_column(DateTime)
    created_at: Mapped[datetime] = mapped_column(DateTime, default=datetime.utcnow)


class PhqResponse(Base):
    __tablename__ = "phq_responses"

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    session_id: Mapped[str] = mapped_column(ForeignKey("assessment_sessions.id"), index=True)
    answers: Mapped[list] = mapped_column(JSON)
    total: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(DateTime, default=datetime.utcnow)


class LlmConversation(Base):
    __tablename__ = "llm_conversations"

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    session_id: Mapped[str] = mapped_column(ForeignKey("assessment_sessions.id"), index=True)
    messages: Mapped[list] = mapped_column(JSON, default=list)
    created_at: Mapped[datetime] = mapped_column(DateTime, default=datetime.utcnow)


class CameraCapture(Base):
    __tablename__ = "camera_captures"

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    session_id: Mapped[str] = mapped_column(ForeignKey("assessment_sessions.id"), index=True)
    filename: Mapped[str] = mapped_column(String(255))
    file_size_bytes: Mapped[int | None] = mapped_column(Integer)
    capture_trigger: Mapped[str] = mapped_column(String(50))
    timestamp: Mapped[datetime] = mapped_column(DateTime, default=datetime.utcnow)
    assessment_id: Mapped[str | None] = mapped_column(String(36))
    assessment_type: Mapped[str | None] = mapped_column(String(20))
    camera_settings_snapshot: Mapped[dict | None] = mapped_column(JSON)
