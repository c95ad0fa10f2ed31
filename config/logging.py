"""Log lines: one line each, with their facts, and never a webhook secret."""

import json
import logging
import re
import traceback
from typing import Any

from gunicorn import glogging

HOOK_PATH = re.compile(r"((?<!/admin)/(?:(?:web)?hooks?|sam-?cart)/)[^\s\"'?]+", re.IGNORECASE)
# What a LogRecord has of its own; everything else was passed as `extra`.
OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "request", "status_code"}


def hide(text: str) -> str:
    """The text with the rest of every webhook address in it taken out, mistyped ones too."""
    return HOOK_PATH.sub(r"\1...", text)


class HideHookSecrets(logging.Filter):
    """The secret in a webhook's path grants access, so it must never be logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if HOOK_PATH.search(text):
            record.msg, record.args = hide(text), ()
        return True


def _on_one_line(value: object) -> str:
    """A fact as it is, or quoted where a stranger's text could pass for other facts."""
    text = str(value)
    plain = text.isprintable() and not set(text) & set(' ="')
    return text if plain or not isinstance(value, str) else json.dumps(text)


class LineFormatter(logging.Formatter):
    """`2026-11-23T14:02:00Z INFO events.deciding.inbox deliveries_read read=3`"""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")

    def format(self, record: logging.LogRecord) -> str:
        facts = " ".join(
            f"{key}={_on_one_line(value)}" for key, value in vars(record).items() if key not in OWN
        )
        line = super().format(record)
        first, _, rest = line.partition("\n")
        # Tracebacks and facts may quote an address too, and no filter sees those.
        return hide("\n".join(part for part in (f"{first} {facts}".rstrip(), rest) if part))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's own name
        """Where it broke and what kind of error it was.

        Not the error's text: a database quotes the row that it refuses, and a KeyError the key.
        """
        kind, _, trace = ei
        return "".join(traceback.format_tb(trace)) + (kind.__name__ if kind else "")


class GunicornLogger(glogging.Logger):
    """Gunicorn logs the request's path when it breaks; hide our webhook secret there too."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.addFilter(HideHookSecrets())
