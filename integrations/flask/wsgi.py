"""For Gunicorn and for `flask --app wsgi`."""

from assessment import create_app

app = create_app()
