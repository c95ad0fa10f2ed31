"""Whom running rules for earlier events would concern, and who is left out."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from events.access import revocations
from events.models import EventLog
from integrations.models import Customer
from integrations.sentences import Said
from rules.models import Rule
from rules.triggers import Trigger


@dataclass(frozen=True, slots=True)
class BackfillCandidate:
    """An event from before a rule: the rules that would run for it, or why none will.

    `note` says what gives the buyer everything already, so that nothing changes in Thinkific, or
    that a person undid what was given. `is_undone` says whether a person undid it. For rules that
    only end access, `is_known_open` says whether the purchase gave it and it is open; a purchase
    from before Admit may have given it, too. `held_rules` are the IDs of those `rules` that give
    what the buyer has already, and `rules_without_loss` of those by which the buyer loses nothing,
    because something else gives it. `overruled_rules` are the IDs of those asked rules whose course
    a person let the buyer keep, and `missed_rules` of those global `rules` that give access and
    were off when the event came. `student` is who gets or loses it: not the event's customer if a
    person moved the purchase to another e-mail.
    """

    event: EventLog
    rules: Sequence[Rule]
    why_not: str = ""
    note: str = ""
    is_undone: bool = False
    is_known_open: bool = False
    overruled_rules: Collection[int] = ()
    held_rules: Collection[int] = ()
    rules_without_loss: Collection[int] = ()
    missed_rules: Collection[int] = ()
    student: Customer | None = None

    @property
    def other_address(self) -> Customer | None:
        """The event's customer, if it is not the student."""
        return None if self.event.customer == self.student else self.event.customer

    @property
    def was_moved(self) -> bool:
        """Whether it is the purchase of another address, from which a person moved it."""
        bought = self.event.trigger == Trigger.PRODUCT_PURCHASED
        return bought and self.other_address is not None

    @property
    def changing(self) -> list[Rule]:
        """Those of `rules` by which something changes for the buyer."""
        same = {*self.held_rules, *self.rules_without_loss}
        return [rule for rule in self.rules if rule.pk not in same]

    @property
    def was_missed(self) -> bool:
        """Whether a global rule did not run for it because it was off then."""
        return any(rule.pk in self.missed_rules for rule in self.rules)

    @property
    def loses_nothing(self) -> bool:
        """Whether the rules end access, and the buyer keeps all of it by something else."""
        return bool(self.rules_without_loss) and all(rule.spec.passes_on for rule in self.changing)

    @property
    def has_all(self) -> bool:
        """Whether the rules give access, and the buyer has all of it already."""
        return bool(self.held_rules) and all(rule.spec.passes_on for rule in self.changing)

    @property
    def ending(self) -> Said:
        """What happened if it is a refund or cancellation: "order 1183 was refunded on 3 May"."""
        return revocations.sentence(self.event)

    @property
    def is_of_unknown_purchase(self) -> bool:
        """Whether it is a cancellation of what may have been bought before Admit, and ended then.

        A rule that ends all access of the buyer may end what other purchases gave.
        """
        known = self.is_known_open or any(rule.ends_all for rule in self.rules)
        return self.event.trigger != Trigger.PRODUCT_REFUNDED and not known

    @property
    def lacks_access(self) -> bool:
        """Whether the event gave something, and the buyer lacks what the rules give."""
        return not self.event.has_nothing and not self.has_all


