"""The shop and the school of a story, and what people change in them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now
from django.utils import timezone

from events.access import by_hand
from events.execution import delayed, moving, rerun, retry_by_hand
from events.models import Batch, EventLog, RuleRun, RuleTexts
from events.reports.changed_rules.left_behind import left_behind
from events.reports.earlier import backfill
from integrations.models import Customer, Destination, Product
from integrations.thinkific import catalog
from integrations.thinkific.sandbox import Course, User
from rules.models import Rule
from tests.support import factories
from tests.support.story_bodies import STUDENT_FIELD
from tests.support.story_orders import WHO
from tests.support.storybook import (
    EVERY_PRODUCT,
    HAPPENINGS,
    ShopFacts,
    ShopRule,
    StoryError,
    email_of,
    one_of,
)
from tests.support.world import World

MIA = by_hand.Author("mia@example.com", "The customer asked for it")
# The days of a story, counted from today.
DAYS = {"a day": timedelta(days=10), "a later day": timedelta(days=20)}


class Stage:
    """Courses, bundles and products by name. `product_ids` are their IDs in SamCart."""

    def __init__(self, world: World, facts: ShopFacts) -> None:
        self.world = world
        self.product_ids = {name: str(1048001 + at) for at, name in enumerate(facts.products)}
        school = world.school
        courses = {name: school.add_course(name) for name in facts.courses}
        for name, inside in facts.bundles.items():
            school.add_bundle(name, [courses[course] for course in inside])
        catalog.refresh(world.integration)
        self._targets = {each.name: each for each in Destination.objects.all()}
        for rule in facts.rules:
            self._make_rule(rule)

    # People at Admit

    def set_student_field(self) -> None:
        """Let the school enroll the person whom the buyer names."""
        self.world.integration.student_field = STUDENT_FIELD
        self.world.integration.save()

    def release(self) -> None:
        retry_by_hand.retry(RuleRun.objects.filter(status="held"))

    def dismiss(self) -> None:
        retry_by_hand.dismiss(RuleRun.objects.filter(status="held"), by="Mia")

    def give_anyway(self, number: str) -> None:
        runs = RuleRun.objects.filter(event__order_id=number, status="skipped")
        retry_by_hand.retry([run for run in runs if run.spec.gives_access], anyway=True)

    def run_rules_again(self, number: str) -> None:
        rerun.rerun(EventLog.objects.filter(order_id=number).order_by("pk"))

    def enroll_earlier_buyers(self, product: str) -> None:
        rules = Rule.objects.filter(product__external_id=self._product_id(product))
        rerun.rerun([each.event for each in backfill.preview(*rules).run])

    def move_buyers(self) -> None:
        for number in {int(rule) for each in RuleTexts.objects.all() for rule in each.sentences}:
            found = left_behind(number)
            rows = [row for row in found.rows if not row.why_not]
            purchases = [(row.event, [grant.pk for grant in row.grants], row.gives) for row in rows]
            moving.move(purchases, Batch(title="Move"))

    def give(
        self, who: str, target: str, day: str | None = None, number: str | None = None
    ) -> None:
        email = email_of(who)
        customer, _ = Customer.objects.get_or_create(email=email, defaults={"first_name": who})
        until = timezone.localdate() + DAYS[day] if day else None
        purchase = EventLog.objects.get(order_id=number) if number else None
        by_hand.give(customer, self._target(target), MIA, until, purchase)

    def end(self, who: str, target: str, day: str | None = None) -> None:
        customer = Customer.objects.get(email=email_of(who))
        found = self._target(target)
        key = f"{found.integration_id} {found.kind}:{found.external_id}"
        on = timezone.localdate() + DAYS[day] if day else None
        by_hand.end(customer, key, MIA, on)

    def keep(self) -> None:
        retry_by_hand.dismiss(RuleRun.objects.delayed(), by="Mia")

    def let_it_come(self, day: str) -> None:
        over = timezone.now() + DAYS[f"a {day}"] + timedelta(days=1)
        RuleRun.objects.delayed().filter(next_attempt_at__lt=over).update(next_attempt_at=Now())
        delayed.decide_due()

    def add_rule(self, **words: Any) -> None:
        self._make_rule(ShopRule(**words))

    def drop_rule(self, **words: Any) -> None:
        deleted, _ = Rule.objects.filter(**self._facts(ShopRule(**words))).delete()
        if not deleted:
            raise StoryError("there is no such rule.")

    def drop_rules(self, product: str) -> None:
        Rule.objects.filter(product__external_id=self._product_id(product)).delete()

    def move(self, product: str, old: str, new: str) -> None:
        rules = Rule.objects.filter(product__external_id=self._product_id(product))
        for rule in rules.filter(destination=self._target(old)):
            rule.destination = self._target(new)
            rule.full_clean()
            rule.save()

    def refresh(self) -> None:
        catalog.refresh(self.world.integration)

    # People at Thinkific

    def delete_account(self, who: str) -> None:
        self.world.school.remove_user(self._user(who))

    def change_email(self, who: str, email: str) -> None:
        self.world.school.change_email(self._user(who), email)

    def enroll(self, who: str, course: str) -> None:
        school, email = self.world.school, email_of(who)
        user = school.user(email) or school.add_user(email, first_name=who)
        school.enroll(user, self._course(course))

    def enrolled(self, who: str, course: str) -> None:
        self.enroll(who, course)
        row = self.world.school.row(self._user(who).id, self._course(course).id)
        assert row
        row.activated_at = timezone.now() - timedelta(days=365)

    def add_to_bundle(self, course: str, bundle: str) -> None:
        self._inside(bundle).append(self._course(course))

    def take_out_of_bundle(self, course: str, bundle: str) -> None:
        self._inside(bundle).remove(self._course(course))

    def _inside(self, bundle: str) -> list[Course]:
        return self.world.school.bundles[self._target(bundle).external_id].courses

    def _course(self, name: str) -> Course:
        return self.world.school.courses[self._target(name).external_id]

    def _user(self, who: str) -> User:
        user = self.world.school.user(email_of(who))
        if user is None:
            raise StoryError(f"{who} has no account in Thinkific.")
        return user

    def _make_rule(self, rule: ShopRule) -> None:
        factories.RuleFactory.create(
            marketplace=self.world.marketplace, ends_all=rule.ends_all, **self._facts(rule)
        )

    def _facts(self, rule: ShopRule) -> dict[str, Any]:
        """Return the fields that distinguish a rule from the others."""
        one_of(rule.happening, HAPPENINGS, f"no rule is for {rule.happening}.")
        found = self._target(rule.target)
        deed = {"give": "create", "end": "expire"}[rule.verb]
        product = None
        if rule.product != EVERY_PRODUCT:
            number = self._product_id(rule.product)
            product = Product.objects.named(self.world.marketplace.pk, "product", number, "")
        return {
            "trigger": HAPPENINGS[rule.happening],
            "action": f"{deed}_{found.kind}_enrollment",
            "destination": found,
            "product": product,
        }

    def _target(self, name: str) -> Destination:
        one_of(name, self._targets, f"there is no course or bundle {name}.")
        return self._targets[name]

    def _product_id(self, name: str) -> str:
        one_of(name, self.product_ids, f"there is no product {name}.")
        return self.product_ids[name]


_TARGET = r"(?P<verb>give|end)s (?P<target>.+) when (?P<happening>.+)"
# What Admit does when its inbox is read, and when everything is carried out.
WHEN_READ: dict[str, Callable[..., None]] = {
    rf"from now on (?P<product>.+) no longer {_TARGET}": Stage.drop_rule,
    rf"from now on (?P<product>.+?) {_TARGET}": Stage.add_rule,
    r"all rules of (?P<product>.+) are deleted": Stage.drop_rules,
    r"(?P<product>.+) moves from (?P<old>.+) to (?P<new>.+)": Stage.move,
}
WHEN_DONE: dict[str, Callable[..., None]] = {
    r"a person releases what is held": Stage.release,
    r"a person dismisses what is held": Stage.dismiss,
    r"a person gives what order (?P<number>\d+) bought anyway": Stage.give_anyway,
    rf"a person gives {WHO} (?P<target>.+?)(?: until (?P<day>a(?: later)? day))?"
    r"(?: for order (?P<number>\d+))?": Stage.give,
    rf"a person ends {WHO}'s (?P<target>.+?)(?: on (?P<day>a(?: later)? day))?": Stage.end,
    r"a person keeps what was to end": Stage.keep,
    r"the (?P<day>(?:later )?day) comes": Stage.let_it_come,
    r"the rules run again for order (?P<number>\d+)": Stage.run_rules_again,
    r"a person enrolls the earlier buyers of (?P<product>.+)": Stage.enroll_earlier_buyers,
    r"a person moves the buyers to what the rules give now": Stage.move_buyers,
    r"Admit reads the catalog again": Stage.refresh,
    rf"{WHO}'s account is deleted in Thinkific": Stage.delete_account,
    rf"{WHO}'s e-mail in Thinkific becomes (?P<email>\S+)": Stage.change_email,
    rf"the school enrolls {WHO} in (?P<course>.+)": Stage.enroll,
    rf"a year ago the school enrolled {WHO} in (?P<course>.+)": Stage.enrolled,
    r"(?P<course>.+) is added to (?P<bundle>.+)": Stage.add_to_bundle,
    r"(?P<course>.+) is taken out of (?P<bundle>.+)": Stage.take_out_of_bundle,
}
