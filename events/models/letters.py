"""The owner's own words of the letter to a customer who asks where the course is."""

from django.db import models
from django.db.models import Q

from integrations.sentences import say


class LetterTemplate(models.Model):
    """The one template; without a row the letter is ours, in the language of who reads the page."""

    ONLY = 1

    # "" where it is `events.reports.letter.ours`.
    text = models.TextField(blank=True)
    # A code of LANGUAGES: in this one is what the program adds to the text.
    language = models.CharField(max_length=10)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="letter_only_one")]

    def __str__(self) -> str:
        return say("The letter to customers")
