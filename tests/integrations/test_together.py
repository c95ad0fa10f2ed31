"""Several threads write at once: on SQLite with one commit, and each for itself all the same."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import DatabaseError, IntegrityError, connection, connections

from integrations import queries, together
from integrations.models import Customer, ThinkificUser

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def behind_a_slow_one(*works: Callable[[], object]) -> Iterator[list[Future[object]]]:
    """What became of works that all came while another thread was writing."""
    writing, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        writing.set()
        go_on.wait(10)

    def in_thread(work: Callable[[], object]) -> object:
        try:
            return together.write(work)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(works) + 1) as pool:
        first = pool.submit(in_thread, slow)
        writing.wait(10)
        written = [pool.submit(in_thread, work) for work in works]
        while connection.vendor == "sqlite" and len(together._waiting) < len(works):
            threading.Event().wait(0.001)
        go_on.set()
        first.result(10)
        yield written


def buyer(email: str) -> Callable[[], int]:
    """Writes a customer; gives the thread that did it."""

    def write() -> int:
        queries.insert(Customer(email=email, email_as_sent=email))
        return threading.get_ident()

    return write


def emails() -> list[str]:
    return list(Customer.objects.order_by("email").values_list("email", flat=True))


def test_what_waits_together_is_written_by_one_thread_on_sqlite():
    with behind_a_slow_one(*[buyer(f"{name}@example.com") for name in "abc"]) as written:
        threads = {each.result(10) for each in written}
    assert len(threads) == (1 if connection.vendor == "sqlite" else 3)
    assert emails() == ["a@example.com", "b@example.com", "c@example.com"]


def test_what_raises_leaves_nothing_and_spoils_no_other():
    def breaks() -> None:
        buyer("half@example.com")()
        raise LookupError("lease lost")

    def refused() -> None:
        buyer("a@example.com")()  # there is one already

    with behind_a_slow_one(buyer("a@example.com"), breaks, buyer("c@example.com")) as written:
        assert isinstance(written[1].exception(10), LookupError)
        assert written[0].exception(10) is None
        assert written[2].exception(10) is None
    with behind_a_slow_one(refused, buyer("d@example.com")) as written:
        assert isinstance(written[0].exception(10), IntegrityError)
        assert written[1].exception(10) is None
    assert emails() == ["a@example.com", "c@example.com", "d@example.com"]


def test_what_refers_to_nothing_keeps_no_other_from_being_written():
    def dangling() -> None:
        # Keys are looked at when the transaction ends.
        queries.insert(ThinkificUser(integration_id=404, customer_id=404, user_id=1))

    with behind_a_slow_one(buyer("a@example.com"), dangling) as written:
        faults = [each.exception(10) for each in written]
    assert isinstance(faults[1], IntegrityError)
    assert faults[0] is None
    assert emails() == ["a@example.com"]


def test_alone_it_is_a_transaction_like_any_other():
    assert together.write(buyer("a@example.com")) == threading.get_ident()

    def breaks() -> None:
        buyer("half@example.com")()
        raise LookupError

    with pytest.raises(LookupError):
        together.write(breaks)
    assert emails() == ["a@example.com"]


def test_what_a_full_disk_undid_is_told_to_all_of_it():
    def fills_the_disk() -> None:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA page_count")
            (pages,) = cursor.fetchone()
            cursor.execute(f"PRAGMA max_page_count = {pages}")
            try:
                buyer("much@example.com" + "x" * 1_000_000)()
            finally:
                cursor.execute("PRAGMA max_page_count = 1073741823")

    if connection.vendor != "sqlite":
        pytest.skip("only SQLite writes them together")
    works = buyer("a@example.com"), fills_the_disk, buyer("c@example.com")
    with behind_a_slow_one(*works) as written:
        faults = [each.exception(10) for each in written]
    assert emails() == []
    assert [isinstance(fault, DatabaseError) for fault in faults] == [True, True, True]
