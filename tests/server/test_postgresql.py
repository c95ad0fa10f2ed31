"""The database engine for PostgreSQL."""

import time

import pytest
from django.db import OperationalError, connection, transaction

LEASE_SECONDS = 1


@pytest.mark.django_db(transaction=True)
def test_the_server_ends_a_transaction_that_stands_still_for_longer_than_a_lease(settings):
    if connection.vendor != "postgresql":
        pytest.skip("is about PostgreSQL")
    settings.LEASE_SECONDS = LEASE_SECONDS
    connection.close()
    with pytest.raises(OperationalError, match="idle-in-transaction"):
        _stand_still()
    connection.close()


def _stand_still() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        time.sleep(1.5 * LEASE_SECONDS)
        cursor.execute("SELECT 1")
