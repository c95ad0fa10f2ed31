"""Signatures of Standard Webhooks, by which a receiver knows that a message comes from Admit.

The package `standardwebhooks` signs text. What SamCart sent may be compressed and so be no text,
so its HMAC is used on the bytes; for text both give the same.
"""

import base64
import secrets
from datetime import datetime

from standardwebhooks.webhooks import hmac_data

from integrations.sentences import say

PREFIX = "whsec_"
SECRET_BYTES = 32
_SHORTEST, _LONGEST = 24, 64  # bytes that Standard Webhooks allows


def new_secret() -> str:
    """A fresh signing secret, in the spelling that receivers enter."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode("ascii")


def key_of(secret: str) -> bytes:
    """The bytes that a secret stands for; raises ValueError with a sentence for a person."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith(PREFIX) or not _SHORTEST <= len(key) <= _LONGEST:
        unusable = say(
            "A signing secret is {prefix} and the base64 of {shortest} to {longest} random bytes, "
            "as Standard Webhooks has it.",
            prefix=PREFIX,
            shortest=_SHORTEST,
            longest=_LONGEST,
        )
        raise ValueError(unusable)
    return key


def headers(secret: str, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers of a message that is sent `at` (aware) this moment.

    `message_id` has no dot, for dots separate what is signed. Raises as `key_of` does.
    """
    seconds = str(int(at.timestamp()))
    signed = hmac_data(key_of(secret), f"{message_id}.{seconds}.".encode() + body)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": seconds,
        "webhook-signature": f"v1,{base64.b64encode(signed).decode('ascii')}",
    }
