"""The app's database: one engine a process, one session a request."""

from flask import Flask
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.orm import scoped_session, sessionmaker

db = scoped_session(sessionmaker())

# What people write, and the drivers of requirements.txt.
DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
}


def bind(app: Flask) -> None:
    engine = engine_of(app.config["DATABASE_URL"])
    app.extensions["engine"] = engine
    db.configure(bind=engine)
    app.teardown_appcontext(lambda _: db.remove())


def engine_of(url: str) -> Engine:
    scheme, rest = url.split("://", 1)
    engine = create_engine(f"{DRIVERS.get(scheme, scheme)}://{rest}", pool_pre_ping=scheme != "sqlite", max_overflow=11)
    if scheme == "sqlite":
        event.listen(engine, "connect", prepare_sqlite)
    return engine


def prepare_sqlite(connection, _record) -> None:
    """Six processes write: without these they meet `database is locked`."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA busy_timeout=10000")
