"""The owner's own words of the letter to a customer who asks where the course is."""

from django.db import models
from django.db.models import Q

from integrations.sentences import say


class LetterTemplate(models.Model):
    """The one template; where there is no row, `events.reports.letter.ours` is used."""

    ONLY = 1

    text = models.TextField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="letter_only_one")]

    def __str__(self) -> str:
        return say("The letter to customers")
