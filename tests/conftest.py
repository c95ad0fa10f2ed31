"""Fixtures for all tests; tests/settings.py has their settings."""

import gc
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from integrations.thinkific.sandbox import Sandbox
from tests.support import live, prepared
from tests.support import shop as shops
from tests.support import world as worlds

# The programs that tests start run with Admit's own settings.
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"

DATABASE_FIXTURES = {"db", "transactional_db", "live_server"}


def pytest_xdist_auto_num_workers() -> int:
    """Return two for each core, because many tests wait for a program that they started.

    With more than four, making their databases takes longer than they save.
    """
    return min(2 * (os.cpu_count() or 1), 4)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--second-database",
        action="store_true",
        help="run what a second database may change, and what is left for it; not what one tells",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run tests with slow programs first, and drop what only the other database runs.

    Tests that wait for a program leave the processors to the other processes while those still have
    tests to run. Tests that use the database in this process keep pytest-django's order.
    """
    items.sort(key=lambda item: _uses_database(item) or not item.get_closest_marker("slow"))
    _drop_what_the_other_database_runs(config, items)


def pytest_collection_finish() -> None:
    """Collect garbage less often, and never look at objects that were loaded before the tests.

    With the usual thresholds a seventh of the tests' processor time goes into garbage collection.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _drop_what_the_other_database_runs(config: pytest.Config, items: list[pytest.Item]) -> None:
    second = config.getoption("--second-database")
    runs = _runs_on_the_second_database if second else _runs_on_the_first_database
    config.hook.pytest_deselected(items=[item for item in items if not runs(item)])
    items[:] = filter(runs, items)


def _runs_on_the_first_database(item: pytest.Item) -> bool:
    return item.get_closest_marker("second_database") is None


def _runs_on_the_second_database(item: pytest.Item) -> bool:
    """Return whether the test's result may differ there, and nothing else there tells as much.

    pytest-django lets no test without a database marker near the database, so the others do the
    same whatever DATABASE_URL names.
    """
    marked = {marker.name for marker in item.iter_markers()}
    if marked & {"second_database", "each_database"}:
        return True
    return _uses_database(item) and "first_database" not in marked


def _uses_database(item: pytest.Item) -> bool:
    """Return whether the test itself uses the database, not only programs that it starts."""
    asks = DATABASE_FIXTURES.intersection(getattr(item, "fixturenames", ()))
    return bool(asks) or item.get_closest_marker("django_db") is not None


@pytest.fixture(scope="session", autouse=True)
def _once_for_all_processes(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let one process make what tests.support.prepared holds, for all processes."""
    own = tmp_path_factory.getbasetemp()
    prepared.shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Keep SQLite's file, set up below; PostgreSQL's database must still be made and dropped."""
    return _on_sqlite()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None,
    _once_for_all_processes: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Start from a copy of a migrated database, so that no migration is left to run.

    SQLite uses a file, as in production, because threads with their own connections need one.
    """
    from django.conf import settings

    database = settings.DATABASES["default"]
    test = database.setdefault("TEST", {})
    if _on_sqlite():
        test["NAME"] = str(tmp_path_factory.mktemp("database") / "test.sqlite3")
        shutil.copy(live.migrated_file(), test["NAME"])
        # Nothing here survives the machine. The processes of tests.support.live write as in
        # production.
        options = database["OPTIONS"]
        options["init_command"] = options["init_command"].replace("=FULL", "=OFF")
    else:
        test["TEMPLATE"] = live.migrated_database(os.environ["DATABASE_URL"])


def _on_sqlite() -> bool:
    from django.conf import settings

    return "sqlite" in settings.DATABASES["default"]["ENGINE"]


@pytest.fixture(autouse=True)
def _nothing_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what other tests left, write each log line at once, and use English."""
    from django.conf import settings
    from django.utils import translation

    from config.staff.second_factor import code_tries
    from config.staff.sign_in import tries
    from events.alerts import finding
    from events.receiving import grouped_log

    translation.activate(settings.LANGUAGE_CODE)
    tries.forget()
    code_tries.forget()
    finding.habit_of.cache_clear()
    monkeypatch.setattr(grouped_log, "EVERY_SECONDS", 0.0)


@pytest.fixture
def sandbox(settings) -> Iterator[Sandbox]:
    """A stand-in for Thinkific on its own port, without a school yet."""
    with Sandbox() as running:
        settings.THINKIFIC_API_URL = running.url
        yield running


@pytest.fixture
def shop(db: None) -> shops.Shop:
    """A shop without a school, in a transaction that never commits."""
    return shops.build()


@pytest.fixture
def real_shop(transactional_db: None) -> shops.Shop:
    """Like `shop`, but in transactions that commit or fail, so that threads can see them."""
    return shops.build()


@pytest.fixture
def world(sandbox: Sandbox, transactional_db) -> worlds.World:
    """A shop and a school, connected, in real transactions."""
    return worlds.build(sandbox)


@pytest.fixture
def place(sandbox: Sandbox, transactional_db: None, settings: Any) -> Any:
    """A shop with a past, for the tests that look at its pages."""
    from tests.support import scenery, standing

    settings.PUBLIC_URL = scenery.PUBLIC_URL
    return standing.scenery(sandbox)


@pytest.fixture
def address(place: Any) -> Iterator[str]:
    """The address that serves the pages of `place`."""
    from tests.support import browsing

    with browsing.serving() as found:
        yield found


@pytest.fixture(scope="session")
def browsers() -> Iterator[Callable[[], Any]]:
    """Gives the Chromium of this process, whose start takes as long as many a test in it."""
    from tests.support import browsing  # Playwright takes a second to import

    with browsing.chromiums() as running:
        yield running


@pytest.fixture
def browser(browsers: Callable[[], Any]) -> Iterator[Any]:
    """A Chromium without any window of another test, so without its cookies."""
    found = browsers()
    yield found
    for left in found.contexts:
        left.close()
