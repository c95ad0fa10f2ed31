"""Formats log lines: one line each, with their facts, and never with a webhook secret."""

import json
import logging
import re
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from gunicorn import glogging

HOOK_PATH = re.compile(r"((?<!/admin)/(?:(?:web)?hooks?|sam-?cart)/)[^\s\"'?]+", re.IGNORECASE)
# The attributes of every LogRecord; all others were passed as `extra`.
OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "request", "status_code"}
# Returns the facts of the request that is being answered: see `config.request_log`.
of_request: ContextVar[Callable[[], dict[str, str]]] = ContextVar("of_request", default=dict)


def hide(text: str) -> str:
    """Return the text with the secret part of every webhook address cut out, mistyped ones too."""
    return HOOK_PATH.sub(r"\1...", text)


class HideHookSecrets(logging.Filter):
    """Hides the secret in a webhook's path: it grants access, so it must never be logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if HOOK_PATH.search(text):
            record.msg, record.args = hide(text), ()
        return True


def _on_one_line(value: object) -> str:
    """Return a fact as text, quoted where a stranger's text could look like other facts."""
    text = str(value)
    plain = text.isprintable() and not set(text) & set(' ="')
    return text if plain or not isinstance(value, str) else json.dumps(text)


class _Formatter(logging.Formatter):
    """What both formats have in common."""

    def facts(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the facts of the line itself, then those of the request."""
        own = {key: value for key, value in vars(record).items() if key not in OWN}
        return own | of_request.get()()

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's own name
        """Return the traceback and the type of the error.

        Not the error's text: a database quotes the row that it refuses, and a KeyError the key.
        """
        kind, _, trace = ei
        return "".join(traceback.format_tb(trace)) + (kind.__name__ if kind else "")


class LineFormatter(_Formatter):
    """`2026-11-23T14:02:00Z INFO events.deciding.inbox deliveries_read read=3`"""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")

    def format(self, record: logging.LogRecord) -> str:
        facts = " ".join(
            f"{key}={_on_one_line(value)}" for key, value in self.facts(record).items()
        )
        line = super().format(record)
        first, _, rest = line.partition("\n")
        # Tracebacks and facts may quote an address too, and no filter sees those.
        return hide("\n".join(part for part in (f"{first} {facts}".rstrip(), rest) if part))


class JsonFormatter(_Formatter):
    """`{"time": "2026-11-23T14:02:00.000+00:00", "level": "INFO", "logger": ..., "event": ...}`

    One object a line. Its other keys are the facts, and `trace` if the line reports an exception.
    """

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        fixed = {
            "time": at.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
        }
        if record.exc_info:
            fixed["trace"] = self.formatException(record.exc_info)
        # The fixed keys come first, and a fact of the same name does not replace them.
        said = fixed | self.facts(record) | fixed
        return json.dumps({key: _in_json(value) for key, value in said.items()})


def _in_json(value: object) -> object:
    """Return a value that JSON can hold, without the secret part of a webhook address."""
    if value is None or isinstance(value, bool | int | float):
        return value
    return hide(str(value))


# By the value of LOG_FORMAT.
FORMATTERS: dict[str, type[logging.Formatter]] = {"line": LineFormatter, "json": JsonFormatter}


class GunicornLogger(glogging.Logger):
    """Gunicorn's own lines, in our format.

    An error of Gunicorn quotes the request's path; the webhook secret in it is hidden too.
    """

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.addFilter(HideHookSecrets())
        for handler in self.error_log.handlers:
            handler.setFormatter(FORMATTERS[settings.LOG_FORMAT]())
