"""A small assessment app: consent, a PHQ-9 questionnaire, a conversation, and photos of who answers.

It stands for the app that Filmgate is put beside, as such apps are: Flask, Flask-Login, SQLAlchemy, Gunicorn. It works
without Filmgate. Its camera routes (camera.py) have the faults that such routes have, and are left as they are.
"""

import os
from pathlib import Path

from flask import Flask

from . import auth, camera, commands, database, pages


def create_app() -> Flask:
    """The app, configured by its environment: SECRET_KEY, DATABASE_URL, UPLOADS_DIR, COOKIE_SECURE."""
    app = Flask(__name__)
    instance = Path(app.instance_path)
    app.config.update(
        SECRET_KEY=os.environ["SECRET_KEY"],
        DATABASE_URL=os.environ.get("DATABASE_URL") or f"sqlite:///{instance / 'assessment.sqlite'}",
        UPLOADS_DIR=os.environ.get("UPLOADS_DIR") or str(instance / "uploads"),
        MAX_CONTENT_LENGTH=256 * 1024 * 1024,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=os.environ.get("COOKIE_SECURE") == "1",
        REMEMBER_COOKIE_SECURE=os.environ.get("COOKIE_SECURE") == "1",
    )
    if str(instance) in app.config["DATABASE_URL"]:
        instance.mkdir(parents=True, exist_ok=True)
    Path(app.config["UPLOADS_DIR"]).mkdir(parents=True, exist_ok=True)

    database.bind(app)
    auth.login_manager.init_app(app)
    app.register_blueprint(auth.blueprint)
    app.register_blueprint(pages.blueprint)
    app.register_blueprint(camera.blueprint)
    app.cli.add_command(commands.create_tables)
    app.cli.add_command(commands.seed)
    return app
