"""The floor of carrying out: `python -m tests.bench.bare_calls FIRST SECONDS COMMITS`.

One process makes the calls of a run (create a user, enroll the user) through `requests` with
keep-alive. Before each pair of calls it makes that many commits of one small INSERT each. It
prints how many pairs of calls it made per second. No run can cost less; Admit also reads, decides
and records.
"""

import json
import os
import sys
import time
from collections.abc import Mapping

import requests
from django.db import connection, transaction

from tests.bench import bare, bodies


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.bench.bare_settings"
    import django

    django.setup()
    number, seconds, commits = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    start = time.monotonic()
    runs = 0
    with requests.Session() as session:
        session.trust_env = False
        session.headers.update(
            {"X-Auth-API-Key": os.environ["BENCH_KEY"], "X-Auth-Subdomain": "acme"}
        )
        while time.monotonic() - start < seconds:
            for _ in range(commits):
                commit()
            enroll(session, bodies.email(number + runs))
            runs += 1
    print(json.dumps({"per_second": runs / (time.monotonic() - start)}))


def commit() -> None:
    """Insert one row, in a transaction as Admit opens it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(bare.INSERT, [b"x" * 500])


def enroll(session: requests.Session, email: str) -> None:
    """Make the two calls for a new buyer."""
    person = {"first_name": "Dana", "last_name": "Example", "email": email}
    user = _post(session, "/users", person)
    _post(session, "/enrollments", {"course_id": 501, "user_id": user})


def _post(session: requests.Session, path: str, body: Mapping[str, object]) -> object:
    answer = session.post(os.environ["THINKIFIC_API_URL"] + path, json=body, timeout=20)
    if answer.status_code != 201:
        raise SystemExit(f"The sandbox answered {answer.status_code} to {path}.")
    return answer.json()["id"]


if __name__ == "__main__":
    main()
