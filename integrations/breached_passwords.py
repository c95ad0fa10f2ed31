"""Asks a service of breached passwords, such as Have I Been Pwned, without telling the password.

It gets the first five characters of a SHA-1 and answers with the rest of all that begin so.
"""

import hashlib

from integrations import exchanges
from integrations.errors import OutsideError, Retry
from integrations.exchanges import Answer, Exchange, Reply
from integrations.sentences import say

PREFIX = 5
SECONDS = 3.0
LARGEST_ANSWER = 512 * 1024  # bytes; some 40 kB are usual


def times_seen(password: str, *, url: str) -> int:
    """In how many breaches the password was seen. `url` is the service's, without an end slash.

    Raises Retry when the service does not answer as it should, and RuntimeError inside a database
    transaction.
    """
    exchanges.refuse_in_transaction()
    digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
    request = exchanges.Request(
        method="GET",
        url=f"{url}/range/{digest[:PREFIX]}",
        # With padding, the length of the answer says nothing either.
        headers={"User-Agent": "Admit", "Add-Padding": "true"},
        body=b"",
        body_text="",
        seconds=SECONDS,
        largest=LARGEST_ANSWER,
        kept=0,
    )
    answer = exchanges.carry_out(request, _judge, _forget)
    for line in answer.body.splitlines():
        rest, _, times = line.partition(":")
        if rest == digest[PREFIX:] and times.isdigit():
            return int(times)
    return 0


def _judge(reply: Reply) -> Answer | OutsideError:
    if reply.status == 200 and reply.cut is None:
        return Answer(reply.status, reply.text)
    return Retry(say("The service of breached passwords does not answer."), status=reply.status)


def _forget(_: Exchange) -> None:
    """The exchange is kept nowhere."""
