"""Production settings: Django's own check of them, cookies, redirects, passwords."""

import os
import subprocess
import sys

import pytest
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from tests.support import live

HTTPS = {"PUBLIC_URL": "https://admit.example.com"}
ASKS = """
import django
from django.conf import settings
from django.core.management import call_command
from django.test import Client
django.setup()
call_command("check", deploy=True, fail_level="WARNING")
settings.ALLOWED_HOSTS.append("testserver")
secure = Client(headers={"X-Forwarded-Proto": "https"}).get("/admin/login/")
plain = Client(headers={"X-Forwarded-Proto": "http"}).get("/admin/login/?next=/admin/")
hook = Client(headers={"X-Forwarded-Proto": "http"}).get("/healthz")
print(secure.status_code, secure["Strict-Transport-Security"])
print([(c.key, c["secure"], c["path"], c["domain"], c["samesite"])
       for c in secure.cookies.values()], settings.SESSION_COOKIE_NAME)
print(plain.status_code, plain["Location"], hook.status_code)
"""


def run(*words: str, **more: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = kept | {
        "ADMIT_ENV_FILE": os.devnull,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "SECRET_KEY": "only-for-tests-of-the-settings-" + "0123456789abcdef" * 3,
        "FIELD_ENCRYPTION_KEYS": live.ENCRYPTION_KEY,
        "DATABASE_URL": "sqlite:////nonexistent/admit.sqlite3",
        **more,
    }
    return subprocess.run(
        [sys.executable, *words],
        cwd=live.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_djangos_check_of_a_deployment_has_nothing_to_say_and_pages_are_sent_by_https(tmp_path):
    ended = run("-c", ASKS, DATABASE_URL=f"sqlite:///{tmp_path}/admit.sqlite3", **HTTPS)
    assert ended.returncode == 0, ended.stderr
    check, secure, cookies, plain = ended.stdout.splitlines()
    assert check == "System check identified no issues (1 silenced)."
    assert secure == "200 max-age=31536000; includeSubDomains"
    assert cookies == "[('__Host-csrftoken', True, '/', '', 'Lax')] __Host-sessionid"
    assert plain == "301 https://admit.example.com/admin/login/?next=/admin/ 200"


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("fourteen chars", "password_too_short"),
        ("samcart-password-12345", "own_words"),
        ("SamCart-Thinkific-Admit", "own_words"),
        ("aaaaaaaaaaaaaaaaaaaa", ""),
        ("4815162342108151623", ""),
        ("пароль из многих слов", ""),
        ("x" * 64 + " and more " + "y" * 64, ""),
    ],
)
def test_a_password_is_long_and_of_any_signs(password: str, code: str):
    found = ""
    try:
        validate_password(password)
    except ValidationError as error:
        found = str(error.error_list[0].code)
    assert found == code
