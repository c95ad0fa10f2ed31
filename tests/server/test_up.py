"""`manage.py up` as people run it: real processes, real sockets, real signals."""

import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from config.management.commands import up
from events.models import Worker
from events.worker import scheduler
from integrations.thinkific.sandbox import SAMPLE_KEY, Fault, Sandbox, School
from tests.support import live
from tests.support.postgres import free_port

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="looks at processes in Linux' /proc"
)
# Of other tests' settings: where the tests run on PostgreSQL, one `up` does too.
SERVER = os.environ.get("DATABASE_URL", "")


@pytest.fixture
def school() -> Iterator[tuple[Sandbox, School]]:
    with live.school() as found:
        yield found


@pytest.fixture
def admit(tmp_path, school) -> Iterator[live.Installation]:
    sandbox, _ = school
    with live.installation(tmp_path, THINKIFIC_API_URL=sandbox.url) as installed:
        yield installed


@pytest.fixture
def admit_on_the_tests_database(tmp_path, school) -> Iterator[live.Installation]:
    sandbox, _ = school
    with contextlib.ExitStack() as stack:
        if SERVER.startswith("postgres"):
            opened = live.on_server(tmp_path, SERVER, THINKIFIC_API_URL=sandbox.url)
        else:
            opened = live.installation(tmp_path, THINKIFIC_API_URL=sandbox.url)
        yield stack.enter_context(opened)


@pytest.mark.each_database
def test_a_posted_purchase_is_enrolled_and_no_log_line_tells_a_secret(
    admit_on_the_tests_database, school
):
    admit, (sandbox, acme) = admit_on_the_tests_database, school
    running = admit.up()
    assert admit.sell("dana@example.com") == 200
    live.until(lambda: live.has_access(acme, "dana@example.com"), what=running.output())

    wrong = "a-secret-that-somebody-guessed-wrong"
    assert admit.sell("eve@example.com", secret=wrong) == 404
    assert admit.request("GET", f"/hooks/samcart/{live.HOOK_SECRET}/")[0] == 405
    assert admit.request("GET", f"/admin/{live.HOOK_SECRET}/?q=dana@example.com")[0] in {302, 404}
    # Gunicorn itself complains of these two, and quotes the second.
    for line in ("GET / HTTP/7.0", f"POST /hooks/samcart/{live.HOOK_SECRET}/"):
        with socket.create_connection(("127.0.0.1", admit.port), timeout=20) as raw:
            raw.sendall(f"{line}\r\nHost: x\r\n\r\n".encode())
            assert b"400" in raw.recv(1000) or b"505" in raw.recv(1000)
    sandbox.faults.add(Fault("status", status=422, times=1, method="POST"))
    assert admit.sell("fred@example.com", order=2) == 200
    sandbox.faults.add(Fault("reset", times=1))
    assert admit.sell("gina@example.com", order=3) == 200
    live.until(lambda: len(sandbox.calls) >= 4, what=running.output())

    everybody = live.tree(running.pid)
    # Web and pages with a worker each; main, sentinel, a worker or two, two more.
    assert len(everybody) >= 8
    assert running.terminate() == 0, running.output()
    assert [process for process in everybody if process.alive()] == []
    said = running.output()
    assert "run_ended" in said
    assert "Invalid HTTP request line: 'POST /hooks/" in said
    told = [live.HOOK_SECRET, wrong, SAMPLE_KEY, live.ENCRYPTION_KEY, "@example.com", "password"]
    assert [secret for secret in told if secret in said] == []
    assert "Traceback" not in said


def test_what_was_counted_of_unknown_addresses_is_told_at_the_end(admit):
    running = admit.up("--no-worker")
    for _ in range(9):
        assert admit.sell("dana@example.com", secret="nobody-knows-this-secret-of-ours") == 404
    assert running.terminate() == 0, running.output()
    told = re.findall(r"hook_address_unknown count=(\d+)", running.output())
    assert sum(map(int, told)) == 9


