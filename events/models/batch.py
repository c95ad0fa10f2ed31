"""What a person started for many at once."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from integrations.sentences import SentenceField, SentencesField


class Batch(models.Model):
    """The actions that were queued together, and what was left out.

    The actions are named by number only: what became of them is read from them.
    """

    title = SentenceField()
    started_by = models.CharField(max_length=150)
    started_at = models.DateTimeField(db_default=Now(), editable=False)
    run_ids = models.JSONField(default=list)
    left_out = SentencesField(default=dict)  # {why: how many}

    class Meta:
        verbose_name_plural = _("batches")

    def __str__(self) -> str:
        return self.title
