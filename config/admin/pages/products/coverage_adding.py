"""Adding what was entered on Coverage: the rules of all rows, or none."""

from dataclasses import dataclass, field
from itertools import chain

from django.core.exceptions import ValidationError
from django.db import transaction

from config.admin.pages.products.coverage_form import CoverageForm
from rules import changing
from rules.models import Rule


@dataclass
class Added:
    """The rules that were added for each row, and those that existed already.

    `off` are existing ones that end access or give it back, but are turned off.

    `only_looked`: they were rolled back, so that a person can look at them first.
    """

    made: list[tuple[CoverageForm, list[Rule]]] = field(default_factory=list)
    left: list[tuple[CoverageForm, list[Rule]]] = field(default_factory=list)
    off: list[tuple[CoverageForm, list[Rule]]] = field(default_factory=list)
    only_looked: bool = False


def add(forms: list[CoverageForm], *, mend: bool, unseen: int | None) -> Added | None:
    """Add all of it. Returns None if a rule cannot be added; then its row has the error.

    Rules for more than `unseen` products are rolled back; None rolls nothing back.
    """
    added = Added()
    try:
        with changing.all_or_none():
            for form in forms:
                added.left.append((form, [] if mend else form.existing()))
                if off := list(chain(*form.turned_off.values())) if mend else form.existing_off():
                    added.off.append((form, off))
                rules = form.row.recommended() if mend else form.rules()
                for rule in rules:
                    rule.full_clean()
                if rules:
                    added.made.append((form, rules))
            changing.add_all([rule for _, rules in added.made for rule in rules])
            added.only_looked = unseen is not None and len(added.made) > unseen
            transaction.set_rollback(added.only_looked)
    except ValidationError as error:
        form.errors += error.messages
        return None
    return added