@pytest.mark.slow
def test_sigterm_finishes_the_run_under_way(admit, school):
    sandbox, acme = school
    running = admit.up()
    sandbox.switches.latency = 0.8
    assert admit.sell("dana@example.com") == 200
    live.until(lambda: sandbox.calls, what=running.output())
    assert admit.sell("late@example.com", order=2) == 200
    assert running.terminate() == 0, running.output()
    assert live.has_access(acme, "dana@example.com")
    late, dana = admit.events()
    assert (dana["status"], dana["runs"][0]["attempts"]) == ("done", 1)
    # What came after that is kept, whether it was read or not.
    assert late["status"] in {"waiting", "done"}
    status = json.loads(admit.manage("status", "--json").stdout)
    assert 0 <= status["worker_seen_seconds"] < live.PATIENCE
    with pytest.raises(OSError, match="refused"):
        admit.sell("too.late@example.com")


@pytest.mark.parametrize("first", [[], ["web", "pages", "cluster"]])
def test_sigkill_of_up_takes_everybody_along(admit, first: list[str]):
    running = admit.up()
    live.until(lambda: len(live.tree(running.pid)) >= 9, what="the cluster")
    everybody = live.tree(running.pid)
    # Even when the main processes that held the leash went first.
    for pid in [running.program(name) for name in first]:
        os.kill(pid, signal.SIGKILL)
    running.process.kill()
    live.until(lambda: not any(each.alive() for each in everybody), seconds=2, what="the end")


@pytest.mark.slow
def test_a_killed_web_server_is_back_and_nobody_was_refused_meanwhile(admit, school):
    _, acme = school
    running = admit.up("--workers", "1")
    first = running.program("web")
    # All of it at once: a process that had taken the connection could not answer it anymore.
    os.killpg(first, signal.SIGKILL)
    assert admit.sell("dana@example.com") == 200  # waits in the socket that `up` holds
    assert running.program("web") != first
    live.until(lambda: live.has_access(acme, "dana@example.com"), what=running.output())
    assert "web_died" in running.output()
    assert running.terminate() == 0


@pytest.mark.slow
def test_web_and_workers_may_be_two_commands(admit, school):
    _, acme = school
    web = admit.up("--no-worker")
    assert admit.sell("dana@example.com") == 200
    (waiting,) = admit.events()
    assert (waiting["status"], waiting["id"], waiting["trigger"]) == ("waiting", None, None)
    workers = admit.up("--no-web", "--workers", "1")
    live.until(lambda: live.has_access(acme, "dana@example.com"), what=workers.output())
    serving = [web.program("web"), web.program("pages")]
    assert [process.pid for process in live.children(web.pid)] == serving
    assert [process.pid for process in live.children(workers.pid)] == [workers.program("cluster")]
    assert (web.terminate(), workers.terminate()) == (0, 0)


@pytest.mark.slow
def test_a_cluster_that_lost_a_process_is_healed_and_goes_on(admit, school):
    sandbox, acme = school
    running = admit.up(
        HEARTBEAT_TIMEOUT="3",
        LEASE_SECONDS="3",
        RETRY_DELAYS="1,1,1,1,1",
        WORKER_PROCESSES="2",
    )

    def buys(name: str) -> None:
        assert admit.sell(f"{name}@example.com") == 200
        live.until(lambda: live.has_access(acme, f"{name}@example.com"), what=running.output())

    def cluster() -> tuple[int, int, list[int]]:
        """Main, sentinel, and the sentinel's children in the order of their start."""

        def complete() -> tuple[int, int, list[int]] | None:
            main = running.program("cluster")
            for sentinel in live.children(main):
                below = [each.pid for each in live.children(sentinel.pid)]
                if len(below) == 4:
                    return main, sentinel.pid, below
            return None

        found: tuple[int, int, list[int]] = live.until(complete, what="a whole cluster")
        return found

    buys("first")
    main, _, (one, two, *_) = cluster()
    # One of the two waits for work and holds the queue's semaphore; it never comes back.
    for pid in (one, two):
        os.kill(pid, signal.SIGKILL)
    buys("workers")
    main, sentinel, _ = cluster()
    os.kill(sentinel, signal.SIGKILL)
    buys("sentinel")
    main, _, _ = cluster()
    # With a run under way: its lease ends, and it is taken up again.
    sandbox.faults.add(Fault("black_hole", times=1))
    calls = len(sandbox.calls)
    assert admit.sell("main@example.com") == 200
    live.until(lambda: len(sandbox.calls) > calls, what=running.output())
    os.kill(main, signal.SIGKILL)
    live.until(lambda: live.has_access(acme, "main@example.com"), what=running.output())
    assert running.program("cluster") != main
    assert len(acme.users) == 4
    assert running.terminate() == 0, running.output()


