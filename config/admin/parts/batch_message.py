"""Messages that say what was queued, and show its results in their place later."""

from dataclasses import dataclass
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.messages.storage.base import Message
from django.http import HttpRequest
from django.urls import reverse

from config.admin.parts.buttons import BACK
from config.admin.parts.params import row_in
from events.models import Batch, RuleRun
from events.models.runs import UNFINISHED
from events.reports import batches

# The beginning of a message's tag that names the batch it follows.
BATCH = "batch-"
# The tag of a message that is not true anymore when what the page shows has ended.
STARTED = "started"


def say_queued(request: HttpRequest, sentence: str, batch: Batch) -> None:
    """Add the message that this was queued; it follows the batch, which must be saved."""
    messages.success(request, sentence, extra_tags=f"{BATCH}{batch.pk}")


def say_started(request: HttpRequest, sentence: str) -> None:
    """Add a message that says only what has started; no message for an empty sentence.

    progress.js removes it when nothing on the page is under way anymore.
    """
    if sentence:
        messages.success(request, sentence, extra_tags=STARTED)


@dataclass(frozen=True, slots=True)
class BatchMessage:
    """The batch that a message follows, its progress, and the page that tells more.

    `page_waits` says that the page was read before, and shows actions that are not over.
    """

    batch: Batch
    progress: batches.Progress
    page: str
    page_waits: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to follow; an ending that was brought forward still runs.

        While the page waits, so does its message: it would contradict the page.
        """
        if self.page_waits:
            return False
        runs = RuleRun.objects.filter(pk__in=self.batch.run_ids, status__in=UNFINISHED)
        return self.progress.is_over and not runs.exists()

    @property
    def level(self) -> str:
        """The level to show it at in place of the message's own, "" for none."""
        if not self.page_waits and self.progress.is_over and self.progress.number_failed:
            return "error"
        return "warning" if self.progress.is_kept_waiting else ""


def read(message: Message, *, back: str, page_waits: bool = False) -> BatchMessage | None:
    """Return what the message follows; None if nothing, or if the batch is not kept anymore."""
    tag = message.extra_tags or ""
    batch = row_in(Batch.objects.all(), tag.removeprefix(BATCH)) if tag.startswith(BATCH) else None
    if batch is None:
        return None
    page = f"{reverse('admin:batch')}?{urlencode({'number': batch.pk, BACK: back})}"
    return BatchMessage(batch, batches.progress(batch), page, page_waits)
