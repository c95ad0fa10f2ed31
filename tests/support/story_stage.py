"""The shop and the school of a story, and what people change in them."""

from collections.abc import Callable
from typing import Any

from events.execution import retry_by_hand
from events.models import RuleRun
from integrations.models import Destination
from integrations.thinkific import catalog
from integrations.thinkific.sandbox import User
from rules.models import Rule
from tests.support.story_orders import WHO
from tests.support.storybook import (
    EVERY_PRODUCT,
    HAPPENINGS,
    ShopFacts,
    StoryError,
    email_of,
    one_of,
)
from tests.support.world import World


class Stage:
    """Courses, bundles and products by name. `product_ids` are those in SamCart."""

    def __init__(self, world: World, facts: ShopFacts) -> None:
        self.world = world
        self.product_ids = {name: str(1048001 + at) for at, name in enumerate(facts.products)}
        self._targets = {name: world.course(name) for name in facts.courses}
        for name, courses in facts.bundles.items():
            self._targets[name] = world.bundle(*map(self._target, courses), name=name)
        for rule in facts.rules:
            words = self._rule(rule.product, rule.verb, rule.target, rule.happening)
            world.rule(**words, ends_all=rule.ends_all)

    # People at Admit

    def release(self) -> None:
        retry_by_hand.retry(RuleRun.objects.filter(status="held"))

    def dismiss(self) -> None:
        retry_by_hand.dismiss(RuleRun.objects.filter(status="held"), by="Mia")

    def give_anyway(self, number: str) -> None:
        runs = RuleRun.objects.filter(event__order_id=number, status="skipped")
        retry_by_hand.retry([run for run in runs if run.spec.gives_access], anyway=True)

    def add_rule(self, product: str, verb: str, target: str, happening: str) -> None:
        self.world.rule(**self._rule(product, verb, target, happening))

    def drop_rule(self, product: str, verb: str, target: str, happening: str) -> None:
        facts = self._rule(product, verb, target, happening)
        deleted, _ = Rule.objects.filter(
            **facts | {"product": None, "product__external_id": facts["product"]}
        ).delete()
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
        school.enroll(user, school.courses[self._target(course).external_id])

    def enlarge(self, course: str, bundle: str) -> None:
        school = self.world.school
        inside = school.bundles[self._target(bundle).external_id].courses
        inside.append(school.courses[self._target(course).external_id])

    def _user(self, who: str) -> User:
        user = self.world.school.user(email_of(who))
        if user is None:
            raise StoryError(f"{who} has no account in Thinkific.")
        return user

    def _rule(self, product: str, verb: str, target: str, happening: str) -> dict[str, Any]:
        one_of(happening, HAPPENINGS, f"no rule is for {happening}.")
        found = self._target(target)
        deed = {"give": "create", "end": "expire"}[verb]
        return {
            "trigger": HAPPENINGS[happening],
            "action": f"{deed}_{found.kind}_enrollment",
            "destination": found,
            "product": None if product == EVERY_PRODUCT else self._product_id(product),
        }

    def _target(self, name: str) -> Destination:
        one_of(name, self._targets, f"there is no course or bundle {name}.")
        return self._targets[name]

    def _product_id(self, name: str) -> str:
        one_of(name, self.product_ids, f"there is no product {name}.")
        return self.product_ids[name]


_TARGET = r"(?P<verb>give|end)s (?P<target>.+) when (?P<happening>.+)"
# What is done in Admit when its inbox is read, and what when all is carried out.
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
    r"Admit reads the catalog again": Stage.refresh,
    rf"{WHO}'s account is deleted in Thinkific": Stage.delete_account,
    rf"{WHO}'s e-mail in Thinkific becomes (?P<email>\S+)": Stage.change_email,
    rf"the school enrolls {WHO} in (?P<course>.+)": Stage.enroll,
    r"(?P<course>.+) is added to (?P<bundle>.+)": Stage.enlarge,
}