@pytest.mark.django_db
def test_clusters_of_long_ago_are_forgotten_and_later_ones_tell_when_a_worker_was_seen():
    now = timezone.now()
    for hours in (1, 23, 25, 900):
        ago = now - timedelta(hours=hours)
        Worker.objects.create(name=f"seen {hours}", seen_at=ago, started_at=ago)
        Worker.objects.create(name=f"never seen {hours}", started_at=ago)
    scheduler.forget_old()
    assert set(Worker.objects.values_list("name", flat=True)) == {
        "seen 1",
        "seen 23",
        "never seen 1",
        "never seen 23",
    }


def test_up_says_that_the_database_is_not_migrated(tmp_path):
    with live.installation(tmp_path, seeded=False) as admit:
        ended = admit.manage("up", "--bind", f"127.0.0.1:{admit.port}")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "run manage.py migrate" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_in_use_is_said_plainly_and_ends_with_1(tmp_path):
    with (
        live.installation(tmp_path) as admit,
        socket.create_server(("127.0.0.1", admit.port)),
    ):
        ended = admit.manage("up", "--bind", f"127.0.0.1:{admit.port}")
    assert ended.returncode == 1
    assert f"Admit cannot listen on 127.0.0.1:{admit.port}" in ended.stderr
    assert "choose another port with --bind" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--no-web", "--no-worker"], "Nothing is left to run"),
        (["--workers", "0"], "--workers takes a whole number"),
        (["--workers", "-1"], "--workers takes a whole number"),
        (["--bind", "8000"], "--bind takes HOST:PORT"),
        (["--bind", "localhost:"], "--bind takes HOST:PORT"),
        (["--bind", ":8000"], "--bind takes HOST:PORT"),
        (["--bind", "127.0.0.1:0"], "--bind takes HOST:PORT"),
        (["--bind", "127.0.0.1:70000"], "--bind takes HOST:PORT"),
        (["--bind", "127.0.0.1:" + "9" * 5000], "--bind takes HOST:PORT"),
    ],
)
def test_wrong_options_are_said_plainly_and_end_with_2(options: list[str], says: str):
    with pytest.raises(CommandError, match=says) as refused:
        call_command("up", *options)
    assert refused.value.returncode == 2


def test_options_that_cannot_be_read_end_with_2(tmp_path):
    with live.installation(tmp_path, seeded=False) as admit:
        ended = admit.manage("up", "--workers", "many")
    assert ended.returncode == 2
    assert "invalid int value" in ended.stderr


def test_a_host_that_is_not_ours_is_said_plainly():
    with pytest.raises(CommandError, match=r"cannot listen on 192\.0\.2\.1:8000") as refused:
        up.listen("192.0.2.1", 8000)
    assert refused.value.returncode == 1


def test_a_bracketed_address_is_of_ip_version_6():
    assert up.host_and_port("[::1]:8000") == ("::1", 8000)
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        with up.listen("::1", free_port()) as listener:
            assert listener.family == socket.AF_INET6
    except CommandError:
        pytest.skip("no IPv6 here")


def test_without_a_worker_up_itself_looks_for_what_is_wrong(admit):
    running = admit.up("--no-worker", LEASE_SECONDS="3")

    def looked() -> int:
        with sqlite3.connect(admit.database.removeprefix("sqlite:///")) as database:
            return int(database.execute("SELECT count(*) FROM events_alertround").fetchone()[0])

    live.until(looked, what=running.output())
    assert running.terminate() == 0
