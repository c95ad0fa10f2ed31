"""The WSGI application that gunicorn serves."""

import os
from collections.abc import Mapping
from typing import Any

import django
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


class Request(WSGIRequest):
    """A request whose malformed Content-Type does not cost its body.

    Django raises for one like `a/b; charset*=nope''x` before any middleware runs: the answer
    would be 500, and an event that SamCart sends once would be lost.
    """

    def _set_content_type_params(self, meta: Mapping[str, Any]) -> None:
        try:
            super()._set_content_type_params(meta)  # type: ignore[misc]  # not in the stubs
        except ValueError:
            self.content_type, self.content_params = "", {}

    @property
    def encoding(self) -> str:
        """Forms and addresses are UTF-8, whatever the Content-Type says.

        Other codecs of Python break on a query, or bring lone surrogates that no page can show.
        What SamCart sends is read by `integrations.samcart.body`, with its own charset.
        """
        return "utf-8"

    @encoding.setter
    def encoding(self, charset: object) -> None:
        pass


class Application(WSGIHandler):
    request_class = Request


django.setup(set_prefix=False)
application = Application()
