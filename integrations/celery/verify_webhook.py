"""An example: receives Filmgate's webhooks and verifies them with the library `standardwebhooks`.

PORT: where to listen on 127.0.0.1 (0: any free port, printed). SECRET: whsec_…, as in Filmgate's settings.
RECEIVED_FILE: each verified event is appended to it, a JSON object a line.

Answers 204 to what it verified and 401 to anything else, which it writes nowhere.
"""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

BODY_BYTES_MAX = 1 << 20
WEBHOOK = Webhook(os.environ["SECRET"])
RECEIVED_FILE = os.environ["RECEIVED_FILE"]
LOCK = threading.Lock()


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        if not 0 < length <= BODY_BYTES_MAX:
            self.close_connection = True
            return self.answer(413)
        # The signature is of these very bytes: parsed and written again, they would be others.
        body = self.rfile.read(length)
        try:
            event = WEBHOOK.verify(body, dict(self.headers))
        except WebhookVerificationError as problem:
            print(f"refused: {problem}", file=sys.stderr, flush=True)
            return self.answer(401)
        # An event may come again, then with the same id: real work would look it up first.
        line = json.dumps({"webhook_id": self.headers["webhook-id"], "event": event})
        with LOCK, open(RECEIVED_FILE, "a") as file:
            print(line, file=file)
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Receiver)
    print(f"http://127.0.0.1:{server.server_address[1]}/", flush=True)
    server.serve_forever()
