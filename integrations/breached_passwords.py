"""Asks a service of breached passwords, such as Have I Been Pwned, without telling the password.

It gets the first five characters of a SHA-1 and answers with the rest of all that begin so.
"""

import hashlib

from integrations import exchanges
from integrations.errors import Retry
from integrations.sentences import say

PREFIX = 5
SECONDS = 3.0
LARGEST_ANSWER = 512 * 1024  # bytes; some 40 kB are usual


def times_seen(password: str, *, url: str) -> int:
    """In how many breaches the password was seen. `url` is the service's, without an end slash.

    Raises Retry when the service does not answer as it should, and RuntimeError inside a database
    transaction.
    """
    digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
    reply = exchanges.ask(
        "GET",
        f"{url}/range/{digest[:PREFIX]}",
        # With padding, the length of the answer says nothing either.
        headers={"User-Agent": "Admit", "Add-Padding": "true"},
        seconds=SECONDS,
        largest=LARGEST_ANSWER,
    )
    if reply.status != 200 or reply.cut is not None:
        unanswered = say("The service of breached passwords does not answer.")
        raise Retry(unanswered, status=reply.status)
    for line in reply.text.splitlines():
        rest, _, times = line.partition(":")
        if rest == digest[PREFIX:] and times.isdigit():
            return int(times)
    return 0
