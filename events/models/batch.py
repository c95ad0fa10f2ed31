"""What a person started for many customers at once."""

from collections.abc import Iterable

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from events.models.runs import RuleRun
from integrations.sentences import SentenceField, SentencesField


class Batch(models.Model):
    """The actions that were queued together, and what was left out.

    Only the IDs of the actions are kept: what became of them is read from their own rows.
    """

    title = SentenceField()
    started_by = models.CharField(max_length=150)
    started_at = models.DateTimeField(db_default=Now(), editable=False)
    run_ids = models.JSONField(default=list)
    # Those of `run_ids` that the batch made, one list for each purchase. A list can be undone as a
    # whole or not at all.
    new_ids = models.JSONField(default=list, db_default=models.Value([], models.JSONField()))
    undoes = models.ForeignKey("self", models.SET_NULL, null=True, related_name="undone_by")
    left_out = SentencesField(default=dict)  # {why: how many}

    class Meta:
        verbose_name_plural = _("batches")

    def __str__(self) -> str:
        return self.title

    def add_new(self, runs: Iterable[RuleRun]) -> None:
        """Add runs that the batch made for one purchase. The batch is not saved."""
        numbers = [run.pk for run in runs]
        self.run_ids += numbers
        self.new_ids += [numbers] if numbers else []
