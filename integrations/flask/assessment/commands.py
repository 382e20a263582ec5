"""`flask create-tables` and `flask seed`."""

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy import select
from werkzeug.security import generate_password_hash

from .database import db
from .models import Base, CameraSettings, User


@click.command("create-tables")
@with_appcontext
def create_tables() -> None:
    """Makes the tables that are not there."""
    Base.metadata.create_all(current_app.extensions["engine"])


@click.command("seed")
@click.option("--password", envvar="SEED_PASSWORD", required=True, help="of all of them; for trying out only")
@click.option("--participants", default=2, show_default=True, help="participant, participant2, participant3, ...")
@with_appcontext
def seed(password: str, participants: int) -> None:
    """Makes participants, an administrator, an inactive user, and two camera settings."""
    names = ["participant", *(f"participant{number}" for number in range(2, participants + 1))]
    # One hash for all: it is made slowly on purpose.
    hashed = generate_password_hash(password)
    add_user("admin", hashed, is_admin=True)
    add_user("inactive", hashed, is_active=False)
    for name in names:
        add_user(name, hashed)
    if db.scalar(select(CameraSettings)) is None:
        db.add(CameraSettings(setting_name="Every second", is_default=True))
        db.add(
            CameraSettings(
                setting_name="At events",
                recording_mode="EVENT_DRIVEN",
                interval_seconds=None,
                capture_on_button_click=True,
                capture_on_message_send=True,
                capture_on_question_start=True,
            )
        )
    db.commit()


def add_user(name: str, password_hash: str, **marks: bool) -> None:
    if db.scalar(select(User).where(User.username == name)) is None:
        db.add(User(username=name, password_hash=password_hash, **marks))
