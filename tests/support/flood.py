"""What a stranger can do to the web server: `python -m tests.support.flood PORT HOOK_PATH`.

64 connections try passwords; 50 more send one byte at a time, to a page and to the webhook. The
program ends when its standard input closes, or after a minute.
"""

import contextlib
import http.client
import itertools
import socket
import sys
import threading
import urllib.parse
from collections.abc import Callable

PASSWORDS, SLOW = 64, 50
LONGEST_SECONDS = 60.0
_numbers = itertools.count()
_over = threading.Event()


def try_password(port: int) -> None:
    """Try one password, each time for another account."""
    token = "x" * 32
    form = {
        "csrfmiddlewaretoken": token,
        "username": f"owner{next(_numbers)}@example.com",
        "password": "guessed",
    }
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Cookie": f"csrftoken={token}",
    }
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        line.request("POST", "/admin/login/", urllib.parse.urlencode(form), headers)
        line.getresponse().read()
    finally:
        line.close()


def send_slowly(port: int, begin: bytes) -> None:
    """Send a request slowly, five bytes a second, until the server cuts it off."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        line.sendall(begin)
        while not _over.wait(0.2):
            line.sendall(b"a")


def _again_and_again(act: Callable[[], None]) -> None:
    while not _over.is_set():
        with contextlib.suppress(OSError, http.client.HTTPException):
            act()


def main() -> None:
    port, path = int(sys.argv[1]), sys.argv[2]
    head = b"GET /admin/login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
    body = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999\r\n\r\n".encode()
    acts: list[Callable[[], None]] = [lambda: try_password(port)] * PASSWORDS
    acts += [lambda: send_slowly(port, head), lambda: send_slowly(port, body)] * (SLOW // 2)
    for act in acts:
        threading.Thread(target=_again_and_again, args=[act], daemon=True).start()
    print("flooding", flush=True)
    threading.Timer(LONGEST_SECONDS, _over.set).start()
    threading.Thread(target=_end_with_input, daemon=True).start()
    _over.wait()


def _end_with_input() -> None:
    sys.stdin.read()
    _over.set()


if __name__ == "__main__":
    main()
