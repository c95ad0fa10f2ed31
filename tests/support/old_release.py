"""The database of an earlier release of Admit, for tests that upgrade it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from tests.support import prepared

OURS = {"admit", "events", "integrations", "rules"}


@contextmanager
def database(folder: Path, *state: tuple[str, str]) -> Iterator[Any]:
    """Return the models as of these migrations, on a database without later migrations of ours.

    Meanwhile everything in this process uses that database. The usual one stays as it is.
    """
    with _empty(folder):
        executor = MigrationExecutor(connection)
        others = [leaf for leaf in executor.loader.graph.leaf_nodes() if leaf[0] not in OURS]
        executor.migrate([*others, *state])
        yield executor.loader.project_state(list(state)).apps


def upgrade() -> Any:
    """Migrate to the newest version; return the models as of the last migration."""
    executor = MigrationExecutor(connection)
    return executor.migrate(executor.loader.graph.leaf_nodes()).apps


@contextmanager
def _empty(folder: Path) -> Iterator[None]:
    if connection.vendor == "sqlite":
        with _in_place_of_the_usual(str(folder / "old.sqlite3")):
            yield
        return
    server, name = os.environ["DATABASE_URL"], f"{connection.settings_dict['NAME']}_old"
    with psycopg.connect(server, autocommit=True) as opened:
        opened.execute(f"CREATE DATABASE {name}")
    try:
        with _in_place_of_the_usual(name):
            yield
    finally:
        prepared.drop(server, name)


@contextmanager
def _in_place_of_the_usual(name: str) -> Iterator[None]:
    usual = connection.settings_dict["NAME"]
    _use(name)
    try:
        yield
    finally:
        _use(usual)


def _use(name: str) -> None:
    connection.close()
    connection.settings_dict["NAME"] = name
    # It remembers IDs of the other database.
    ContentType.objects.clear_cache()
