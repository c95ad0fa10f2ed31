"""What is judged of one product is true of all whose rules are alike; no database is needed."""

import random

import pytest

from rules import leftovers, pairing, turned_off
from rules.actions import ACTIONS
from rules.facts import Places, RuleFacts
from rules.triggers import Trigger

COURSES = (None, 1, 2)


def places(seed: int) -> Places:
    """Return rules at random of sixty products in two accounts, of which one has global rules."""
    dice = random.Random(seed)

    def rules(account: int, product: int | None, first: int) -> list[RuleFacts]:
        return [
            RuleFacts(
                first + number,
                account,
                product,
                dice.choice(list(Trigger)).value,
                dice.choice(list(ACTIONS)),
                dice.choice(COURSES),
                dice.random() < 0.7,
                dice.random() < 0.1,
                dice.random() < 0.1,
            )
            for number in range(dice.randint(1, 4))
        ]

    own = {product: rules(1 + product % 2, product, product * 10) for product in range(1, 61)}
    return Places(own, {2: rules(2, None, 9000)})


def fair(number: int, rules: list[RuleFacts]) -> bool:
    return all(rule.product_id in {number, None} for rule in rules)


@pytest.mark.parametrize("seed", range(20))
def test_products_with_rules_alike_are_judged_as_if_each_was_looked_at(seed: int):
    known = places(seed)
    assert all(fair(number, known.concerning(number)) for number in known.own)
    for judge in (
        lambda rules: pairing.holes_in(rules, subscription=True),
        lambda rules: any(map(pairing.gives_now, rules)),
    ):
        one_by_one = [number for number in known.own if judge(known.concerning(number))]
        assert known.products(judge) == one_by_one
    left = {
        number: leftovers.of_place(rules, known.everywhere.get(rules[0].marketplace_id, ()))
        for number, rules in known.own.items()
    }
    assert leftovers.by_place(known).own == {
        number: found for number, found in left.items() if found
    }
    off = turned_off.by_product(known)
    for number in known.own:
        alone = Places({number: known.own[number]}, known.everywhere)
        assert turned_off.by_product(alone).get(number) == off.get(number)
        assert set(turned_off.ending(alone)) <= set(turned_off.ending(known))


def test_a_judge_is_asked_once_for_products_whose_rules_differ_in_their_course_alone():
    def rules(product: int, *courses: int) -> list[RuleFacts]:
        gives = "create_course_enrollment"
        return [
            RuleFacts(course, 1, product, "product_purchased", gives, course, True, False, False)
            for course in courses
        ]

    asked: list[list[RuleFacts]] = []

    def judge(found: list[RuleFacts]) -> bool:
        asked.append(found)
        return True

    known = Places({1: rules(1, 5, 6), 2: rules(2, 8, 9), 3: rules(3, 7, 7)}, {})
    assert known.products(judge) == [1, 2, 3]
    assert asked == [known.own[1], known.own[3]]
