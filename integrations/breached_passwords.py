"""Ask a breached-password service, such as Have I Been Pwned, without revealing the password.

The service gets the first five characters of a SHA-1 hash and returns the rest of all the hashes
that begin with them.
"""

import hashlib

from integrations.calls import exchanges
from integrations.errors import Retry
from integrations.sentences import say

PREFIX = 5
SECONDS = 3.0
LARGEST_ANSWER = 512 * 1024  # bytes; about 40 kB is usual


def times_seen(password: str, *, url: str) -> int:
    """Return how often the password was seen in breaches.

    `url` is the service's address without a slash at the end. Raises Retry if the service does not
    answer as expected, and RuntimeError inside a database transaction.
    """
    digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
    reply = exchanges.ask(
        "GET",
        f"{url}/range/{digest[:PREFIX]}",
        # Padding keeps the length of the answer from revealing anything.
        headers={"User-Agent": "Admit", "Add-Padding": "true"},
        seconds=SECONDS,
        largest=LARGEST_ANSWER,
    )
    if reply.status != 200 or reply.fault is not None:
        unanswered = say("The service of breached passwords does not answer.")
        raise Retry(unanswered, status=reply.status)
    for line in reply.text.splitlines():
        rest, _, times = line.partition(":")
        if rest == digest[PREFIX:] and times.isdigit():
            return int(times)
    return 0
