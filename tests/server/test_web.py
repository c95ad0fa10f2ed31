"""The web processes for the webhook and for the pages, as a stranger meets them."""

import contextlib
import http.client
import itertools
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import live

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="looks at processes in Linux' /proc"
)
HOOK = f"/hooks/samcart/{live.HOOK_SECRET}/"
PAGE = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
SALE = b'{"type": "Order"}'
# As long as SamCart waits for an answer.
SENDER_SECONDS = 5.0


@pytest.fixture
def admit(tmp_path) -> Iterator[live.Installation]:
    with live.installation(tmp_path) as installed:
        yield installed


@pytest.fixture(scope="module")
def serving(tmp_path_factory) -> Iterator[live.Installation]:
    """One that runs, for tests that only ask it something."""
    with live.installation(tmp_path_factory.mktemp("serving")) as installed:
        installed.up("--no-worker")
        yield installed


def ask(admit: live.Installation, raw: bytes) -> bytes:
    """Everything that is answered to these bytes until the server ends the connection."""
    with socket.create_connection(("127.0.0.1", admit.port), timeout=20) as line:
        line.sendall(raw)
        return b"".join(iter(lambda: line.recv(65536), b""))


@contextlib.contextmanager
def flooded(admit: live.Installation) -> Iterator[None]:
    words = [sys.executable, "-m", "tests.support.flood", str(admit.port), HOOK]
    with subprocess.Popen(
        words, cwd=live.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as flood:
        assert flood.stdout is not None
        try:
            assert flood.stdout.readline() == b"flooding\n"
            yield
        finally:
            flood.terminate()


def sell(admit: live.Installation, first: int, count: int) -> list[float]:
    """Send sales, one after the other; how long each took. Each must be stored in time."""
    took = []
    for order in range(first, first + count):
        begun = time.monotonic()
        assert admit.sell(f"buyer{order}@example.com", order=order) == 200
        took.append(time.monotonic() - begun)
        time.sleep(0.05)
    assert max(took) < SENDER_SECONDS
    return sorted(took)


@pytest.mark.slow
def test_a_flood_of_passwords_and_slow_requests_keeps_no_sale_waiting(admit):
    running = admit.up("--no-worker", WEB_CONCURRENCY="2")
    calm = sell(admit, 1, 40)
    begin = f"POST {HOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\nhalf".encode()
    with socket.create_connection(("127.0.0.1", admit.port), timeout=30) as slow:
        slow.sendall(begin)
        with flooded(admit):
            time.sleep(1)
            under_flood = sell(admit, 100, 100)
            # Cut off at the deadline of a whole request, however often a byte comes.
            assert slow.recv(100).startswith(b"HTTP/1.1 408 ")
    # On a machine on which nothing else runs it is below 0.1 s, calm or not.
    assert under_flood[98] <= max(1.0, 10 * calm[-1])
    assert sell(admit, 300, 1)
    assert admit.request("GET", "/admin/login/")[0] == 200
    assert "slow_requests_cut" in running.output()
    assert running.terminate() == 0


def test_one_connection_may_ask_for_the_webhook_and_then_for_a_page(serving):
    line = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=20)
    for _ in range(2):
        line.request("POST", HOOK, SALE)
        answer = line.getresponse()
        assert (answer.status, answer.will_close) == (200, False)
        answer.read()
    line.request("GET", "/admin/login/")
    answer = line.getresponse()
    # The next one may be for the webhook again, and goes to its own processes.
    assert (answer.status, answer.will_close) == (200, True)
    assert b"</html>" in answer.read()


def test_a_request_arrives_whole_however_it_is_cut_into_pieces(serving):
    form = b"csrfmiddlewaretoken=x&username=a&password=" + b"b" * 300_000
    for path, body in ((HOOK, b'"' + b"a" * 300_000 + b'"'), ("/admin/login/", form)):
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        whole = head.encode() + b"Connection: close\r\n\r\n" + body
        with socket.create_connection(("127.0.0.1", serving.port), timeout=20) as line:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in (whole[:3], whole[3:9], whole[9:70], whole[70:200_000], whole[200_000:]):
                line.sendall(piece)
                time.sleep(0.02)
            # The form lacks its cookie; what matters is that somebody has read it.
            expected = b"HTTP/1.1 200 " if path == HOOK else b"HTTP/1.1 403 "
            assert line.recv(100).startswith(expected)


@pytest.mark.parametrize("path", [HOOK, "/admin/login/"])
def test_a_sender_that_waits_for_a_word_gets_it_once(serving, path):
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nExpect: 100-continue"
    with socket.create_connection(("127.0.0.1", serving.port), timeout=20) as line:
        line.sendall(head.encode() + b"\r\nContent-Length: 17\r\n\r\n")
        assert line.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.sendall(SALE)
        assert not line.recv(100).startswith(b"HTTP/1.1 100 ")
    much = head.encode() + b"\r\nContent-Length: 99999999\r\n\r\n"
    refused = b"HTTP/1.1 413 " if path == HOOK else b"HTTP/1.1 4"
    assert ask(serving, much).startswith(refused)


