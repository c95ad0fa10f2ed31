"""How many examples a property test takes: a fixed few in CI, many new ones with FUZZ=long.

PostgreSQL, on which CI's tests run a second time, takes three times as long for each: there it is a
third of the few.
"""

import os
from typing import Any

from hypothesis import HealthCheck, settings

LONG = os.environ.get("FUZZ", "") == "long"
SHARE = 3 if os.environ.get("DATABASE_URL", "").startswith("postgres") else 1


def number(few: int, many: int) -> int:
    """How many it is here."""
    return many if LONG else few // SHARE


def examples(few: int, many: int, **more: Any) -> settings:
    """CI's examples are the same each time; the long form's are others each time."""
    return settings(
        max_examples=number(few, many),
        derandomize=not LONG,
        database=None,  # what was found becomes a test with a name
        deadline=None,
        # One example is a whole batch or a whole story, which is slow by intention.
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        print_blob=LONG,
        **more,
    )
