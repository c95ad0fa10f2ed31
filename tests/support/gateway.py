"""POSTs to the application the way gunicorn passes them on.

Django's test client builds the request object itself, so it cannot show failures in building it.
"""

import io
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.util import setup_testing_defaults

from config.wsgi import application


def post(path: str, body: bytes, *, content_type: str = "", query: str = "") -> str:
    """POST and return the status line. `path` is percent-encoded, headers are Latin-1 (WSGI)."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    setup_testing_defaults(environ)
    told: list[str] = []

    def start(status: str, headers: Any, error: Any = None, /) -> Any:
        told.append(status)

    application(environ, start).close()
    return told[0]