def test_an_answer_arrives_although_more_was_sent_than_is_read(serving):
    head = f"POST {HOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n".encode()
    assert ask(serving, head + b"a" * 3_000_000).startswith(b"HTTP/1.1 413 ")
    # A second request behind the first is not answered: the connection ends.
    twice = f"GET {HOOK} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 2
    assert ask(serving, twice).count(b"HTTP/1.1 ") == 1


def test_a_killed_page_process_costs_the_webhook_nothing_and_pages_wait(admit):
    running = admit.up("--no-worker")
    first = running.program("pages")
    os.killpg(first, signal.SIGKILL)
    assert admit.sell("dana@example.com") == 200
    assert running.program("web")
    # It waits in the sockets that `up` holds.
    assert admit.request("GET", "/healthz") == (200, "alive\n")
    assert running.program("pages") != first
    said = running.output()
    assert "pages_died" in said
    assert "web_died" not in said
    assert running.terminate() == 0


def test_killed_processes_of_the_webhook_cost_what_they_held_and_no_more(admit):
    running = admit.up("--no-worker")
    main = running.program("web")
    begin = f"POST {HOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(SALE)}\r\n\r\n".encode()

    def held() -> socket.socket:
        """A request that a process holds: it has asked for the body."""
        line = socket.create_connection(("127.0.0.1", admit.port), timeout=20)
        line.sendall(begin.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        assert line.recv(100).startswith(b"HTTP/1.1 100 ")
        return line

    with held() as line:
        (worker,) = live.children(main)
        os.kill(worker.pid, signal.SIGKILL)
        with contextlib.suppress(ConnectionResetError):
            assert line.recv(100) == b""
    assert admit.sell("dana@example.com") == 200
    # Without their main process they finish what they hold.
    with held() as line:
        os.kill(main, signal.SIGKILL)
        line.sendall(SALE)
        assert line.recv(100).startswith(b"HTTP/1.1 200 ")
    assert admit.sell("eve@example.com", order=2) == 200
    live.until(lambda: running.program("web") != main, what="another web server")
    assert len(admit.events()) == 3
    assert running.terminate() == 0


def test_the_oldest_of_too_many_unfinished_requests_is_cut_off_and_sales_go_on(serving):
    head = f"POST {HOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:

        def begin(data: bytes) -> socket.socket:
            line = stack.enter_context(socket.create_connection(("127.0.0.1", serving.port)))
            line.settimeout(20)
            with contextlib.suppress(OSError):  # it is cut off while it is sent
                line.sendall(data)
            return line

        # By number, and by what they hold in memory.
        for first, *_ in (
            [begin(b"P") for _ in range(510)],
            [begin(head + b"a" * 900_000) for _ in range(45)],
        ):
            with contextlib.suppress(ConnectionResetError):
                assert first.recv(100).startswith(b"HTTP/1.1 503 ")
            assert serving.sell("dana@example.com") == 200


def pages_answer(admit: live.Installation) -> bool:
    return ask(admit, PAGE).startswith(b"HTTP/1.1 200 ")


@pytest.mark.slow
def test_pages_that_nobody_takes_in_time_are_refused_and_sales_go_on(admit):
    running = admit.up("--no-worker", WEB_CONCURRENCY="1")
    (pages,) = live.children(running.program("pages"))
    os.kill(pages.pid, signal.SIGSTOP)
    try:
        with contextlib.ExitStack() as lines:
            # So large that a few of them fill what lies between the processes.
            large = PAGE.replace(b"\r\n\r\n", b"\r\nX-Padding: " + b"x" * 50_000 + b"\r\n\r\n")
            for _ in range(20):
                line = lines.enter_context(socket.create_connection(("127.0.0.1", admit.port), 60))
                line.sendall(large)
            assert admit.sell("dana@example.com") == 200
            assert line.recv(100).startswith(b"HTTP/1.1 503 ")
    finally:
        os.kill(pages.pid, signal.SIGCONT)
    live.until(lambda: pages_answer(admit), what="a page")
    assert running.terminate() == 0


def test_a_page_process_without_a_free_descriptor_takes_connections_later(admit):
    running = admit.up("--no-worker", WEB_CONCURRENCY="1")
    assert pages_answer(admit)
    (pages,) = live.children(running.program("pages"))
    most = resource.prlimit(pages.pid, resource.RLIMIT_NOFILE)
    used = {int(each.name) for each in Path(f"/proc/{pages.pid}/fd").iterdir()}
    free = next(number for number in itertools.count() if number not in used)
    resource.prlimit(pages.pid, resource.RLIMIT_NOFILE, (free, most[1]))
    with socket.create_connection(("127.0.0.1", admit.port), timeout=60) as line:
        line.sendall(PAGE)
        assert admit.sell("dana@example.com") == 200
        resource.prlimit(pages.pid, resource.RLIMIT_NOFILE, most)
        assert line.recv(100).startswith(b"HTTP/1.1 200 ")
    assert "page_connections_lost" not in running.output()
    assert running.terminate() == 0
