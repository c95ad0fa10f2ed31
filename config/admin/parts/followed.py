"""Messages that say what was queued, then in its place, where they are read, what comes of it."""

from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.messages.storage.base import Message
from django.http import HttpRequest
from django.urls import reverse

from config.admin.parts.buttons import BACK
from config.admin.parts.params import row_id
from events.models import Batch

# How a message's tag begins that names what it follows.
BATCH = "batch-"


def say_queued(request: HttpRequest, sentence: str, batch: Batch) -> None:
    """The message that this was queued; it follows the batch, which is saved."""
    messages.success(request, sentence, extra_tags=f"{BATCH}{batch.pk}")


def address(message: Message, *, back: str) -> str:
    """The page that tells how far it is what the message follows; "" where it follows nothing."""
    number = row_id((message.extra_tags or "").removeprefix(BATCH))
    if number is None:
        return ""
    return f"{reverse('admin:batch')}?{urlencode({'number': number, BACK: back})}"
