"""Post a message to a Notify URL, signed at the moment of sending.

The client keeps no state and never retries. A call ends within its deadline, keeps at most 64 KiB
of the answer, connects only to allowed addresses, and ends in an `Answer` or one of
`integrations.errors`.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

from integrations.calls import exchanges
from integrations.calls.deadline import LookUp, any_address, look_up
from integrations.calls.exchanges import Answer, Exchange, Reply
from integrations.errors import OutsideError, Retry
from integrations.notify_url import address_check, answers, signature
from integrations.notify_url.calls import HttpPost
from integrations.sentences import say

__all__ = ["Answer", "Client", "Exchange", "HttpPost"]

LARGEST_ANSWER = 64 * 1024  # bytes, decoded; the rest is not read
LONGEST_KEPT = 64 * 1024  # characters of a body that an Exchange keeps
DEFAULT_CONTENT_TYPE = "application/json"  # what SamCart sends
_HEADER = re.compile(r"[!-~]([ -~]*[!-~])?")


def _nothing(*_: object) -> None:
    """Do nothing: the default for `after_call`."""


class Client:
    """A client for one receiver.

    `url` and `secret` are its address and signing secret, `deadline` the seconds that one call may
    take. `allow_private` allows http and addresses of private networks. `after_call(exchange)`
    runs after each request that was sent, before its error is raised. `resolve` looks up hosts.

    `send` raises Refused, Retry and LimitReached, and RuntimeError inside a database transaction.
    """

    def __init__(
        self,
        *,
        url: str,
        secret: str,
        after_call: Callable[[Exchange], None] = _nothing,
        deadline: float = 20.0,
        version: str,
        allow_private: bool = False,
        resolve: LookUp = look_up,
    ) -> None:
        self._url = url
        self._secret = secret
        self._after_call = after_call
        self._deadline = deadline
        self._version = version
        self._allow_private = allow_private
        self._resolve = resolve

    def send(self, call: HttpPost) -> Answer:
        """Post the message once. Any 2xx is success, whatever its body."""
        exchanges.refuse_in_transaction()
        parts = urlsplit(self._url)
        host = parts.hostname or self._url
        if parts.scheme != "https" and not self._allow_private:
            sentence = say(answers.NOT_HTTPS, host=host)
            raise Retry(sentence, code="address_not_allowed", in_doubt=False)

        def judge(reply: Reply) -> Answer | OutsideError:
            now = datetime.now(UTC)
            return answers.judge(reply, host=host, seconds=self._deadline, now=now)

        return exchanges.carry_out(self._request(call), judge, self._after_call)

    def _request(self, call: HttpPost) -> exchanges.Request:
        return exchanges.Request(
            method="POST",
            url=self._url,
            headers=self._headers(call),
            body=call.body,
            body_text=_shown(call),
            seconds=self._deadline,
            largest=LARGEST_ANSWER,
            kept=LONGEST_KEPT,
            may_connect=any_address if self._allow_private else address_check.is_public,
            look_up=self._resolve,
        )

    def _headers(self, call: HttpPost) -> dict[str, str]:
        headers = {
            "User-Agent": f"Admit/{self._version}",
            "Content-Type": _header(call.content_type) or DEFAULT_CONTENT_TYPE,
        }
        if encoding := _header(call.content_encoding):
            headers["Content-Encoding"] = encoding
        signed = signature.headers(self._secret, call.message_id, datetime.now(UTC), call.body)
        return headers | dict(call.headers) | signed


def _header(text: str) -> str:
    """Return a header's value as it came, or "" if it cannot be sent."""
    return text if _HEADER.fullmatch(text) else ""


def _shown(call: HttpPost) -> str:
    if call.content_encoding not in {"", "identity"}:
        return f"({len(call.body)} bytes, {call.content_encoding})"
    return exchanges.text_of(call.body)
