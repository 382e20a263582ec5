"""Holds uploads open at a trickle, as phones with a bad network do. A process of its own, told what to do by lines.

    python3 -m checks.holder PORT COUNT BYTES_PER_SECOND PHOTO_BYTES < targets.json

The first line of its input is a JSON list of {"session", "headers"}, which the uploads take in turns. It prints
`holding` once all of them are open. Then `abort` cuts them, `finish` sends what is left of each at once and prints how
each ended, as JSON. Plain sockets, each fed once a second: as cheap as can be, for what it costs is taken from whom it
measures.
"""

import json
import select
import selectors
import socket
import sys
import threading
import time
from collections import Counter

from .photos import photo, single_form

SLICES = 50
FINISH_SECONDS = 120


class Upload:
    def __init__(self, port: int, head: bytes, body: memoryview) -> None:
        self.body = body
        self.sent = 0
        self.received = b""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(head)
        self.feed(1024)
        self.socket.setblocking(False)

    def feed(self, count: int) -> bool:
        """A little more, but never the end of it. Whether the connection still takes it."""
        count = min(count, len(self.body) - 1 - self.sent)
        try:
            if count > 0:
                self.sent += self.socket.send(self.body[self.sent : self.sent + count])
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True

    def hurry(self) -> str | None:
        """As much as the connection takes now, then its answer. How it ended, once it has."""
        try:
            if self.sent < len(self.body):
                self.sent += self.socket.send(self.body[self.sent :])
                return None
            piece = self.socket.recv(4096)
        except BlockingIOError:
            return None
        except OSError as error:
            return type(error).__name__
        self.received += piece
        if piece and b"\r\n\r\n" not in self.received:
            return None
        return self.received.split(b" ")[1].decode() if b" " in self.received else "no answer"

    def waits_for(self) -> int:
        return selectors.EVENT_WRITE if self.sent < len(self.body) else selectors.EVENT_READ


def finish_all(uploads: list[Upload]) -> Counter[str]:
    """All at once: one that waits for a thread of the app would wait for ever, were the others not to end."""
    ended: Counter[str] = Counter()
    waiting = selectors.DefaultSelector()
    for upload in uploads:
        waiting.register(upload.socket, upload.waits_for(), upload)
    deadline = time.monotonic() + FINISH_SECONDS
    while waiting.get_map() and time.monotonic() < deadline:
        for key, _ in waiting.select(1):
            upload = key.data
            if (how := upload.hurry()) is not None:
                ended[how] += 1
                waiting.unregister(upload.socket)
            elif key.events != upload.waits_for():
                waiting.modify(upload.socket, upload.waits_for(), upload)
    if unended := len(waiting.get_map()):
        ended[f"not within {FINISH_SECONDS} s"] = unended
    return ended


def open_all(port: int, count: int, photo_bytes: int, targets: list[dict]) -> list[Upload]:
    data = photo(1)
    # Larger than the photo: bytes after a JPEG's end are allowed, and make it last.
    content_type, body = single_form(data + bytes(max(0, photo_bytes - len(data))))
    uploads = []
    for number in range(count):
        target = targets[number % len(targets)]
        lines = [
            f"POST /assessment/camera/upload-single/{target['session']} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            f"Content-Type: {content_type}",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *(f"{name}: {value}" for name, value in target["headers"].items()),
        ]
        uploads.append(Upload(port, ("\r\n".join(lines) + "\r\n\r\n").encode(), memoryview(body)))
    return uploads


class Feeding(threading.Thread):
    def __init__(self, uploads: list[Upload], bytes_per_second: int) -> None:
        super().__init__(daemon=True)
        self.uploads = uploads
        self.bytes_per_second = bytes_per_second
        self.done = threading.Event()
        self.broken = 0

    def run(self) -> None:
        turn = 0
        due = time.monotonic()
        while not self.done.is_set():
            for upload in self.uploads[turn % SLICES :: SLICES]:
                if not upload.feed(self.bytes_per_second):
                    self.broken += 1
            turn += 1
            due += 1 / SLICES
            time.sleep(max(0, due - time.monotonic()))


def answered(uploads: list[Upload]) -> int:
    """How many have been answered already, though their photo is not there: refused."""
    poll = select.poll()
    for upload in uploads:
        poll.register(upload.socket, select.POLLIN)
    return len(poll.poll(0))


def main() -> None:
    port, count, bytes_per_second, photo_bytes = map(int, sys.argv[1:5])
    uploads = open_all(port, count, photo_bytes, json.loads(sys.stdin.readline()))
    feeding = Feeding(uploads, bytes_per_second)
    feeding.start()
    print("holding", flush=True)
    order = sys.stdin.readline().strip()
    refused = answered(uploads)
    feeding.done.set()
    feeding.join()
    ended = finish_all(uploads) if order == "finish" else Counter()
    for upload in uploads:
        upload.socket.close()
    print(json.dumps({"answered_while_held": refused, "ended": ended}), flush=True)


if __name__ == "__main__":
    main()
