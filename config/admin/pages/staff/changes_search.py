"""The search in Changes: by what was changed, who did it, and the customer whom it is about."""

import json

from django.db.models import Q, TextField
from django.db.models.functions import Cast

from events.models import EventLog, RuleRun
from events.reports import activity_search
from integrations.models import AuditEntry, Customer
from integrations.sentences import OBJECT
from integrations.who import called
from rules.short_sentences import labels_said

# How many of the newest names that are sentences are searched.
SENTENCES = 5000
# How many of the newest events, and of the newest actions, of the customers found are searched.
OF_CUSTOMERS = 1000


def matching(term: str) -> Q:
    """Return a filter for entries that have each word in the name, the person or the customer.

    A rule is found by both forms of its sentence, a customer by e-mail address and name.
    """
    typed = term.split()
    # The list says a rule with signs between its parts, and its sentence has others.
    parts = [each for each in typed if any(map(str.isalnum, each))] or typed
    found = Q()
    for part in parts:
        people = Q(who__icontains=part) | Q(who__in=called(part))
        found &= people | _named(part) | _about(part)
    if len(parts) > 1:  # many customers may share one of the names
        found |= _about(" ".join(parts))
    return found


def _named(part: str) -> Q:
    """Return a filter for entries whose name contains this, as the reader sees it.

    A name that is a sentence is stored as JSON, which the database cannot search: the newest of
    those are searched here.
    """
    entries = AuditEntry.objects.annotate(kept=Cast("name", TextField()))
    sentences = entries.filter(kept__startswith=OBJECT).order_by("-pk")
    known = sentences.values_list("pk", "name", "kept")[:SENTENCES]
    like, labels = part.casefold(), [json.dumps(label) for label in labels_said(part)]
    read = [
        pk
        for pk, name, kept in known
        if like in name.casefold() or any(label in kept for label in labels)
    ]
    plain = entries.exclude(kept__startswith=OBJECT).filter(kept__icontains=part)
    return Q(pk__in=read) | Q(pk__in=plain.values("pk"))


def _about(typed: str) -> Q:
    """Return a filter for entries about the customers whom this means, their events and actions.

    Those are all entries whose rows name these customers.
    """
    customers = activity_search.people(typed)
    of = {Customer._meta.model_name: customers}
    for model in (EventLog, RuleRun):
        rows = model._default_manager.filter(customer__in=customers).order_by("-pk")
        newest = rows.values_list("pk", flat=True)[:OF_CUSTOMERS]
        of[model._meta.model_name] = list(newest) if customers else []
    found = Q(pk__in=[])
    for kind, numbers in of.items():
        found |= Q(kind=kind, number__in=[str(number) for number in numbers])
    return found
