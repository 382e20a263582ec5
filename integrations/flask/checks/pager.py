"""Asks for one page again and again, and prints how long each answer took. A process of its own, so that whoever makes
the load does not delay the clock.

    python3 -m checks.pager PORT PATH SECONDS TIMEOUT_SECONDS < headers.json
"""

import http.client
import json
import sys
import time

PAUSE_SECONDS = 0.02


def ask(port: int, path: str, headers: dict[str, str], timeout_seconds: float) -> float | None:
    """Milliseconds until the page was there, on a new connection; nothing if it did not come."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_seconds)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        whole = response.read()
        return (time.perf_counter() - began) * 1000 if response.status == 200 and b"<fieldset>" in whole else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def main() -> None:
    port, path, seconds, timeout_seconds = int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
    headers = json.load(sys.stdin)
    deadline = time.monotonic() + seconds
    times = []
    while time.monotonic() < deadline:
        times.append(ask(port, path, headers, timeout_seconds))
        time.sleep(PAUSE_SECONDS)
    print(json.dumps(times))


if __name__ == "__main__":
    main()