@dataclass(frozen=True, slots=True)
class Preview:
    """What running rules for earlier events would do. With `more` there are further events.

    Events in `undone` could run, too, but a person undid what was given for them. They run only
    if a person asks for them separately. Those in `unchanged` run with those in `run`: something
    else gives the buyers what the rules end, so they lose it only when that ends, too.
    """

    run: list[BackfillCandidate]
    undone: list[BackfillCandidate]
    left_out: list[BackfillCandidate]
    more: bool
    unchanged: list[BackfillCandidate] = field(default_factory=list)

    @property
    def number(self) -> int:
        """The number of events for which rules could run, also those that a person undid."""
        return len(self.run) + len(self.unchanged) + len(self.undone)

    @property
    def customers(self) -> int:
        return len(_students(self.run))

    @property
    def changing(self) -> list[BackfillCandidate]:
        """Those of `run` by which something changes for the buyer."""
        return [row for row in self.run if not row.has_all]

    @property
    def missed(self) -> list[BackfillCandidate]:
        """Those of `changing` for which a global rule was off."""
        return [row for row in self.changing if row.was_missed]

    @property
    def not_missed(self) -> list[BackfillCandidate]:
        """The others of `changing`."""
        return [row for row in self.changing if not row.was_missed]

    @property
    def customers_missed(self) -> int:
        return len(_students(self.missed))

    @property
    def customers_not_missed(self) -> int:
        """The number of customers for whom something changes and no purchase was missed."""
        return len(_students(self.not_missed) - _students(self.missed))

    @property
    def customers_changing(self) -> int:
        return len(_students(self.changing))

    @property
    def has_already(self) -> list[BackfillCandidate]:
        """Those of `run` whose buyers have it already, and will have it by this purchase too."""
        return [row for row in self.run if row.has_all]

    @property
    def customers_unchanged(self) -> int:
        return len(_students(self.unchanged))

    @property
    def customers_undone(self) -> int:
        return len(_students(self.undone))

    @property
    def only_unfulfilled(self) -> int | None:
        """The ID of the only event that gave nothing; None if there are several, or none."""
        nothing = [each.event.pk for each in self.run if each.event.has_nothing]
        return nothing[0] if len(nothing) == 1 and not self.more else None

    @property
    def customers_given_nothing(self) -> int:
        """The number of customers in `run` who had an event that gave nothing."""
        return len(_students(each for each in self.run if each.event.has_nothing))

    @property
    def lacking_access(self) -> "Preview":
        """The part whose events gave something, but the buyers lack what the rules give."""
        return Preview([row for row in self.run if row.lacks_access], [], [], self.more)

    @property
    def to_end(self) -> "Preview":
        """The part about rules that end access, which pages show without being asked."""
        return replace(self, run=[row for row in self.run if not row.is_of_unknown_purchase])

    def without(self, moved: Collection[tuple[int, int]]) -> "Preview":
        """Return the part without these (event ID, rule ID).

        Their buyers have what a deleted rule gave, and are moved rather than enrolled: enrolling
        them would leave them that, too.
        """
        rows = [
            (row, [rule for rule in row.rules if (row.event.pk, rule.pk) not in moved])
            for row in self.run
        ]
        return replace(self, run=[replace(row, rules=rules) for row, rules in rows if rules])

    @property
    def courses(self) -> list[str]:
        """The names of the courses and bundles that the rules would give or end, each once."""
        names = (
            rule.destination.name for row in self.run for rule in row.changing if rule.destination
        )
        return list(dict.fromkeys(names))

    @property
    def kept(self) -> list[Customer]:
        """The customers who are left out because a person let them keep what they have."""
        found = dict.fromkeys(row.student for row in self.left_out if row.overruled_rules)
        return [customer for customer in found if customer is not None]

    def customers_of(self, rule: Rule) -> int:
        """Return for how many customers this rule would change something."""
        return len(_students(each for each in self.run if rule in each.changing))

    def by_rule(self, rules: Iterable[Rule]) -> dict[int, "Preview"]:
        """Return the part of it that is about each of these rules, by rule ID."""
        parts = {rule.pk: Preview([], [], [], self.more) for rule in rules}
        for row in [*self.run, *self.unchanged]:
            for rule in row.rules:
                if rule.pk in parts:
                    part = parts[rule.pk]
                    rows = part.unchanged if rule.pk in row.rules_without_loss else part.run
                    held = {rule.pk} & {*row.held_rules}
                    rows.append(replace(row, rules=[rule], held_rules=held))
        for row in self.left_out:
            for number in {*(rule.pk for rule in row.rules), *row.overruled_rules} & parts.keys():
                overruled = {number} & {*row.overruled_rules}
                parts[number].left_out.append(replace(row, overruled_rules=overruled))
        return parts


def merged(parts: Iterable[Preview]) -> Preview:
    """Return what these parts would run, as one."""
    parts = list(parts)
    rows = [row for part in parts for row in part.run]
    return Preview(rows, [], [], more=any(part.more for part in parts))


def customers_of(events: Iterable[EventLog]) -> set[int]:
    """Return the IDs of these events' customers."""
    return {event.customer_id for event in events if event.customer_id}


def _students(rows: Iterable[BackfillCandidate]) -> set[int]:
    return {row.student.pk for row in rows if row.student}
