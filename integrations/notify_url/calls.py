"""The call that steps of Notify URLs yield."""

from collections.abc import Mapping
from dataclasses import dataclass

from integrations.exchanges import Answer

__all__ = ["Answer", "HttpPost"]


@dataclass(frozen=True, slots=True)
class HttpPost:
    """Post `body` as it is. A receiver knows by `message_id` what it got before.

    `content_type` and `content_encoding` are those with which the body came, or "". `headers`
    are Admit's own, beside those of the signature.
    """

    message_id: str
    body: bytes
    content_type: str
    content_encoding: str
    headers: Mapping[str, str]
