"""An example: a Celery app that receives Filmgate's events. README.md says how to run it.

BROKER_URL: the Redis broker. RECEIVED_FILE: each event is appended to it, a JSON object a line.
"""

import json
import os

from celery import Celery

app = Celery("filmgate_events", broker=os.environ["BROKER_URL"])
app.conf.update(
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    # The message leaves the broker when the task is done, so a worker that dies in it loses no event.
    task_acks_late=True,
)


@app.task(name="filmgate.capture_event", bind=True)
def on_event(self, event):
    """One event. It may come again, then with the same task id: real work would look that id up first."""
    line = json.dumps({"task_id": self.request.id, "event": event}) + "\n"
    # One write to a file opened for appending: the worker's processes do not mix their lines.
    file = os.open(os.environ["RECEIVED_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
