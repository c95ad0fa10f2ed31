"""What Coverage says about the rules of a row: those that it adds, and those that are there."""

from collections.abc import Iterable, Iterator, Sequence

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from config.admin.pages.products.coverage_form import CoverageForm
from config.admin.parts import badges
from integrations.sentences import Said, joined, say, say_count, separated
from rules import pairing
from rules.models import Rule


def in_words(rules: Iterable[Rule]) -> Said:
    """Return the courses by trigger: "Product Purchased: Course Two. Product Refunded: …"."""
    return joined(
        say(
            "{trigger}: {courses}.",
            trigger=trigger.label,
            courses=separated(rule.destination for rule in each),
        )
        for trigger, each in pairing.by_trigger(rules)
    )


def said_added(product: str, rules: Sequence[Rule]) -> Said:
    """Return "Brushes: 2 rules added.", followed by the same."""
    return say_count(
        len(rules),
        "{name}: 1 rule added. {rules}",
        "{name}: {number} rules added. {rules}",
        name=product,
        rules=in_words(rules),
    )


def said_off(name: str, rules: Sequence[Rule]) -> Said:
    """Return "Brushes: 1 rule is there, but turned off." and which it is."""
    return say_count(
        len(rules),
        "{name}: 1 rule is there, but turned off. {rules}",
        "{name}: {number} rules are there, but turned off. {rules}",
        name=name,
        rules=in_words(rules),
    )


def effects(rules: Sequence[Rule]) -> list[Said]:
    """Return a line for each trigger, such as "Product Refunded: ends access to Course Two"."""
    found = []
    for trigger, each in pairing.by_trigger(rules):
        facts = {
            "trigger": trigger.label,
            "courses": separated(badges.destination(rule.destination) for rule in each),
        }
        if each[0].spec.ends_access:
            found.append(say("{trigger}: ends access to {courses}", **facts))
        else:
            found.append(say("{trigger}: gives access to {courses}", **facts))
    return found


def existing(form: CoverageForm, rules: Iterable[Rule]) -> Iterator[Said]:
    """Return a sentence for each rule of the row that was to be added and is there already."""
    for rule in rules:
        names = {"name": form.name, "course": str(rule.destination)}
        if rule.enabled:
            yield say("{name} has a rule for {course} already.", **names)
        else:
            yield say("{name} has a rule for {course} already, and it is turned off.", **names)


def options(names: Sequence[str]) -> SafeString:
    """Return the options behind the fields. Not in the template, because there may be thousands."""
    # Escaped together, which takes a tenth of the time. No name has a line break.
    options = escape("\n".join(names)).replace("\n", '"></option><option value="')
    options = f'<option value="{options}"></option>' if names else ""
    return mark_safe(options)  # noqa: S308 - escaped
