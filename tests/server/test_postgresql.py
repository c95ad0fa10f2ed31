"""The database engine for PostgreSQL."""

import time
from collections.abc import Iterator

import pytest
from django.db import OperationalError, connection, transaction

LEASE_SECONDS = 1


@pytest.fixture
def short_lease(settings, transactional_db) -> Iterator[None]:
    if connection.vendor != "postgresql":
        pytest.skip("is about PostgreSQL")
    settings.LEASE_SECONDS = LEASE_SECONDS
    connection.close()
    yield
    connection.close()


def stand_still() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        time.sleep(1.5 * LEASE_SECONDS)
        cursor.execute("SELECT 1")


def test_the_server_ends_a_transaction_that_stands_still_for_longer_than_a_lease(short_lease):
    with pytest.raises(OperationalError, match="idle-in-transaction"), transaction.atomic():
        stand_still()


def test_a_migration_may_take_longer_than_a_lease_between_two_statements(short_lease):
    with connection.schema_editor():
        stand_still()
