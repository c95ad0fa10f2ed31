"""The canary: Admit posts it to its own address, to see that deliveries arrive and are read.

It is marked by an HMAC with SECRET_KEY, for one account and a few minutes, and its body holds
nothing but the mark. So a stranger cannot make one, and a mark that somebody saw on the way fits
nothing else. A delivery with a bad or late mark is an ordinary event of an unknown type.
"""

import json
import secrets
import time

from django.core import signing

from events.models import Delivery

# How long a mark is valid, and how much the clocks of two machines may differ.
LIFE_SECONDS = 300
# SamCart has no such type: if read as an event, it runs no rule.
TYPE = "Admit canary"
_BEGINNING = b'{"admit_canary": "'
_LONGEST = 300
_signer = signing.Signer(salt="events.receiving.canary")


def body(marketplace: int) -> bytes:
    """Return a new canary for this account's address."""
    return _written(_signer.sign(f"{marketplace}.{secrets.token_hex(16)}.{int(time.time())}"))


def is_one(delivery: Delivery, content: bytes) -> bool:
    """Whether the delivery with this content is our canary, received while its mark was valid."""
    if not content.startswith(_BEGINNING) or len(content) > _LONGEST:
        return False
    mark = content[len(_BEGINNING) :].partition(b'"')[0].decode("utf-8", "replace")
    try:
        marketplace, _, made_at = _signer.unsign(mark).split(".")
    except signing.BadSignature:
        return False
    late = delivery.received_at.timestamp() - int(made_at)
    ours = int(marketplace) == delivery.marketplace_id and content == _written(mark)
    return ours and abs(late) <= LIFE_SECONDS


def _written(mark: str) -> bytes:
    return json.dumps({"admit_canary": mark, "type": TYPE}).encode()
