"""Settings of the floor: Admit's database and web server, and nothing else."""

from config.settings import *  # noqa: F403 - the web server reads some of them

ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = []
LOGGING = {}
MIDDLEWARE = []
ROOT_URLCONF = "tests.bench.bare"
