"""`manage.py up` as a monitor sees it: log, metrics, ping, canary and ballast."""

import json
import re
from pathlib import Path

import pytest

from events.receiving import disk
from integrations.thinkific.sandbox import SAMPLE_KEY
from tests.support import live
from tests.support.receiver import Receiver

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="looks at processes in Linux' /proc"
)
TOKEN = "a-token-of-the-monitor-for-tests"
PLAIN = ("Admit serves ", "Ctrl-C stops it")


def said(*running: live.Running) -> dict[str, dict[str, object]]:
    """The newest line of each event; fails for a line that is no JSON."""
    lines = [line for each in running for line in each.output().splitlines()]
    found = [json.loads(line) for line in lines if not line.startswith(PLAIN)]
    return {line["event"]: line for line in found}


@pytest.mark.slow
def test_a_real_one_is_watched_from_all_sides(tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with (
        live.school() as (sandbox, acme),
        Receiver() as watch,
        live.installation(tmp_path) as admit,
    ):
        admit.env = {
            "THINKIFIC_API_URL": sandbox.url,
            "LOG_FORMAT": "json",
            "METRICS_TOKEN": TOKEN,
            "PING_URL": watch.url,
            "CANARY": "true",
            "BALLAST_MB": "1",
            "LEASE_SECONDS": "3",
            "TMPDIR": str(temporary),
        }
        web = admit.up("--no-worker")
        live.until(lambda: "canary_failed" in said(web), what=web.output())
        assert said(web)["canary_failed"]["step"] == "worker"
        workers = admit.up("--no-web", "--workers", "1")
        live.until(lambda: "canary_passed" in said(web, workers), what=workers.output())
        assert admit.sell("dana@example.com") == 200
        assert admit.sell("eve@example.com", secret="a-secret-that-does-not-exist-here") == 404
        # Its first attempt may have run out of time on a busy machine.
        live.until(lambda: live.has_access(acme, "dana@example.com"), what=workers.output())
        live.until(lambda: "run_ended" in said(workers), what=workers.output())
        status, metrics = admit.request(
            "GET", "/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        live.until(lambda: watch.requests, what=web.output())
        assert (tmp_path / "spool" / disk.FILE).stat().st_size == disk.MB
        # The canary is in no list, and all of it is gone.
        assert [event["email"] for event in admit.events()] == ["dana@example.com"]
        assert (web.terminate(), workers.terminate()) == (0, 0)
        assert list(temporary.iterdir()) == []
    assert status == 200
    answers = {
        code: float(n) for code, n in re.findall(r'answers_total{code="(\d+)"} (\S+)', metrics)
    }
    assert answers["200"] >= 2  # the sale, and a canary or more
    assert answers["404"] == 1
    assert re.search(r"admit_worker_heartbeat_age_seconds [\d.]+$", metrics, re.MULTILINE)
    lines = said(web, workers)
    assert lines["hook_address_unknown"]["client"] == "127.0.0.1"
    assert re.fullmatch("[0-9a-f]{16}", str(lines["hook_address_unknown"]["request_id"]))
    assert isinstance(lines["run_ended"]["run"], int)
    output = web.output() + workers.output()
    secrets = [live.HOOK_SECRET, "a-secret-that", SAMPLE_KEY, live.ENCRYPTION_KEY, TOKEN, watch.url]
    assert [secret for secret in [*secrets, "@example.com", "Dana"] if secret in output] == []
