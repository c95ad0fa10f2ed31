"""Settings of Admit, read from the environment and `.env` by django-environ.

A missing or malformed value stops the start with a sentence that names it.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from config import __version__, env_file, environment

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = __version__

# Databases and spooled events hold customers' data: no other user of the machine may read them.
# Set here because every command, web process and worker loads this file.
os.umask(0o077)

env_file.load()
env = environment.Reader()

SECRET_KEY = env.text("SECRET_KEY", at_least=20)
FIELD_ENCRYPTION_KEYS = env.fernet_keys("FIELD_ENCRYPTION_KEYS")
DEBUG = env.flag("DEBUG", default=False)
# The demo runs on loopback in a database of its own and says so on every page.
DEMO = env.flag("ADMIT_DEMO", default=False)

PUBLIC_URL = env.web_address("PUBLIC_URL", default="http://127.0.0.1:8000")
ALLOWED_HOSTS = [*env.words("ALLOWED_HOSTS", default="localhost,127.0.0.1,[::1]")]
ALLOWED_HOSTS.append(urlsplit(PUBLIC_URL).hostname or "")
# A form with a wrong CSRF token gets an error page in our layout.
CSRF_FAILURE_VIEW = "config.admin.errors.csrf_failure"
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS", default="")
if PUBLIC_URL.startswith("https://"):
    CSRF_TRUSTED_ORIGINS.append(PUBLIC_URL)
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    # Browsers accept a cookie with this prefix over https only, and from this host alone.
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
    # Requests that came by http are redirected to the public address; webhooks and probes never.
    SECURE_SSL_REDIRECT, SECURE_SSL_HOST = True, urlsplit(PUBLIC_URL).netloc
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = env.flag("HSTS_SUBDOMAINS", default=True)
# Preloading into browsers' own lists is the domain owner's decision.
SILENCED_SYSTEM_CHECKS = ["security.W021"]

# Proxies whose X-Forwarded-For is believed for the address of a sign-in.
TRUSTED_PROXIES = env.networks("TRUSTED_PROXIES", default="127.0.0.0/8,::1")
# A session ends after this long without use, and at the latest this long after sign-in.
SESSION_COOKIE_AGE = 3600 * env.whole("SESSION_IDLE_HOURS", default=8, at_least=1)
SESSION_MAX_AGE = 24 * 3600 * env.whole("SESSION_MAX_DAYS", default=14, at_least=1)
SESSION_ENGINE = "config.staff.session_store"
# Where people land after sign-in if they asked for no page of ours.
LOGIN_REDIRECT_URL = "admin:index"
# Not in a cookie: messages name customers.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
# When on, each person sets up a second factor right after the first password.
REQUIRE_SECOND_FACTOR = env.flag("REQUIRE_SECOND_FACTOR", default=False)

INSTALLED_APPS = [
    "events",
    "rules",
    "integrations",
    "django_q",
    "config.apps.AdmitAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django_otp",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    # Last, so that it can take back what others registered with the admin.
    "config.apps.AdmitConfig",
]

MIDDLEWARE = [
    "config.request_log.identify",
    "config.security.protect",
    # First: a redirect or a 400 by a later one would lose SamCart's only POST.
    "events.receiving.views.receive_first",
    "config.health.answer_first",
    "django.middleware.security.SecurityMiddleware",
    "config.static_files.send",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.gzip.GZipMiddleware",  # with random bytes, against BREACH
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "config.staff.sessions.watch",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "config.staff.acting.note_who_acts",
    "config.staff.preferences.use",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

# While an update migrates, the web server takes the webhook alone, without the database.
RECEIVE_ONLY = env.flag("ADMIT_RECEIVE_ONLY", default=False)
if RECEIVE_ONLY:
    first = MIDDLEWARE.index("events.receiving.views.receive_first") + 1
    MIDDLEWARE = [*MIDDLEWARE[:first], "config.health.only_receiving"]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "config.context_processors.about",
            ]
        },
    }
]

# The Alerts page sets who hears of which problems.
_mail = env.mail_server("EMAIL_URL")
EMAIL_HOST = _mail["EMAIL_HOST"]
EMAIL_PORT = _mail.get("EMAIL_PORT") or 25
EMAIL_HOST_USER = _mail.get("EMAIL_HOST_USER") or ""
EMAIL_HOST_PASSWORD = _mail.get("EMAIL_HOST_PASSWORD") or ""
EMAIL_USE_TLS = bool(_mail.get("EMAIL_USE_TLS"))
EMAIL_USE_SSL = bool(_mail.get("EMAIL_USE_SSL"))
EMAIL_SECONDS = 10.0
DEFAULT_FROM_EMAIL = env.text(
    "DEFAULT_FROM_EMAIL", default=f"Admit <admit@{urlsplit(PUBLIC_URL).hostname}>"
)

LEASE_SECONDS = env.whole("LEASE_SECONDS", default=90, at_least=3)
# Call < task < lease < queue retry. A short lease, as in tests, shortens the others alike.
_scale = min(1.0, LEASE_SECONDS / 90)
CALL_DEADLINE_SECONDS = 20 * _scale
TASK_SECONDS = max(2, round(60 * _scale))
QUEUE_RETRY_SECONDS = max(LEASE_SECONDS + 1, round(300 * _scale))
LOCK_SECONDS = max(1.0, 10 * _scale)
# Seconds between looks for problems.
ALERT_SECONDS = max(1.0, 60 * _scale)

DATABASES: dict[str, dict[str, Any]] = {
    "default": env.database(
        "DATABASE_URL", default=BASE_DIR / "var" / "admit.sqlite3", lock_seconds=LOCK_SECONDS
    )
}
# A delivery that the database does not store within this many seconds goes to the spool.
STORE_SECONDS = 3.0
# Seconds for which /readyz repeats its last answer.
READY_SECONDS = 1.0
SPOOL_DIR = env.folder("SPOOL_DIR", default=BASE_DIR / "var" / "spool")
# Keyed hashes of erased people, outside the database: a restored database does not have them.
ERASED_FILE = env.folder("ERASED_FILE", default=BASE_DIR / "var" / "erased.jsonl")
# Where `manage.py backup` puts its files.
BACKUP_DIR = env.folder("BACKUP_DIR", default=BASE_DIR / "var" / "backups")
# The time at which `manage.py up` makes a backup each day; None for never.
BACKUP_AT = env.clock("BACKUP_AT")
# Days and weeks: the newest backup of each of the last ones is kept.
BACKUP_KEEP = env.pair("BACKUP_KEEP", default="7,4")
BACKUP_RECIPIENT = env.recipients("BACKUP_RECIPIENT")
# /readyz reports a disk that Admit writes to when less than this is free on it.
READY_FREE_MB = env.whole("READY_FREE_MB", default=100, at_least=0)
# Reserved on the disks that Admit writes to, and freed when one is full; 0 reserves nothing.
BALLAST_MB = env.whole("BALLAST_MB", default=64, at_least=0)
# Callers with this token may read /metrics; without one there is no such page.
METRICS_TOKEN = env.token("METRICS_TOKEN")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# When on, new passwords are looked up at the URL below, by five characters of their digest.
CHECK_BREACHED_PASSWORDS = env.flag("CHECK_BREACHED_PASSWORDS", default=False)
BREACHED_PASSWORDS_URL = env.web_address(
    "BREACHED_PASSWORDS_URL", default="https://api.pwnedpasswords.com", path=True
)
# As NIST SP 800-63B-4 and OWASP ASVS 5.0 ask: long, not known to be stolen, any characters.
AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12 if REQUIRE_SECOND_FACTOR else 15},
    },
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "config.staff.passwords.OwnWordsValidator"},
    *[{"NAME": "config.staff.passwords.BreachedPasswordValidator"}] * CHECK_BREACHED_PASSWORDS,
]

# Languages with a complete translation in config/locale/; each person chooses one.
LANGUAGES = [("en", "English"), ("es", "Español")]
# The language of mail to people who chose none, and of what no person asked for.
LANGUAGE_CODE = env.one_of("LANGUAGE_CODE", [code for code, _ in LANGUAGES])
# A function that takes a person and returns the code of the language to write in.
LANGUAGE_OF_PERSON = "config.staff.preferences.language_of"
LOCALE_PATHS = [BASE_DIR / "config" / "locale"]
TIME_ZONE = env.time_zone("TIME_ZONE", default="UTC")
USE_TZ = USE_I18N = True

STATIC_URL = "static/"
STORAGES = {"staticfiles": {"BACKEND": "config.static_files.FingerprintedStorage"}}
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SECURE_REFERRER_POLICY = "same-origin"

# The webhook accepts bodies up to 1 MiB; Django's own reading of forms stays at its default.
WEBHOOK_MAX_BYTES = 1024 * 1024

THINKIFIC_API_URL = env.web_address(
    "THINKIFIC_API_URL", default="https://api.thinkific.com/api/public/v1", path=True
)
THINKIFIC_CALLS_PER_MINUTE = env.whole("THINKIFIC_CALLS_PER_MINUTE", default=110, at_least=0)
THINKIFIC_TEXT_FIELD_TYPES = env.words("THINKIFIC_TEXT_FIELD_TYPES", default="text")
# When on, a Notify URL may use http:// and point to a private network or this machine.
ALLOW_PRIVATE_NOTIFY_URLS = env.flag("ALLOW_PRIVATE_NOTIFY_URLS", default=False)
# If access is to end more often at one site in an hour, the rest waits for a person; 0: off.
ENDINGS_AN_HOUR = env.whole("ENDINGS_AN_HOUR", default=100, at_least=0)
DELINQUENT_IS_CANCELED = env.flag("DELINQUENT_IS_CANCELED", default=True)
RETRY_DELAYS = env.seconds(
    "RETRY_DELAYS", default="0,30,120,600,1800,3600,10800,21600,43200,43200,86400,86400"
)
# Older rows are removed in small steps. Chargebacks come for up to half a year.
KEEP_PAYLOADS_DAYS = env.days("KEEP_PAYLOADS_DAYS", default=180)
KEEP_EXCHANGES_DAYS = env.days("KEEP_EXCHANGES_DAYS", default=90)
KEEP_EVENTS_DAYS = env.days("KEEP_EVENTS_DAYS", default=1095)
KEEP_AUDIT_DAYS = env.days("KEEP_AUDIT_DAYS", default=1095)
# Called at this interval while all is well; the service behind it alarms when the calls stop.
PING_URL = env.called_address("PING_URL")
PING_SECONDS = env.whole("PING_SECONDS", default=60, at_least=1)
# Once an hour Admit posts an event to its own public address and follows it.
CANARY = env.flag("CANARY", default=False)
CANARY_SECONDS = 60 * _scale
WEB_CONCURRENCY = env.whole("WEB_CONCURRENCY", default=2, at_least=1)
HEARTBEAT_TIMEOUT = env.whole("HEARTBEAT_TIMEOUT", default=60, at_least=3)
# With two, each commits for half as many calls at once, which takes a third more CPU (measured).
WORKER_PROCESSES = env.whole("WORKER_PROCESSES", default=1, at_least=1)
# Calls in flight in one process: a slow site must not keep others waiting.
WORKER_THREADS = 64
# django-q2 carries wake-ups only. These values were measured to serve them best: no second delivery
# of a task that runs, no endless repeat of one that fails, no stored results (they halve the
# throughput), and a queue no longer than there are workers.
Q_CLUSTER: dict[str, Any] = {
    "name": "admit",
    "workers": WORKER_PROCESSES,
    "timeout": TASK_SECONDS,
    "retry": QUEUE_RETRY_SECONDS,
    "queue_limit": WORKER_PROCESSES,
    "bulk": 1,
    "poll": 0,  # events.queue.broker waits instead
    "ack_failures": True,
    "max_attempts": 1,
    "save_limit": -1,
    "catch_up": False,
    "scheduler": False,
    "guard_cycle": 1,
    "recycle": 500,
    "log_level": "WARNING",
}
REDIS_URL = env.text("REDIS_URL", default="")
if REDIS_URL and not REDIS_URL.startswith(("redis://", "rediss://", "unix://")):
    raise ImproperlyConfigured("REDIS_URL must begin with redis://, rediss:// or unix://.")
if REDIS_URL:
    Q_CLUSTER |= {"redis": REDIS_URL}
else:
    Q_CLUSTER |= {"orm": "default", "broker_class": "events.queue.broker.Broker"}

# "line" for people, "json" for what collects logs: one object a line.
LOG_FORMAT = env.one_of("LOG_FORMAT", ["line", "json"])
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"hide_hook_secrets": {"()": "config.logging.HideHookSecrets"}},
    "formatters": {
        "line": {"()": "config.logging.LineFormatter"},
        "json": {"()": "config.logging.JsonFormatter"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": LOG_FORMAT,
            "filters": ["hide_hook_secrets"],
        }
    },
    # The demo prints its own story.
    "root": {"handlers": ["stderr"], "level": "WARNING" if DEMO else "INFO"},
    "loggers": {
        "django": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "django.request": {"level": "ERROR"},
        # It logs the path of each request, and a page's path may hold a search for an e-mail.
        "django.server": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        "django-q": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        # It quotes whole URLs, and a URL may hold an e-mail.
        "urllib3": {"level": "ERROR"},
    },
}
