"""Parameters of a write, and the error for a refused write."""

import re
from collections.abc import Mapping
from typing import Any

from integrations.thinkific.sandbox.wire import reason

Params = Mapping[str, Any]
BLANK = "can't be blank"


class RefusedError(Exception):
    """A write is refused and not done. `status` and `answer` go back to the caller."""

    def __init__(self, status: int, errors: Any) -> None:
        super().__init__(status, errors)
        self.status = status
        self.answer = {"errors": errors} if errors else {"error": reason(status)}


def ident(value: Any) -> int:
    """Return an ID in any form that JSON may have, or 0, which is no row's ID, if it is not one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, str) and re.fullmatch(r"\d{1,18}", value) else 0
