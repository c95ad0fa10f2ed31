"""The address of the database of a test, for the programs that it starts."""

import os
from urllib.parse import urlsplit

from django.db import connection


def database_url() -> str:
    """The test's own database, as the DATABASE_URL of another program."""
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
