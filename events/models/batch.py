"""What a person started for many at once."""

from collections.abc import Iterable

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from events.models.runs import RuleRun
from integrations.sentences import SentenceField, SentencesField


class Batch(models.Model):
    """The actions that were queued together, and what was left out.

    The actions are named by number only: what became of them is read from them.
    """

    title = SentenceField()
    started_by = models.CharField(max_length=150)
    started_at = models.DateTimeField(db_default=Now(), editable=False)
    run_ids = models.JSONField(default=list)
    # Of these the ones that did not exist before, a list for each purchase: what they did can be
    # undone, all of a list or nothing.
    new_ids = models.JSONField(default=list, db_default=models.Value([], models.JSONField()))
    undoes = models.ForeignKey("self", models.SET_NULL, null=True, related_name="undone_by")
    left_out = SentencesField(default=dict)  # {why: how many}

    class Meta:
        verbose_name_plural = _("batches")

    def __str__(self) -> str:
        return self.title

    def add_new(self, runs: Iterable[RuleRun]) -> None:
        """Note these, which were made for one purchase; not saved."""
        numbers = [run.pk for run in runs]
        self.run_ids += numbers
        self.new_ids += [numbers] if numbers else []
