"""The address of a test's database, for programs that the test starts."""

import os
from urllib.parse import urlsplit

from django.db import connection


def database_url() -> str:
    """Return the test's own database as a DATABASE_URL for another program."""
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
