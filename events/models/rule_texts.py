"""The rules in words, as events keep them."""

from django.db import models


class RuleTexts(models.Model):
    """The rules as sentences at one time: {rule ID: sentence}. Events of that time share it.

    Sentences are in their stored form; `integrations.sentences.read` reads one.
    """

    digest = models.CharField(max_length=64, unique=True)
    sentences = models.JSONField()

    def __str__(self) -> str:
        return f"{len(self.sentences)} rules"
