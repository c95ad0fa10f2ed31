"""Where a fault happens: one installation, the schools it serves, and what SamCart sent it."""

import contextlib
import http.client
import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from integrations.notify_url import signature
from integrations.thinkific.sandbox import Sandbox, School
from tests.faults import shop
from tests.faults.database import Database, Place
from tests.support import live
from tests.support.live import Installation, Process, Running
from tests.support.receiver import Receiver

# A call may take 1.3 s and a task 4 s; a dead worker's work is taken up after 6 s. Attempts go on
# for longer than the minute in which a POST without an answer may still be carried out, because the
# ending of that access waits for it.
SETTINGS = {
    "LEASE_SECONDS": "6",
    "HEARTBEAT_TIMEOUT": "6",
    "RETRY_DELAYS": ",".join(["0.2", "0.5", *["1"] * 18, *["5"] * 12]),
    "WEB_CONCURRENCY": "2",
    "WORKER_PROCESSES": "2",  # On SQLite too, where the default is one.
    "ALLOW_PRIVATE_NOTIFY_URLS": "true",
    # More is refunded here in a minute than elsewhere in a month, and no person releases it.
    "ENDINGS_AN_HOUR": "0",
}
# Healing may take long on a busy machine, but it may stand still no longer than this.
STILL_SECONDS = 180.0
SELLERS = 8


@dataclass(frozen=True, slots=True)
class Sale:
    """One POST of SamCart and its answer; `status` is None if there was no answer."""

    order: int
    email: str
    kind: str
    school: str
    status: int | None
    product: int = shop.CLASS

    @property
    def acknowledged(self) -> bool:
        return self.status == 200

    @property
    def trigger(self) -> str:
        return shop.TRIGGERS[self.kind]


