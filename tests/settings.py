"""Admit's settings for tests: they read no .env, and call no address but loopback."""

import os
import tempfile

os.environ.update(
    {
        "ADMIT_ENV_FILE": os.devnull,
        "SECRET_KEY": "only-for-tests-" + "x" * 40,
        # Any 32 bytes will do: what the tests seal is made up.
        "FIELD_ENCRYPTION_KEYS": "dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk=",
        "PUBLIC_URL": "http://127.0.0.1:8000",
        "THINKIFIC_API_URL": "http://127.0.0.1:9/api/public/v1",
        "THINKIFIC_CALLS_PER_MINUTE": "0",
        "ERASED_FILE": f"{tempfile.gettempdir()}/admit-tests-erased-{os.getpid()}.jsonl",
        "BACKUP_DIR": f"{tempfile.gettempdir()}/admit-tests-backups-{os.getpid()}",
        # Created when something is spooled; every test that spools sets its own folder.
        "SPOOL_DIR": f"{tempfile.gettempdir()}/admit-tests-spool-{os.getpid()}",
    }
)
for name in ("REDIS_URL", "DEBUG", "TIME_ZONE", "RETRY_DELAYS", "LEASE_SECONDS"):
    os.environ.pop(name, None)

from config.settings import *  # noqa: E402, F403 - the environment comes first
from config.settings import INSTALLED_APPS as APPS_OF_ADMIT  # noqa: E402

# Its command `flush` empties the database after a test in real transactions.
INSTALLED_APPS = ["tests.support", *APPS_OF_ADMIT]
# Every test client starts the middleware, which would look for all static files each time.
WHITENOISE_AUTOREFRESH = True
# Each test asks /readyz of another installation.
READY_SECONDS = 0.0
# Real hashing is slow on purpose; tests that sign in need not wait for it.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
