"""Six processes of sixteen threads: 96 requests at once, each for as long as it takes."""

import os

bind = os.environ.get("BIND", "127.0.0.1:8000")
worker_class = "gthread"
workers = 6
threads = 16
