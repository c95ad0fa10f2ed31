"""What Coverage says about the rules of a row: those that it adds, and those that are there."""

from collections.abc import Iterable, Iterator, Sequence

from config.admin.pages.products.course_choices import ON_SITE
from config.admin.pages.products.coverage_form import CoverageForm
from config.admin.parts import badges
from integrations.models import Destination
from integrations.sentences import Said, joined, say, say_count, separated
from rules import pairing
from rules.models import Rule


def in_words(rules: Iterable[Rule], *, with_site: bool) -> Said:
    """Return the courses by trigger: "Product Purchased: Course Two. Product Refunded: …".

    `with_site` names the school of each.
    """
    return joined(
        say(
            "{trigger}: {courses}.",
            trigger=trigger.label,
            courses=separated(_name(rule, with_site=with_site) for rule in each),
        )
        for trigger, each in pairing.by_trigger(rules)
    )


def said_added(product: str, rules: Sequence[Rule], *, with_site: bool = False) -> Said:
    """Return "Brushes: 2 rules added.", followed by the same. Several schools are always named."""
    with_site = with_site or len({rule.integration_id for rule in rules}) > 1
    return say_count(
        len(rules),
        "{name}: 1 rule added. {rules}",
        "{name}: {number} rules added. {rules}",
        name=product,
        rules=in_words(rules, with_site=with_site),
    )


def said_off(name: str, rules: Sequence[Rule], *, with_site: bool) -> Said:
    """Return "Brushes: 1 rule is there, but turned off." and which it is."""
    return say_count(
        len(rules),
        "{name}: 1 rule is there, but turned off. {rules}",
        "{name}: {number} rules are there, but turned off. {rules}",
        name=name,
        rules=in_words(rules, with_site=with_site),
    )


def effects(rules: Sequence[Rule], *, with_site: bool) -> list[Said]:
    """Return a line for each trigger, such as "Product Refunded: ends access to Course Two".

    `with_site` names the school of each course.
    """
    found = []
    for trigger, each in pairing.by_trigger(rules):
        facts = {
            "trigger": trigger.label,
            "courses": separated(_name(rule, with_site=with_site) for rule in each),
        }
        if each[0].spec.ends_access:
            found.append(say("{trigger}: ends access to {courses}", **facts))
        else:
            found.append(say("{trigger}: gives access to {courses}", **facts))
    return found


def existing(form: CoverageForm, rules: Iterable[Rule]) -> Iterator[Said]:
    """Return a sentence for each rule of the row that was to be added and is there already."""
    for rule in rules:
        names = {"name": form.name, "course": _name(rule, with_site=form.choices.has_several_sites)}
        if rule.enabled:
            yield say("{name} has a rule for {course} already.", **names)
        else:
            yield say("{name} has a rule for {course} already, and it is turned off.", **names)


def besides(form: CoverageForm, added: Iterable[Rule]) -> Said | str:
    """Say what a product still gives beside the rules to add, "" if that is nothing."""
    sites, given = form.choices.has_several_sites, form.row.given
    if not given or not any(rule.gives_on_purchase for rule in added):
        return ""
    return say(
        "{name} still gives {courses} as well. To give another course instead, change the rule "
        "that gives it.",
        name=form.name,
        courses=separated(_name(rule, with_site=sites) for rule in given),
    )


def _name(rule: Rule, *, with_site: bool) -> str:
    name = badges.destination(rule.destination)
    if rule.destination and rule.destination.kind == Destination.Kind.BUNDLE:
        name = say("{name} (bundle)", name=name)
    return say(ON_SITE, name=name, site=badges.brief(rule.integration)) if with_site else name
