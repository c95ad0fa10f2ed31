"""Settings of the floor: Admit's database and web server, and nothing else of it."""

from typing import Any

from config.settings import *  # noqa: F403 - the web server reads some of them

ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS: list[str] = []
LOGGING: dict[str, Any] = {}
MIDDLEWARE: list[str] = []
ROOT_URLCONF = "tests.bench.bare"
