"""Checks Dockerfile, compose.yaml and the systemd unit as far as possible without an engine."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from config import __version__
from config.staff import people
from tests.support.live import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
MOST_EXPOSED = 3.0


def steps() -> list[tuple[str, str]]:
    """Each instruction of the Dockerfile with the rest of its line."""
    lines = [line for line in DOCKERFILE.splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [
        (word, rest.strip()) for word, _, rest in (x.partition(" ") for x in joined.split("\n"))
    ]


def test_the_image_holds_the_program_and_starts_it_without_root(tmp_path):
    """The COPY steps of the last stage, and the command, by a user's own hand."""
    allowed = [
        line[1:]
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    ]
    for word, rest in steps():
        if word == "COPY" and "--from" not in rest:
            *sources, target = shlex.split(rest)
            for source in sources:
                assert source in allowed, source
                here, there = ROOT / source, tmp_path / target
                if here.is_dir():
                    shutil.copytree(here, there, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(here, tmp_path)
    env = {
        "PATH": "/usr/bin:/bin",
        "SECRET_KEY": "x" * 40,
        "DATABASE_URL": "sqlite:///var/a.sqlite3",
    }
    env["FIELD_ENCRYPTION_KEYS"] = "dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk="
    command = [sys.executable, "manage.py", "check", "--deploy", "--tag", "models"]
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    users = [rest for word, rest in steps() if word == "USER"]
    assert users == ["admit"]
    assert not any(fnmatch(".env", pattern) for pattern in allowed)


def test_each_shell_step_of_the_dockerfile_is_well_formed():
    for word, rest in steps():
        if word == "RUN":
            subprocess.run(["sh", "-n", "-c", rest], check=True)
        if word in {"CMD", "ENTRYPOINT"}:
            assert isinstance(json.loads(rest), list)


def test_the_client_of_postgresql_is_of_the_version_of_the_server():
    client = re.search(r"postgresql-client-(\d+)", DOCKERFILE)
    image = COMPOSE["services"]["postgres"]["image"]
    assert client is not None
    assert image.startswith(f"postgres:{client[1]}-")


def test_admit_in_compose_may_write_its_volume_alone_and_has_no_privileges():
    services, volumes = COMPOSE["services"], COMPOSE["volumes"]
    admit = services["admit"]
    assert admit["read_only"] is True
    assert admit["cap_drop"] == ["ALL"]
    assert admit["volumes"] == ["admit:/opt/admit/var"]
    assert "ports" not in admit
    assert "ports" not in services["postgres"]
    for service in services.values():
        assert "no-new-privileges:true" in service["security_opt"]
        named = [each.partition(":")[0] for each in service["volumes"]]
        assert all(name in volumes or (ROOT / name).exists() for name in named), named
    subnet = COMPOSE["networks"]["inside"]["ipam"]["config"][0]["subnet"]
    assert admit["environment"]["TRUSTED_PROXIES"] == subnet
    # `up` knows the words.
    assert set(admit["command"]) >= {"up", "--migrate"}


@pytest.mark.django_db
def test_the_first_account_of_the_guide_signs_in_by_e_mail_as_an_owner(monkeypatch):
    guide = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (arguments,) = re.findall(r"exec admit python manage\.py createsuperuser (.+)", guide)
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "correct horse battery staple")
    call_command("createsuperuser", *arguments.split(), "--no-input", verbosity=0)
    client = Client()
    typed = {"username": "You@example.com", "password": "correct horse battery staple"}
    assert client.post("/admin/login/", typed).status_code == 302
    assert client.get("/admin/auth/user/").status_code == 200
    assert people.role_of(User.objects.get()) == people.OWNER


def test_each_setting_of_the_guide_for_containers_is_read_by_something():
    guide = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    part = guide.partition("## Containers")[2].partition("\n## ")[0]
    settings = (ROOT / "config" / "settings.py").read_text(encoding="utf-8")
    named = set(re.findall(r"^([A-Z_]+)=", part, re.MULTILINE))
    of_compose = {name for name in named if f'"{name}"' not in settings}
    assert of_compose == set(re.findall(r"\$\{([A-Z_]+):", (ROOT / "compose.yaml").read_text()))


def test_caddy_in_compose_differs_in_name_and_patience_alone():
    of_host, of_compose = (
        [
            line
            for line in (ROOT / "docs" / name).read_text(encoding="utf-8").splitlines()
            if not line.startswith("#")
        ]
        for name in ("Caddyfile", "Caddyfile.compose")
    )
    new = {
        "{$ADMIT_HOST} {",
        "\treverse_proxy admit:8000 {",
        "\t\tlb_try_duration 60s",
        "\t\tlb_try_interval 250ms",
    }
    assert set(of_compose) - set(of_host) == new


def test_compose_itself_takes_the_file():
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run([docker, "compose", "version"], capture_output=True).returncode
    ):
        pytest.skip("no docker compose here")
    env = {"POSTGRES_PASSWORD": "x", "ADMIT_HOST": "admit.example.com", "PATH": "/usr/bin:/bin"}
    command = [
        docker,
        "compose",
        "--env-file",
        "/dev/null",
        "config",
        "--quiet",
        "--no-env-resolution",
    ]
    ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_the_unit_of_systemd_is_exposed_little():
    analyze = shutil.which("systemd-analyze")
    unit = ROOT / "docs" / "admit.service"
    if analyze is None:
        pytest.skip("no systemd here")
    command = [
        analyze,
        "security",
        "--offline=true",
        f"--threshold={MOST_EXPOSED * 10:.0f}",
        str(unit),
    ]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout or ended.stderr
    text = unit.read_text(encoding="utf-8")
    for need in ("ReadWritePaths=/opt/admit/var", "AF_INET AF_INET6 AF_UNIX", "KillMode=mixed"):
        assert need in text


def test_the_version_is_written_once():
    written = [
        path.relative_to(ROOT)
        for path in [ROOT / "manage.py", ROOT / "pyproject.toml", *(ROOT / "config").rglob("*.py")]
        if f'"{__version__}"' in path.read_text(encoding="utf-8")
    ]
    assert written == [Path("config/__init__.py")]
