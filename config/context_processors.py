"""What every template may ask for."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def about(request: HttpRequest) -> dict[str, Any]:
    """`demo`: whether pages must say that nothing here is real; `version`: of Admit."""
    return {"demo": settings.DEMO, "version": settings.VERSION}
