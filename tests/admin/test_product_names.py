"""The page of a product says what SamCart's next sale does to its name."""

import pytest
from django.urls import reverse

from config.staff import roles
from integrations.models import Product
from tests.support.pages import signed_in, words
from tests.support.samcart import changed
from tests.support.world import World

pytestmark = pytest.mark.first_database


def test_the_page_says_whose_name_it_is_and_a_name_of_ones_own_stays(world: World):
    manager = signed_in(roles.MANAGER)
    product = Product.objects.named(world.marketplace.pk, "product", "1048001", "")
    page = reverse("admin:integrations_product_change", args=[product.pk])
    assert "The first event brings SamCart's own name." in words(manager.get(page))

    world.sell()
    assert "SamCart's own name. If you change it, later sales leave it as you wrote it." in words(
        manager.get(page)
    )
    form = {"external_id": "1048001", "marketplace": world.marketplace.pk, "kind": "product"}
    manager.post(page, form | {"name": "Mine"})

    world.post(changed("10_product", order__id=2, product__name="Ink & Line"))
    world.read()
    assert Product.objects.get().name == "Mine"
    text = "SamCart calls it “Ink & Line”. Sales leave your name as it is; enter SamCart's to"
    assert text in words(manager.get(page))
