"""Signing in: Flask-Login, with its two cookies."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_login import LoginManager, login_required, login_user, logout_user
from sqlalchemy import select
from werkzeug.security import check_password_hash

from .database import db
from .models import User

blueprint = Blueprint("auth", __name__)
login_manager = LoginManager()
login_manager.login_view = "auth.login"


@login_manager.user_loader
def load_user(user_id: str) -> User | None:
    return db.get(User, int(user_id))


@blueprint.get("/login")
def login():
    return render_template("login.html")


@blueprint.post("/login")
def sign_in():
    user = db.scalar(select(User).where(User.username == request.form.get("username", "")))
    if user is None or not check_password_hash(user.password_hash, request.form.get("password", "")):
        flash("Name or password is wrong.")
        return render_template("login.html"), 401
    if not login_user(user, remember="remember" in request.form):
        flash("This account is closed.")
        return render_template("login.html"), 403
    return redirect(url_for("pages.home"))


@blueprint.post("/logout")
@login_required
def logout():
    logout_user()
    return redirect(url_for("auth.login"))
