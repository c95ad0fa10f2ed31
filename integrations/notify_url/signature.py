"""Standard Webhooks signatures, by which a receiver knows that a message comes from Admit.

The package `standardwebhooks` signs text. SamCart's body may be compressed and so not be text, so
the package's HMAC is applied to the bytes. For text the result is the same.
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
    """Return a new signing secret, in the form that people enter at the receiver."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode("ascii")


def key_of(secret: str) -> bytes:
    """Return the key bytes of a secret. Raises ValueError with a sentence for a person."""
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
    """Return the three signature headers of a message that is sent at time `at` (aware).

    `message_id` must have no dot, because dots separate the signed parts. Raises like `key_of`.
    """
    seconds = str(int(at.timestamp()))
    signed = hmac_data(key_of(secret), f"{message_id}.{seconds}.".encode() + body)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": seconds,
        "webhook-signature": f"v1,{base64.b64encode(signed).decode('ascii')}",
    }
