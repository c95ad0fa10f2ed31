"""Variables that every template has."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def about(request: HttpRequest) -> dict[str, Any]:
    """Return `demo`, whether pages must say that nothing is real, and `version`, Admit's own."""
    return {"demo": settings.DEMO, "version": settings.VERSION}
