"""Calls to Thinkific as values, and the type of steps: generators that yield calls.

Steps yield calls, receive the answers and return a result. They use no database, network, clock
or thread, so a test can supply the answers by hand. `integrations.steps.drive` runs them with any
function that sends a call; the worker's loop runs many at once.
"""

import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from integrations.errors import Refused, Retry
from integrations.sentences import say
from integrations.thinkific.answers import Answer

T = TypeVar("T")
Row = dict[str, Any]
MAX_PAGES = 400
PAGE_LENGTH = 250


@dataclass(frozen=True, slots=True)
class Get:
    """Read `path` (the part after `/v1`)."""

    path: str
    params: Mapping[str, str | int] | None = None


@dataclass(frozen=True, slots=True)
class Put:
    """Change something. Repeating it does no harm."""

    path: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Post:
    """Create something. Not idempotent, so an intent for `target` is stored before it is sent."""

    path: str
    body: Mapping[str, Any]
    target: str


Call = Get | Put | Post
Steps = Generator[Call, Answer, T]


def rows(
    path: str,
    params: Mapping[str, str | int] | None = None,
    *,
    until: Callable[[Row], bool] = lambda row: False,
) -> Steps[list[Row]]:
    """Return the rows of a list, up to the first for which `until` is true. Drops non-objects.

    Follows `meta.pagination.next_page` as long as it advances. Raises Refused after MAX_PAGES.
    """
    found: list[Row] = []
    page = 1
    for _ in range(MAX_PAGES):
        listed, following = yield from one_page(path, params, page)
        for row in listed:
            found.append(row)
            if until(row):
                return found
        if following is None:
            return found
        page = following
    raise Refused(
        say(
            "Thinkific's list has more than {pages} pages, which is more than Admit reads. "
            "Ask Thinkific's support whether the site is in order.",
            pages=MAX_PAGES,
        )
    )


def one_page(
    path: str, params: Mapping[str, str | int] | None, page: int
) -> Steps[tuple[list[Row], int | None]]:
    """Return the rows of one page, and the number of the next page, or None after the last.

    Drops non-objects. A page that does not name a later page is the last.
    """
    answer = yield Get(path, {**(params or {}), "page": page, "limit": PAGE_LENGTH})
    listed = answer.body.get("items") if isinstance(answer.body, dict) else None
    if not isinstance(listed, list):
        raise Retry(
            say("Thinkific sent something else than the list that was asked for."),
            code="not_understood",
            in_doubt=False,
        )
    following = _next_page(answer.body)
    advances = following is not None and following > page
    return [row for row in listed if isinstance(row, dict)], following if advances else None


def _next_page(body: dict[str, Any]) -> int | None:
    meta = body.get("meta")
    pagination = meta.get("pagination") if isinstance(meta, dict) else None
    following = pagination.get("next_page") if isinstance(pagination, dict) else None
    if isinstance(following, str) and re.fullmatch(r"[0-9]{1,9}", following):
        return int(following)
    return following if isinstance(following, int) and not isinstance(following, bool) else None
