"""Styles, scripts and icons: sent compressed, and kept by a browser until they change."""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import StaticFilesStorage
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware

GetResponse = Callable[[HttpRequest], HttpResponseBase]
KEPT = "max-age=31536000, public, immutable"  # a year


class FingerprintedStorage(StaticFilesStorage):
    """Adds the fingerprint of a file to its address: `/static/admit/admit.css?1f0c2a9b`.

    Files are served in place. Django's ManifestStaticFilesStorage, with the fingerprint in the
    name, needs a `collectstatic` that can be forgotten, and while an update is under way it answers
    404 to a page of the other version.
    """

    def url(self, name: str | None) -> str:
        """Raise ValueError for a name that cannot be an address."""
        address = super().url(name)
        found = fingerprint(name) if name else ""
        return f"{address}?{found}" if found else address


@lru_cache(maxsize=1000)
def fingerprint(name: str) -> str:
    """Return 8 hex digits that differ when the file's content does; "" where there is no such file.

    It is read once by each process, as WhiteNoise reads the sizes of all files once.
    """
    path = finders.find(name)
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:8] if path else ""


def send(get_response: GetResponse) -> GetResponse:
    """Middleware around WhiteNoise that compresses its files and says how long to keep them.

    GZipMiddleware alone around it would give a body to 304 and compress a part as if it was whole.
    """
    gzip = GZipMiddleware(get_response)

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        file = request.path.startswith(settings.STATIC_URL)
        if not file or response.status_code != HTTPStatus.OK:
            return response
        # An older or newer Admit, asked by a page of the other, must not have its own file kept.
        if request.META["QUERY_STRING"] == fingerprint(request.path[len(settings.STATIC_URL) :]):
            response.headers["Cache-Control"] = KEPT
        # GZipMiddleware makes it weak, and WhiteNoise would not know it again: Last-Modified stays.
        del response.headers["ETag"]
        return gzip.process_response(request, response) if request.method == "GET" else response

    return answer
