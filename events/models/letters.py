"""The owner's own wording of the letter to a customer who asks where the course is."""

from django.db import models
from django.db.models import Q

from integrations.sentences import say


class LetterTemplate(models.Model):
    """The one template. Without a row Admit's own letter is used, in LANGUAGE_CODE."""

    ONLY = 1

    # "" means `events.reports.customers.letter.default_text`.
    text = models.TextField(blank=True)
    # A code of LANGUAGES: the language of what Admit adds to the text.
    language = models.CharField(max_length=10)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="letter_only_one")]

    def __str__(self) -> str:
        return say("The letter to customers")
