"""Finds statements whose query plan walks through a long history."""

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from events.models import Delivery, EventLog, Grant, RuleRun
from tests.support import past
from tests.support.world import World

BEGINNINGS = ("SELECT", "UPDATE", "DELETE", "WITH")
EVENTS = 20_000
# A plan that looked at this many rows for nothing read a part of the history.
MANY = EVENTS // 20


@dataclass
class Plans:
    """Records the database's plan for each statement, just before the statement runs."""

    asked: dict[str, str] = field(default_factory=dict)

    def __call__(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        if sql not in self.asked and sql.lstrip().startswith(BEGINNINGS):
            self.asked[sql] = ""  # Without this, the EXPLAIN itself would be explained.
            kept = type(context["cursor"].cursor).__name__ == "ServerBindingCursor"
            self.asked[sql] = _kept_plan(sql, params) if kept else _plan(sql, params)
        return execute(sql, params, many, context)

    def walks(self) -> list[str]:
        """Return plans that read the whole of a table that grows with history."""
        return [
            f"{sql}\n{plan}\n"
            for sql, plan in self.asked.items()
            if any(_walks(line, sql) for line in plan.splitlines())
        ]

    def gathered(self) -> list[str]:
        """Return plans that fetch and sort a long history where only its newest rows are wanted."""
        return [
            f"{sql}\n{plan}\n"
            for sql, plan in self.asked.items()
            if " LIMIT " in sql
            and any(f'"{table}"' in sql for table in past.TABLES)
            and ("TEMP B-TREE FOR ORDER BY" in plan or _most_rows(plan) > 2 * MANY)
        ]

    def by_other_than_customers(self) -> list[str]:
        """Return plans that search all customers' rows for those of a few customers."""
        return [
            f"{sql}\n{plan}\n"
            for sql, plan in self.asked.items()
            if re.search(r'"events_\w+"."customer_id" IN \(', sql)
            and connection.vendor == "sqlite"
            and "(customer_id=?)" not in plan
        ]


def _most_rows(plan: str) -> int:
    return max(map(int, re.findall(r"actual rows=(\d+)", plan)), default=0)


def _plan(sql: str, params: Any) -> str:
    how = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else _explain(sql)
    with connection.cursor() as cursor:
        cursor.cursor.execute(f"{how} {sql}", params)
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


def _explain(sql: str) -> str:
    # A query can also be run, which shows what it looked at.
    return (
        "EXPLAIN (ANALYZE, TIMING OFF)"
        if sql.lstrip().startswith(("SELECT", "WITH"))
        else "EXPLAIN"
    )


def _kept_plan(sql: str, params: Any) -> str:
    """Return PostgreSQL's plan when it is kept and made without knowing the parameters."""
    numbers = itertools.count(1)
    numbered = re.sub(r"%(?:[(]\w+[)])?s", lambda mark: f"${next(numbers)}", sql)
    marks = re.findall(r"%(?:[(]\w+[)])?s", sql)
    with connection.cursor() as cursor:
        cursor.cursor.execute("SET plan_cache_mode = force_generic_plan")
        cursor.cursor.execute(f"PREPARE hot AS {numbered}".replace("%%", "%"))
        try:
            values = f"({', '.join(marks)})" if marks else ""
            cursor.cursor.execute(f"{_explain(sql)} EXECUTE hot {values}", params)
            return "\n".join(str(row[-1]) for row in cursor.fetchall())
        finally:
            cursor.cursor.execute("DEALLOCATE hot")
            cursor.cursor.execute("RESET plan_cache_mode")


def _walks(line: str, sql: str) -> bool:
    for_nothing = re.search(r"Rows Removed by .*: (\d+)", line)
    if for_nothing and int(for_nothing[1]) > MANY:
        return True
    scan = re.match(r"[ ->]*(?:SCAN|(?:Parallel )?Seq Scan on) (\w+)", line)
    if scan is None:
        return False
    # PostgreSQL reports how many rows it read: a scan that a LIMIT ends early does not count.
    read = re.search(r"actual rows=(\d+) loops=(\d+)", line)
    if read and int(read[1]) * int(read[2]) <= MANY:
        return False
    aliases = re.findall(r'"(\w+)" ([A-Z]\w*\d)\b', sql)  # SQLite tells these alone
    table = {alias: name for name, alias in aliases}.get(scan[1], scan[1])
    # SQLite also says SCAN for a read in order up to a LIMIT, and for an index that holds only
    # open rows.
    by = re.search(r" USING (?:COVERING )?INDEX (\w+)", line)
    ends = " LIMIT " in sql and (by or " WHERE " not in sql)
    return table in past.TABLES and not (ends or (by and by[1] in _partial()))


def _partial() -> set[str]:
    models = (Delivery, EventLog, Grant, RuleRun)
    found = (index for model in models for index in model._meta.indexes)
    return {index.name for index in found if index.condition}


@contextmanager
def explained() -> Iterator[Plans]:
    plans = Plans()
    with connection.execute_wrapper(plans):
        yield plans


def live_for_long(world: World) -> None:
    """Add two rules and a long history."""
    course = world.course()
    world.rule("product_purchased", "create_course_enrollment", course)
    world.rule("product_refunded", "expire_course_enrollment", course)
    world.sell("10_product", customer__email="first@example.com")
    world.settle()
    past.fill(EVENTS)
