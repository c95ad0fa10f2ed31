"""The call that the steps of Notify URL actions yield."""

from collections.abc import Mapping
from dataclasses import dataclass

from integrations.calls.exchanges import Answer

__all__ = ["Answer", "HttpPost"]


@dataclass(frozen=True, slots=True)
class HttpPost:
    """Post `body` unchanged. A receiver recognizes a repeated message by `message_id`.

    `content_type` and `content_encoding` are those that the body came with, or "". `headers` are
    Admit's own, in addition to the signature's.
    """

    message_id: str
    body: bytes
    content_type: str
    content_encoding: str
    headers: Mapping[str, str]
