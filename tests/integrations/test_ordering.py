"""Lists are sorted by name as people sort, on every database."""

import pytest

from integrations.models import Product
from integrations.ordering import by_name
from integrations.search_terms import fold
from tests.support.factories import ProductFactory

NAMES = ["Acuarela", "Árboles", "drawing", "Ñandú", "oil", "Ópera", "Oz", "Zeichnen"]


@pytest.mark.django_db
def test_names_are_sorted_without_case_and_accents():
    for name in reversed(NAMES):
        ProductFactory.create(name=name)
    assert list(Product.objects.order_by(by_name()).values_list("name", flat=True)) == NAMES
    assert [*map(fold, NAMES)] == sorted(map(fold, NAMES))


@pytest.mark.parametrize("text", ["  Dana`s Course ", "MÜLLER", "a\tb\x00", "Soﬁa", ""])
def test_plain_letters_are_folded_as_all_others_are(text):
    assert fold(text) == fold("\u200b" + text)
