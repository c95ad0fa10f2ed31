"""Call Thinkific's Admin API.

The client keeps no state and never retries. A call ends within its deadline, reads at most 1 MiB,
and ends in an `Answer` or in one of `integrations.errors`.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from integrations.calls import exchanges
from integrations.calls.exchanges import Answer, Exchange, Reply
from integrations.errors import KeyRejected, OutsideError, Refused
from integrations.sentences import say
from integrations.thinkific import answers, site_address
from integrations.thinkific.calls import Call, Get, Post, Put

__all__ = ["Answer", "Client", "Exchange"]

LARGEST_ANSWER = 1024 * 1024  # bytes, decoded
LONGEST_KEPT = 20_000  # characters of a body that an Exchange keeps
HIDDEN = "••••"

_KEY_LENGTH = 32  # characters of Thinkific's API keys; its API access tokens are longer
_SHORTEST_HIDDEN = 6  # a secret as short as "a" is not masked: that would garble every text


def _nothing(*_: object) -> None:
    """Do nothing: the default for `before_call` and `after_call`."""


class Client:
    """A client for one Thinkific site.

    `base_url` is the API's address including `/v1`, `site` the subdomain, `secret` an API key (32
    characters) or an API access token, `deadline` the seconds that one call may take.
    `before_call()` runs right before each request and may raise to stop it;
    `after_call(exchange)` runs after each request that was sent, before its error is raised.

    Calls raise the errors of `integrations.errors` except OutOfTime, and RuntimeError inside a
    database transaction (see `exchanges.refuse_in_transaction`).
    """

    def __init__(
        self,
        *,
        base_url: str,
        site: str,
        secret: str,
        before_call: Callable[[], None] = _nothing,
        after_call: Callable[[Exchange], None] = _nothing,
        deadline: float = 20.0,
        version: str,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._site = site
        self._secret = secret.strip()
        self._before_call = before_call
        self._after_call = after_call
        self._deadline = deadline
        self._version = version

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Answer:
        """Read `path` (after `/v1`). Raises Retry if the answer is not a JSON object or array."""
        return self._call("GET", path, params=params)

    def post(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Create something. An empty 2xx is success. Not idempotent: see `Retry.in_doubt`."""
        return self._call("POST", path, body=body)

    def put(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Change something. An empty 2xx is success, but the caller may check its effect."""
        return self._call("PUT", path, body=body)

    def send(self, call: Call) -> Answer:
        """Send one call that steps yield; see `calls`."""
        match call:
            case Get(path, params):
                return self.get(path, params)
            case Put(path, body):
                return self.put(path, body)
            case Post(path, body):
                return self.post(path, body)

    def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        exchanges.refuse_in_transaction()
        payload = "" if body is None else json.dumps(body, allow_nan=False)
        request = exchanges.Request(
            method=method,
            url=self._url(path, params),
            headers=self._headers(),
            body=payload.encode(),
            body_text=payload,
            seconds=self._deadline,
            largest=LARGEST_ANSWER,
            kept=LONGEST_KEPT,
            hide=self._hide,
        )

        def judge(reply: Reply) -> Answer | OutsideError:
            return answers.judge(
                reply,
                host=urlsplit(request.url).hostname or request.url,
                seconds=self._deadline,
                write=method != "GET",
                now=datetime.now(UTC),
            )

        self._before_call()
        return exchanges.carry_out(request, judge, self._after_call)

    def _headers(self) -> dict[str, str]:
        if not re.fullmatch(r"[!-~]+", self._secret):
            raise KeyRejected(
                say(
                    "The key of the Thinkific site is empty or has characters that no key has. "
                    "Copy it from Thinkific once more and enter it again."
                )
            )
        headers = {
            "User-Agent": f"Admit/{self._version} (+self-hosted)",
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "Content-Type": "application/json",
        }
        if len(self._secret) != _KEY_LENGTH:
            # Thinkific's OpenAPI file asks for the subdomain only with an API key.
            return headers | {"Authorization": f"Bearer {self._secret}"}
        try:
            subdomain = site_address.subdomain(self._site)
        except ValueError as error:
            raise Refused(error.args[0]) from None
        return headers | {"X-Auth-API-Key": self._secret, "X-Auth-Subdomain": subdomain}

    def _url(self, path: str, params: Mapping[str, str | int] | None) -> str:
        if "@" in urlsplit(self._base_url).netloc:
            # requests would send that user name and password instead of the token.
            with_user = say("THINKIFIC_API_URL must not contain a user name or password.")
            raise Refused(with_user)
        url = f"{self._base_url}/{quote(path.lstrip('/'), safe='/', errors='replace')}"
        return f"{url}?{urlencode(params, errors='replace')}" if params else url

    def _hide(self, text: str) -> str:
        if len(self._secret) < _SHORTEST_HIDDEN:
            return text
        written = {self._secret, quote(self._secret, safe=""), self._secret.replace("/", "\\/")}
        for form in sorted(written, key=len, reverse=True):
            text = text.replace(form, HIDDEN)
        return text
