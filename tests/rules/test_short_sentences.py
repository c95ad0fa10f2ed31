"""The sentence that history stores of a rule is shown as the list of rules says it."""

import pytest
from django.utils import translation

from integrations.sentences import read, say, write
from rules.short_sentences import in_short
from tests.support import factories

pytestmark = [pytest.mark.django_db, pytest.mark.first_database]


def test_it_names_the_trigger_the_product_and_what_is_done_where():
    product = factories.ProductFactory.create(name="Ink, Basics")
    rule = factories.RuleFactory.create(product=product, destination__name="Drawing {Faces}")
    stored = read(write(rule.sentence()))
    done = f"enroll in Drawing {{Faces}} · {rule.integration}"
    assert in_short(stored) == f"Product Purchased, Ink, Basics → {done}"
    with translation.override("es"):
        done = f"inscribir en Drawing {{Faces}} · {rule.integration}"
        assert in_short(read(write(rule.sentence()))).endswith(f"Ink, Basics → {done}")


def test_its_options_follow():
    rule = factories.RuleFactory.create(
        trigger="product_refunded",
        action="expire_course_enrollment",
        delay_days=3,
        destination__name="Ink",
    )
    told = in_short(rule.sentence())
    assert told.endswith(f"→ end access to Ink · {rule.integration} · 3 days later")


@pytest.mark.parametrize(
    "text",
    [
        "Product Purchased, Ink: enroll",
        say("Rule {number}", number="7"),
        say(
            "{trigger}, {product}: {action}, {place}",
            trigger="Product Purchased",
            product="Ink",
            action="An action of the past",
            place="Ink on Art Academy",
        ),
        "",
    ],
)
def test_any_other_text_stays_as_it_is(text):
    assert in_short(text) == text
