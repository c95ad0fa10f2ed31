"""Calls to Thinkific's Admin API: the one place that sends anything there.

It keeps no state of its own and tries nothing twice. A call ends within its deadline, reads at
most 1 MiB, follows no redirect, uses no proxy of the environment, and ends in an `Answer` or in
one of `integrations.errors`.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import requests
from django.conf import settings
from django.db import connections
from urllib3.exceptions import HTTPError

from integrations.errors import KeyRejected, OutsideError, Refused, Retry
from integrations.thinkific import answers, site_address
from integrations.thinkific.answers import Answer, Reply
from integrations.thinkific.calls import Call, Get, Post, Put
from integrations.thinkific.deadline import CONNECT_SECONDS, adapter, within

__all__ = ["Answer", "Client", "Exchange"]

LARGEST_ANSWER = 1024 * 1024  # bytes, decoded
LONGEST_KEPT = 20_000  # characters of a body that an Exchange keeps
HIDDEN = "••••"

_CHUNK = 16 * 1024
_KEY_LENGTH = 32  # Thinkific's API keys; its API access tokens are longer
_SHORTEST_HIDDEN = 6  # hiding every "a" would hide nothing and spoil everything
_WIRE_ERRORS = (requests.RequestException, HTTPError, HTTPException, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request that was sent, and what came of it, without the key and safe to store."""

    method: str
    url: str
    request_body: str
    status: int | None
    response_body: str
    error: str
    milliseconds: int
    sent_at: datetime


def _nothing(*_: object) -> None:
    """What happens before and after a call when nobody asked for more."""


class Client:
    """Speaks to one Thinkific site.

    `base_url` is the API's address up to and with `/v1`, `site` the subdomain, `secret` an API
    key (32 characters) or an API access token, `deadline` the seconds that one call may take.
    `before_call(method, path)` runs right before each request and may raise to stop it;
    `after_call(exchange)` runs after each request that was sent, before its error is raised.

    Its calls raise what `integrations.errors` names (never OutOfTime), and RuntimeError inside a
    database transaction: a slow answer would hold its locks, a rollback would forget the call.
    """

    def __init__(
        self,
        *,
        base_url: str,
        site: str,
        secret: str,
        before_call: Callable[[str, str], None] = _nothing,
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
        """Read `path` (after `/v1`); an answer that is no JSON object or array raises Retry."""
        return self._call("GET", path, params=params)

    def post(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Create; an empty 2xx is success. Not idempotent: see `Retry.in_doubt`."""
        return self._call("POST", path, body=body)

    def put(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Change; an empty 2xx is success, whose status the caller may doubt."""
        return self._call("PUT", path, body=body)

    def send(self, call: Call) -> Answer:
        """Carry out one call that steps ask for; see `calls`."""
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
        _refuse_in_transaction()
        headers = self._headers()
        url = self._url(path, params)
        payload = "" if body is None else json.dumps(body, allow_nan=False)
        self._before_call(method, path)
        sent_at, started = datetime.now(UTC), time.monotonic()

        def report(status: int | None, text: str, error: str) -> None:
            self._after_call(
                Exchange(
                    method=method,
                    url=self._hide(url),
                    request_body=self._hide(payload)[:LONGEST_KEPT],
                    status=status,
                    response_body=text[:LONGEST_KEPT],
                    error=error,
                    milliseconds=round((time.monotonic() - started) * 1000),
                    sent_at=sent_at,
                )
            )

        try:
            reply = self._send(method, url, headers, payload)
        except BaseException:  # a signal, or a fault of ours: it may have been sent anyway
            report(None, "", "The call was interrupted.")
            raise
        outcome = answers.judge(reply, write=method != "GET", now=datetime.now(UTC))
        if isinstance(outcome, OutsideError):
            report(reply.status, reply.text, outcome.message)
            raise outcome
        report(reply.status, reply.text, "")
        return outcome

    def _send(self, method: str, url: str, headers: dict[str, str], payload: str) -> Reply:
        """One request and what came back; faults of the wire are returned, not raised."""
        received = bytearray()
        status: int | None = None
        answered: Mapping[str, str] = {}
        trouble: OutsideError | None = None
        with within(self._deadline) as call:
            try:
                data = payload.encode() or None
                request = requests.Request(method, url, headers=headers, data=data).prepare()
                # The sockets keep the deadline; this bounds what is done outside of them.
                limits = (min(CONNECT_SECONDS, self._deadline), self._deadline)
                with adapter().send(request, stream=True, timeout=limits) as response:
                    status, answered = response.status_code, response.headers
                    trouble = _read(response, received)
            except _WIRE_ERRORS as error:
                trouble = answers.no_answer(
                    error,
                    call,
                    host=urlsplit(url).hostname or url,
                    seconds=self._deadline,
                    write=method != "GET",
                )
        text = received.decode("utf-8-sig", "replace").replace("\0", "\ufffd")
        return Reply(status, answered, self._hide(text), trouble)

    def _headers(self) -> dict[str, str]:
        if not re.fullmatch(r"[!-~]+", self._secret):
            raise KeyRejected(
                "The key of the Thinkific site is empty or has signs that no key has. "
                "Copy it from Thinkific once more and enter it again."
            )
        headers = {
            "User-Agent": f"Admit/{self._version} (+self-hosted)",
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "Content-Type": "application/json",
        }
        if len(self._secret) != _KEY_LENGTH:
            # The OpenAPI file asks for the subdomain with an API key only.
            return headers | {"Authorization": f"Bearer {self._secret}"}
        try:
            subdomain = site_address.subdomain(self._site)
        except ValueError as error:
            raise Refused(str(error)) from None
        return headers | {"X-Auth-API-Key": self._secret, "X-Auth-Subdomain": subdomain}

    def _url(self, path: str, params: Mapping[str, str | int] | None) -> str:
        if "@" in urlsplit(self._base_url).netloc:
            # requests would send that name and password in place of the token.
            raise Refused("THINKIFIC_API_URL must not contain a user name or password.")
        url = f"{self._base_url}/{quote(path.lstrip('/'), safe='/', errors='replace')}"
        return f"{url}?{urlencode(params, errors='replace')}" if params else url

    def _hide(self, text: str) -> str:
        if len(self._secret) < _SHORTEST_HIDDEN:
            return text
        written = {self._secret, quote(self._secret, safe=""), self._secret.replace("/", "\\/")}
        for form in sorted(written, key=len, reverse=True):
            text = text.replace(form, HIDDEN)
        return text


def _read(response: requests.Response, received: bytearray) -> OutsideError | None:
    """Fill `received` with the decoded body, stopping while it is still small."""
    while chunk := response.raw.read1(_CHUNK, decode_content=True):
        received += chunk
        if len(received) > LARGEST_ANSWER:
            return Retry(answers.TOO_LARGE)
    return None


def _refuse_in_transaction() -> None:
    if not settings.configured:
        return
    if any(each.in_atomic_block for each in connections.all(initialized_only=True)):
        raise RuntimeError("Thinkific must not be called inside a database transaction.")
