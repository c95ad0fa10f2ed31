"""The form of one row of the coverage page, and the rules that it makes."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from config.admin.pages.log.log_filters import sales_of
from config.admin.pages.products.course_choices import Choices
from config.admin.pages.products.trigger_cells import TriggerCell
from config.admin.pages.rules import leftover_groups
from config.admin.pages.rules.given.turned_off import for_all_products
from config.admin.parts import badges
from events.reports.products.coverage import Coverage, State
from integrations.finding.slips import names_like
from integrations.models import Destination
from integrations.sentences import Said, say
from rules import actions, pairing
from rules.fired import included_in
from rules.listing import listed
from rules.models import Rule, Scope
from rules.triggers import Trigger

TICKS = (*pairing.ENDS, *pairing.GIVES_BACK)
LONGEST_NAME = 500
# How many names that are nearly the one entered are offered.
SIMILAR = 3


@dataclass
class CoverageForm:
    """A row, with what is suggested and what was entered.

    `entered` are names of courses or bundles, `ticked` the triggers on which access is ended or
    given back: as the page first shows them, or as they were sent. `lacking` says how many earlier
    buyers lack what the product's rules give now, with the address of their page.
    """

    row: Coverage
    choices: Choices
    entered: list[str] = field(default_factory=list)
    ticked: list[Trigger] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    chosen: list[Destination] = field(default_factory=list)
    lacking: tuple[str, str] | None = None

    @classmethod
    def fresh(cls, row: Coverage, choices: Choices, *, paid_once: bool = False) -> "CoverageForm":
        """Return a row as first shown. Its triggers are ticked if no rule gives anything yet.

        For a product that is paid once, these are only the triggers that can come for it.
        """
        matters = pairing.MATTERS_ALWAYS if paid_once else TICKS
        return cls(row, choices, ticked=[] if row.set_up else list(matters))

    @classmethod
    def read(cls, row: Coverage, choices: Choices, given: Any) -> "CoverageForm":
        """Return a row as sent. A name that does not mean just one course or bundle is an error."""
        sent = (" ".join(name[:LONGEST_NAME].split()) for name in given.getlist(f"give-{row.key}"))
        on = given.getlist(f"on-{row.key}")
        form = cls(
            row,
            choices,
            entered=list(dict.fromkeys(filter(None, sent))),
            ticked=[each for each in TICKS if each in on and row.state(each) != State.COVERED],
        )
        for name in form.entered:
            found = choices.named(name)
            if len(found) == 1:
                form.chosen.append(found[0])
            else:
                form.errors.append(_not_one(name, found))
        return form

    @cached_property
    def name(self) -> str:
        """The name of the row in sentences."""
        if product := self.row.product:
            return badges.brief(product.name)
        return say("Every product of {account}", account=str(self.row.marketplace))

    @property
    def is_touched(self) -> bool:
        """Whether something was entered that saving would act on."""
        return bool(self.entered or (self.ticked and self.row.set_up))

    @cached_property
    def suggested(self) -> list[str]:
        """Names of courses that the product may be about, unless rules of its own give access."""
        product = self.row.product
        if product is None or self.row.purchase_rules:
            return []
        return self.choices.like(product)

    @property
    def suggestions(self) -> list[tuple[str, bool]]:
        """Each suggested name, and whether it is ticked."""
        return [(name, name in self.entered) for name in self.suggested]

    @property
    def typed(self) -> list[str]:
        """Entered names that were not suggested.

        One that is not understood stays, to be corrected.
        """
        return [name for name in self.entered if name not in self.suggested]

    @property
    def rule_for_earlier(self) -> Rule | None:
        """The rule that can be run for buyers who paid and got nothing."""
        giving = [*self.row.given, *self.row.given_everywhere]
        return giving[0] if giving and self.row.paid_for_nothing else None

    @property
    def sales_page(self) -> str:
        """The address of the log that lists the counted sales; "" for global rules."""
        return sales_of(self.row.product.pk) if self.row.product else ""

    @property
    def left_over(self) -> Said:
        """A sentence that some of its rules are about what it does not give anymore, or ""."""
        return leftover_groups.in_words(self.row.rules_left_over)

    @cached_property
    def turned_off(self) -> dict[Trigger, list[Rule]]:
        """The rules that are off and would end its access or give it back, by trigger."""
        return {each: rules for each in TICKS if (rules := self.row.rules_off(each))}

    @property
    def ended_by(self) -> list[TriggerCell]:
        return [self._cell(*each) for each in self.row.ended_by]

    @property
    def given_back_by(self) -> list[TriggerCell]:
        return [self._cell(*each) for each in self.row.given_back_by]

    def _cell(self, trigger: Trigger, state: State) -> TriggerCell:
        off = self.turned_off.get(trigger, ())
        return TriggerCell(
            trigger,
            state,
            covered=self.choices.badge(trigger, state),
            by_all=state is State.COVERED and self._is_for_all(trigger),
            can_tick=trigger in TICKS and state != State.COVERED,
            ticked=trigger in self.ticked,
            off=self._off(trigger, state),
            note=for_all_products(off) if self.row.product else "",
        )

    def _is_for_all(self, trigger: Trigger) -> bool:
        """Whether the product's own rules alone would not cover the trigger."""
        row = self.row
        own = (pairing.is_answered(rule, trigger, row.rules) for rule in row.giving)
        return row.product is not None and not all(own)

    def _off(self, trigger: Trigger, state: State) -> str:
        if trigger not in self.turned_off and state is not State.OFF:
            return ""
        lacking = {*self.row.holes, *self.row.off}
        return badges.AMBER if (included_in(trigger) or trigger) in lacking else badges.GREY

    def rules(self) -> list[Rule]:
        """Return the rules to add, not saved; rules that exist already are left out."""
        if not self.is_touched:
            return []
        row = self.row
        giving = [self._giving(destination) for destination in self.chosen]
        # A trigger that covers all that the row gives, or is off, must also cover a new course.
        covered = {each for each in TICKS if row.state(each) in {State.COVERED, State.OFF}}
        new = {destination.pk for destination in self.chosen}
        pairs = [
            rule
            for rule in pairing.companions([*giving, *row.set_up])
            if rule.trigger in self.ticked
            or (rule.trigger in covered and rule.destination_id in new)
        ]
        return [
            *(rule for rule in giving if pairing.stored(rule) is None),
            *(r for r in pairs if not pairing.is_answered(r, Trigger(r.trigger), row.known)),
        ]

    def existing(self) -> list[Rule]:
        """Return the stored rules that already give what was chosen."""
        found = (pairing.stored(self._giving(destination)) for destination in self.chosen)
        return [rule for rule in found if rule is not None]

    def existing_off(self) -> list[Rule]:
        """Return the row's stored rules that do what a tick asks for, but are off."""
        giving = [self._giving(destination) for destination in self.chosen]
        off = (rule for trigger in self.ticked for rule in self.row.rules_off(trigger, giving))
        return [rule for rule in off if rule in self.row.rules]

    def _giving(self, destination: Destination) -> Rule:
        return Rule(
            marketplace=self.row.marketplace,
            scope=Scope.PRODUCT if self.row.product else Scope.GLOBAL,
            product=self.row.product,
            trigger=Trigger.PRODUCT_PURCHASED,
            integration=destination.integration,
            action=actions.giving(destination).key,
            destination=destination,
        )


def _not_one(name: str, found: list[Destination]) -> str:
    called = badges.brief(name)
    if found:
        return say(
            "Several courses or bundles are called “{name}”. Choose from the list.", name=called
        )
    names = dict(Destination.objects.filter(gone_at=None).values_list("pk", "name"))
    near = dict.fromkeys(badges.brief(names[pk]) for pk in names_like(name, names, SIMILAR))
    if near:
        return say(
            "No course or bundle is called “{name}”. Did you mean {similar}?",
            name=called,
            similar=listed([*near], any_of=True),
        )
    return say("No course or bundle is called “{name}”. Choose one from the list.", name=called)
