"""The WSGI application that gunicorn serves."""

import os
from typing import Any

import django
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


class Request(WSGIRequest):
    """A request that keeps its body when its Content-Type is malformed.

    Django raises for one like `a/b; charset*=nope''x` before any middleware runs: the answer would
    be 500, and an event that SamCart sends once would be lost.
    """

    def __init__(self, environ: dict[str, Any]) -> None:
        try:
            super().__init__(environ.copy())  # Django writes into it
        except ValueError:
            super().__init__({**environ, "CONTENT_TYPE": ""})
            self.META["CONTENT_TYPE"] = environ["CONTENT_TYPE"]  # what was sent is kept

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