@dataclass
class Stage:
    """One fault's database, stand-in and processes. `long` asks for a lot instead of a little."""

    admit: Installation
    database: Database
    sandbox: Sandbox
    dice: random.Random
    long: bool = False
    sales: list[Sale] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=lambda: {"acme": live.HOOK_SECRET})
    mended_at: float = 0.0
    # Where each sale is passed on, if the fault is about that.
    receiver: Receiver | None = None
    # Undone when every program has ended.
    after: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _orders: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _stories: "itertools.count[int]" = field(default_factory=itertools.count)

    # What runs

    def up(self, *words: str, **env: str) -> Running:
        return self.admit.up(*words, **env)

    def pool(self, running: Running) -> "Crew":
        """Return the processes of its cluster, once all of them are there."""

        def whole() -> Crew | None:
            main = running.program("cluster")
            for sentinel in live.children(main):
                below = live.children(sentinel.pid)
                if len(below) >= 4:
                    return Crew(main, sentinel.pid, tuple(each.pid for each in below))
            return None

        found: Crew = live.until(whole, what="a whole cluster")
        return found

    def seen_at(self, running: Running) -> datetime:
        """Return when a cluster of this `up` last showed life."""
        name = f"%-{running.pid}-%"
        sql = f"SELECT max(seen_at) FROM events_worker WHERE name LIKE '{name}'"  # noqa: S608
        seen = self.database.ask(sql)[0][0]
        if isinstance(seen, str):
            seen = datetime.fromisoformat(seen).replace(tzinfo=UTC)
        return seen or datetime.min.replace(tzinfo=UTC)

    def caller(self, pool: "Crew") -> int:
        """Return the worker that is connected to the stand-in, as soon as one is."""

        def find() -> int:
            return next(
                (pid for pid in pool.workers if live.connected_to(pid, self.sandbox.port)), 0
            )

        return int(live.until(find, what="a worker that calls"))

    # What SamCart sends

    def sell(
        self, count: int, *, school: str = "acme", known: int = 0, sellers: int = SELLERS
    ) -> list[Sale]:
        """Sell to this many people, several at once; the school already knows the first `known`."""
        buyers = [(f"buyer{number}@example.com", number) for number in self._next(count)]
        for email, _ in buyers[:known]:
            self.school(school).add_user(email)
        return self._post_all(buyers, "Order", school, sellers)

    def buy_again(self, email: str, times: int, *, school: str = "acme") -> list[Sale]:
        """Let one person buy this many times, one order after the other."""
        orders = self._next(times)
        return self._post_all([(email, order) for order in orders], "Order", school, SELLERS)

    def refund(self, sales: list[Sale], *, sellers: int = SELLERS) -> list[Sale]:
        """Refund each acknowledged purchase of these people."""
        return [
            refunded
            for school in {sale.school for sale in sales}
            for refunded in self._post_all(
                [(s.email, s.order) for s in sales if s.acknowledged and s.school == school],
                "Refund",
                school,
                sellers,
            )
        ]

    def trade(self, customers: int = len(shop.STORIES), *, school: str = "acme") -> list[Sale]:
        """Let this many people come, several at once; each follows a story, one step at a time."""
        with ThreadPoolExecutor(SELLERS) as tills:
            stories = tills.map(lambda _: list(self._story(school)), range(customers))
            return [sale for story in stories for sale in story]

    @contextlib.contextmanager
    def trading(self, *, every: float = 0.0, sellers: int = SELLERS) -> Iterator[None]:
        """Let people come as in `trade`, one after the other at each seller, during the block."""
        over = threading.Event()

        def go_on() -> None:
            while not over.is_set():
                for sale in self._story("acme"):
                    # A till that gets no answer pauses before it tries again.
                    if over.wait(every if sale.acknowledged else every + 0.1):
                        return

        threads = [threading.Thread(target=go_on) for _ in range(sellers)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def _story(self, school: str) -> Iterator[Sale]:
        """Play the next story, by a new customer."""
        story = shop.STORIES[next(self._stories) % len(shop.STORIES)]
        numbers = {step.purchase for step in story}
        orders = dict(zip(sorted(numbers), self._next(len(numbers)), strict=True))
        email = f"buyer{orders[1]}@example.com"
        for step in story:
            yield self._post(email, orders[step.purchase], step.kind, school, step.product)

    def _next(self, count: int) -> list[int]:
        return [next(self._orders) for _ in range(count)]

    def _post_all(
        self, buyers: list[tuple[str, int]], kind: str, school: str, sellers: int
    ) -> list[Sale]:
        with ThreadPoolExecutor(sellers) as tills:
            return list(tills.map(lambda who: self._post(who[0], who[1], kind, school), buyers))

    def _post(
        self, email: str, order: int, kind: str, school: str, product: int = shop.CLASS
    ) -> Sale:
        status = None
        with contextlib.suppress(OSError, http.client.HTTPException):
            secret = self.secrets[school]
            status = self.admit.sell(email, order=order, kind=kind, product=product, secret=secret)
        sale = Sale(order, email, kind, school, status, product)
        self.sales.append(sale)
        return sale

    # The stand-in

    def school(self, name: str = "acme") -> School:
        return self.sandbox.schools[name]

    def struck(self, kind: str) -> bool:
        """Return whether a fault of that kind has struck."""
        return any(fault.kind == kind for fault in self.sandbox.faults.fired)

    def open_schools(self, names: list[str]) -> None:
        """Add schools, each with its own SamCart account and rules."""
        document: dict[str, list[Mapping[str, object]]] = {
            "marketplaces": [],
            "integrations": [],
            "rules": [],
        }
        for name in names:
            made = shop.add_school(self.sandbox, name)
            self.secrets[name] = f"{name}-".ljust(40, "x")
            account, site = f"Shop {name}", f"School {name}"
            document["marketplaces"].append({"name": account, "webhook_secret": self.secrets[name]})
            document["integrations"].append(
                {"name": site, "app": "thinkific", "site": name, "secret": made.key}
            )
            document["rules"] += shop.rules_of_access(account, site)
        self._configure(document)
        self.sandbox.clear_calls()

    def open_receiver(self) -> Receiver:
        """Add a receiver to which each sale is passed on."""
        secret = signature.new_secret()
        self.receiver = self.after.enter_context(Receiver(secret))
        connected = {"name": "My CRM", "app": "notify_url", "url": self.receiver.url}
        rules = shop.rules_of_messages("Main shop", "My CRM")
        self._configure({"integrations": [connected | {"secret": secret}], "rules": rules})
        return self.receiver

    def _configure(self, document: Mapping[str, object]) -> None:
        file = self.admit.folder / "more.yaml"
        file.write_text(json.dumps(document))  # JSON is valid YAML.
        ended = self.admit.manage("apply_config", str(file))
        assert ended.returncode == 0, ended.stderr

    # The end

    def mended(self) -> None:
        """Start measuring the healing time: nothing is broken anymore."""
        self.mended_at = time.monotonic()

    def open_work(self) -> int:
        """Return how many acknowledged deliveries and runs are not finished."""
        acknowledged = sum(sale.acknowledged for sale in self.sales)
        (stored, unread, runs) = self.database.ask(
            "SELECT (SELECT count(*) FROM events_delivery),"
            " (SELECT count(*) FROM events_delivery WHERE state = 'new'),"
            " (SELECT count(*) FROM events_rulerun WHERE status IN ('waiting', 'running'))"
        )[0]
        return int(max(0, acknowledged - stored) + unread + runs)

    def heal(self, also: Callable[[], object] = lambda: True) -> float:
        """Wait until all work is finished and `also` holds; return the seconds since `mended`."""
        moved = time.monotonic()
        start = self.mended_at or moved
        least = left = self.open_work()
        while left or not also():
            if left < least:
                least, moved = left, time.monotonic()
            if time.monotonic() > moved + STILL_SECONDS:
                raise AssertionError(f"not healed: {left} deliveries and runs are left")
            time.sleep(0.03)
            left = self.open_work()
        return time.monotonic() - start


@dataclass(frozen=True, slots=True)
class Crew:
    """A django-q2 cluster by process IDs: two workers, monitor and pusher under a sentinel."""

    main: int
    sentinel: int
    below: tuple[int, ...]

    @property
    def workers(self) -> tuple[int, ...]:
        return self.below[:-2]

    @property
    def monitor(self) -> int:
        return self.below[-2]

    @property
    def pusher(self) -> int:
        return self.below[-1]


def strays(admit: Installation) -> list[Process]:
    """Return whatever still runs of an installation that was stopped."""
    return live.started_with(f"ADMIT_ENV_FILE={admit.folder / '.env'}")


@contextlib.contextmanager
def stage(
    folder: Path, place: Place, *, seed: int, long: bool = False, env: Mapping[str, str]
) -> Iterator[Stage]:
    """Make a new stage, on SQLite or on the server of `place`."""
    with contextlib.ExitStack() as after, live.school() as (sandbox, _):
        settings = SETTINGS | {"THINKIFIC_API_URL": sandbox.url} | dict(env)
        opened = live.on_server(folder, place.url) if place.url else live.installation(folder)
        with opened as admit:
            admit.env = settings
            here = Database(admit.database, place.server)
            yield Stage(admit, here, sandbox, random.Random(seed), long, after=after)
