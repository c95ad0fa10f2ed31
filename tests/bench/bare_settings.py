"""Settings of the floor: Admit's database and web server, and nothing else of it."""

from config.settings import DATABASES, SECRET_KEY, WEB_CONCURRENCY

__all__ = ["DATABASES", "SECRET_KEY", "WEB_CONCURRENCY"]

ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS: list[str] = []
MIDDLEWARE: list[str] = []
ROOT_URLCONF = "tests.bench.bare"
USE_TZ = True
# The web server reads no longer body than this before a thread sees it.
WEBHOOK_MAX_BYTES = 1024 * 1024
