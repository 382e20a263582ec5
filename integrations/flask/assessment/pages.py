"""What the participant sees: consent, questionnaire, conversation, and the photos that were taken."""

from datetime import datetime

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask_login import current_user, login_required
from sqlalchemy import select

from .capture_service import CameraCaptureService
from .database import db
from .models import AssessmentSession, CameraCapture, CameraSettings, LlmConversation, PhqResponse, new_id
from .texts import CONVERSATION, PHQ_CHOICES, PHQ_QUESTIONS

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
@login_required
def home():
    sessions = db.scalars(
        select(AssessmentSession)
        .where(AssessmentSession.user_id == current_user.id)
        .order_by(AssessmentSession.created_at.desc())
    ).all()
    return render_template("home.html", sessions=sessions)


@blueprint.post("/assessment/start")
@login_required
def start():
    settings = db.scalar(select(CameraSettings).where(CameraSettings.is_default, CameraSettings.is_active))
    session = AssessmentSession(user_id=current_user.id, camera_settings_id=settings.id if settings else None)
    db.add(session)
    db.commit()
    return redirect(url_for("pages.consent", session_id=session.id))


@blueprint.route("/assessment/<session_id>/consent", methods=["GET", "POST"])
@login_required
def consent(session_id: str):
    session = own_session(session_id)
    if request.method == "POST":
        session.consented_at = datetime.utcnow()
        db.commit()
        return redirect(url_for("pages.questionnaire", session_id=session.id))
    return render_template("consent.html", session=session)


@blueprint.route("/assessment/<session_id>/phq", methods=["GET", "POST"])
@login_required
def questionnaire(session_id: str):
    session = consented_session(session_id)
    if request.method == "POST":
        answers = [int(request.form[f"question_{number}"]) for number in range(len(PHQ_QUESTIONS))]
        response = PhqResponse(id=request.form["response_id"], session_id=session.id, answers=answers, total=sum(answers))
        db.add(response)
        db.commit()
        return redirect(url_for("pages.conversation", session_id=session.id))
    return render_template(
        "questionnaire.html",
        session=session,
        response_id=new_id(),
        questions=PHQ_QUESTIONS,
        choices=PHQ_CHOICES,
        camera_settings=settings_of(session),
    )


@blueprint.route("/assessment/<session_id>/conversation", methods=["GET", "POST"])
@login_required
def conversation(session_id: str):
    session = consented_session(session_id)
    talk = db.scalar(select(LlmConversation).where(LlmConversation.session_id == session.id))
    if talk is None:
        talk = LlmConversation(session_id=session.id, messages=[CONVERSATION[0]])
        db.add(talk)
        db.commit()
    if request.method == "POST":
        said = request.form["message"].strip()
        answer = CONVERSATION[min(len(talk.messages) // 2 + 1, len(CONVERSATION) - 1)]
        talk.messages = [*talk.messages, said, answer]
        db.commit()
        return {"answer": answer, "finished": answer == CONVERSATION[-1]}
    return render_template("conversation.html", session=session, talk=talk, camera_settings=settings_of(session))


@blueprint.post("/assessment/<session_id>/finish")
@login_required
def finish(session_id: str):
    """What was photographed during the conversation belongs to it: linked here, in the app's own table."""
    session = consented_session(session_id)
    talk = db.scalar(select(LlmConversation).where(LlmConversation.session_id == session.id))
    if talk is not None:
        CameraCaptureService.link_since(session.id, talk.created_at, talk.id, "LLM")
    return redirect(url_for("pages.captures", session_id=session.id))


@blueprint.get("/assessment/<session_id>/captures")
@login_required
def captures(session_id: str):
    session = own_session(session_id)
    rows = db.scalars(
        select(CameraCapture).where(CameraCapture.session_id == session.id).order_by(CameraCapture.timestamp)
    ).all()
    return render_template("captures.html", session=session, captures=rows)


def own_session(session_id: str) -> AssessmentSession:
    session = db.get(AssessmentSession, session_id)
    if session is None or (session.user_id != current_user.id and not current_user.is_admin):
        abort(404)
    return session


def consented_session(session_id: str) -> AssessmentSession:
    session = own_session(session_id)
    if session.consented_at is None:
        abort(redirect(url_for("pages.consent", session_id=session.id)))
    return session


def settings_of(session: AssessmentSession) -> dict | None:
    return CameraCaptureService.create_settings_snapshot(
        CameraCaptureService.get_camera_settings_for_session(session.id)
    )
