"""`manage.py demo` shows its story, touches nothing real and leaves nothing behind."""

import contextlib
import re
import shlex
import socket
import subprocess
from pathlib import Path

import pytest
import requests
from django.urls import reverse

from config import demonstration
from integrations.notify_url import signature
from integrations.notify_url.sample_receiver import SampleReceiver
from integrations.thinkific.sandbox import Fault
from tests.support import live

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="looks at processes in Linux' /proc"
)
BANNER = "This is a demo."


@pytest.mark.slow
def test_demo_once_tells_each_step_and_leaves_the_real_database_alone(tmp_path):
    real = tmp_path / "real.sqlite3"
    real.write_bytes(b"the real one")
    with live.installation(tmp_path, seeded=False) as admit, contextlib.ExitStack() as taken:
        with contextlib.suppress(OSError):  # then somebody else has taken it, as well
            taken.enter_context(socket.create_server(("127.0.0.1", 8000)))
        ended = admit.manage("demo", "--once", DATABASE_URL=f"sqlite:///{real}")
    assert (ended.returncode, ended.stderr) == (0, "")
    told = [
        "This is a demo",
        "1. Art Academy is connected",
        "Refund desk, a Notify URL, is connected",
        "Rule: Product Purchased",
        "2. SamCart sends: Product Purchased",
        "The webhook stored it and answered 200",
        "Create Course Enrollment: Done.",
        "POST /enrollments -> 201",
        "Dana has Watercolor for Beginners",
        "3. SamCart sends: Product Refunded",
        "Expire Course Enrollment: Done.",
        "Send HTTP POST: Done.",
        "POST /hook -> 204",
        "Dana does not have Watercolor for Beginners",
        "The receiver has the refund as SamCart sent it, signed by Admit.",
        "All of it is right.",
    ]
    places = [ended.stdout.find(text) for text in told]
    assert -1 not in places, ended.stdout
    assert places == sorted(places)
    assert [file.name for file in tmp_path.iterdir()] == ["real.sqlite3"]
    assert real.read_bytes() == b"the real one"


@pytest.mark.slow
@needs_proc
def test_demo_serves_with_a_banner_until_sigterm_and_its_hint_works(tmp_path):
    real = tmp_path / "real.sqlite3"
    with live.installation(tmp_path, seeded=False, DATABASE_URL=f"sqlite:///{real}") as admit:
        running = admit.start("demo")
        live.until(lambda: "Ctrl-C stops" in running.output() or running.process.poll() is not None)
        said = running.output()
        assert "All of it is right." in said
        admin = re.search(r"Look at it: (http\S+)", said)
        password = re.search(r"e-mail demo@example.com, password (\S+)", said)
        assert admin, said
        assert password, said
        _banner_is_on_every_page(admin[1], password[1])

        hint = re.search(r"DATABASE_URL=(\S+) (.+) \\\n(.+)", said)
        assert hint, said
        # Only the database is the demo's: the keys are those of the installation.
        sent = subprocess.run(
            shlex.split(f"{hint[2]} {hint[3]}"),
            cwd=live.ROOT,
            env=admit.environment() | {"DATABASE_URL": hint[1]},
            capture_output=True,
            text=True,
            timeout=live.PATIENCE,
            check=False,
        )
        assert sent.returncode == 0, sent.stdout + sent.stderr
        assert "Site URL evening, key evening0demo" in said
        assert "Create Course Enrollment, Watercolor for Beginners: Done." in sent.stdout

        everybody = live.tree(running.pid)
        assert running.terminate() == 0, running.output()
        assert [process for process in everybody if process.alive()] == []
        assert not real.exists()


def _banner_is_on_every_page(admin: str, password: str) -> None:
    with requests.Session() as browser:
        browser.trust_env = False
        assert BANNER in browser.get(admin, timeout=20).text  # asks for the password
        form = {
            "username": "demo@example.com",
            "password": password,
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
            "next": "/admin/",
        }
        index = browser.post(f"{admin}login/", form, timeout=20)
        assert 'id="user-tools"' in index.text
        # Not those that switch the theme or the language, or end the session.
        paths = set(re.findall(r'href="/admin/([a-z][a-z_/-]*)"', index.text)) - {"jsi18n/"}
        assert len(paths) > 10
        for path in ["", "integrations/integration/add/?_popup=1", *paths]:
            page = browser.get(f"{admin}{path}", timeout=20)
            assert page.status_code == 200
            assert BANNER in page.text, path


def test_a_real_installation_has_no_banner(client, db):
    assert BANNER not in client.get(reverse("admin:login")).text


@pytest.mark.parametrize("refuses", ["school", "receiver"])
def test_the_story_is_not_right_when_one_side_refuses(sandbox, live_server, settings, refuses):
    settings.PUBLIC_URL = live_server.url
    settings.ALLOW_PRIVATE_NOTIFY_URLS = True
    said: list[str] = []
    with SampleReceiver() as receiver:
        story = demonstration.Story(sandbox, receiver, say=said.append)
        story.set_the_scene()
        assert story.right is None
        if refuses == "school":
            sandbox.faults.add(Fault("status", status=422, path="/enrollments"))
        else:
            receiver.secret = signature.new_secret()
        with live.working():
            story.tell()
    assert story.right is False
    assert said[-1] == "Something went wrong."
