"""Lists are sorted by name as people sort, on every database."""

import pytest

from integrations.finding.ordering import by_name, sorted_as
from integrations.models import Product
from integrations.search_terms import fold
from tests.support.factories import ProductFactory

NAMES = ["Acuarela", "Árboles", "drawing", "Lección 2", "lesson 2", "Lesson 02b", "Lesson 10"]
NAMES += ["Ñandú", "oil", "Ópera", "Oz", "Part 1 of 10", "Part 2 of 3", "Part 10 of 3", "Zeichnen"]


@pytest.mark.django_db
def test_names_are_sorted_without_case_and_accents_and_by_their_numbers():
    for name in reversed(NAMES):
        ProductFactory.create(name=name)
    assert list(Product.objects.order_by(by_name()).values_list("name", flat=True)) == NAMES
    assert [*map(sorted_as, NAMES)] == sorted(map(sorted_as, NAMES))


@pytest.mark.parametrize("text", ["  Dana`s Course ", "MÜLLER", "a\tb\x00", "Soﬁa", ""])
def test_plain_letters_are_folded_as_all_others_are(text):
    assert fold(text) == fold("\u200b" + text)
