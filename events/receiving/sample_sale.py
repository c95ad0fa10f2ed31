"""Send a sale as SamCart would, and wait for what comes of it."""

import hashlib
import http.client
import time
from urllib.parse import urlsplit

from events.models import Delivery, EventLog, RuleRun
from integrations.calls import rate_limit

# The longest pause of a site to wait for, in seconds.
LONGEST_PAUSE = 5.0
UNFINISHED = {EventLog.Status.WAITING}


class NotReceived(Exception):
    """The event was not accepted; the text is a sentence that says why."""


def send(address: str, body: bytes) -> Delivery:
    """POST the body as SamCart would. Return the delivery that was stored. Raises NotReceived."""
    parts = urlsplit(address)
    https = parts.scheme == "https"
    connection_type = http.client.HTTPSConnection if https else http.client.HTTPConnection
    connection = connection_type(parts.hostname or "", parts.port, timeout=30)
    where = f"{parts.scheme}://{parts.netloc}"
    try:
        connection.request("POST", parts.path, body, {"Content-Type": "application/json"})
        with connection.getresponse() as response:
            status, said = response.status, _plain_line(response)
    except (OSError, http.client.HTTPException) as error:
        raise NotReceived(
            f"Admit does not answer at {where} ({type(error).__name__}). Is `manage.py up` running?"
        ) from None
    finally:
        connection.close()
    if status != 200:
        raise NotReceived(f"The webhook at {where} answered {status} instead of 200. {said}")
    digest = hashlib.sha256(body).hexdigest()
    delivery = Delivery.objects.filter(body_digest=digest).order_by("pk").last()
    if delivery is None:
        raise NotReceived(f"{where} took the event, but into another database than this one.")
    return delivery


def _plain_line(response: http.client.HTTPResponse) -> str:
    """Return what our webhook says beside its status; another server sends a page of HTML."""
    if not (response.getheader("Content-Type") or "").startswith("text/plain"):
        return "Is that Admit's address?"
    line = response.read(200).decode("utf-8", "replace").strip()
    return "".join(sign for sign in line if sign.isprintable())


def wait_for(delivery: Delivery, seconds: float) -> list[EventLog]:
    """Return the delivery's events once none waits or one is stuck, at most after `seconds`."""
    until = time.monotonic() + seconds
    while True:
        events = list(delivery.events.select_related("product", "customer").order_by("line"))
        if events and not any(event.status in UNFINISHED for event in events):
            return events
        if time.monotonic() > until or any(_stuck(run) for e in events for run in e.runs.all()):
            return events
        time.sleep(0.1)


def _stuck(run: RuleRun) -> bool:
    """Whether it will wait for longer than a person wants to watch."""
    if run.status != RuleRun.Status.WAITING or run.integration is None:
        return False
    _, pause = rate_limit.blocked_for(run.integration.pk)
    return run.attempts > 0 or pause > LONGEST_PAUSE or not run.integration.enabled
