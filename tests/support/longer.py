"""How many examples a property test runs: a few fixed ones in CI, many new ones with FUZZ=long.

CI runs its tests on PostgreSQL too, where each example takes three times as long, so there it is
a third of the few.
"""

import os
from typing import Any

from hypothesis import HealthCheck, settings

LONG = os.environ.get("FUZZ", "") == "long"
SHARE = 3 if os.environ.get("DATABASE_URL", "").startswith("postgres") else 1


def number(few: int, many: int) -> int:
    """Return the number of examples for this run."""
    return many if LONG else few // SHARE


def examples(few: int, many: int, **more: Any) -> settings:
    """Hypothesis settings: the same examples each time in CI, new ones each time with FUZZ=long."""
    return settings(
        max_examples=number(few, many),
        derandomize=not LONG,
        database=None,  # What it finds becomes a test with a name.
        deadline=None,
        # One example is a whole batch or story, which is slow on purpose.
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        print_blob=LONG,
        **more,
    )
