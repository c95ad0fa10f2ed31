"""The mapping of SamCart's custom fields to Thinkific's signup fields, on a site's page."""

import html
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from config.staff import roles
from events.reports.products import custom_fields
from integrations import field_mapping
from integrations.models import FieldMapping, Integration, ProfileField
from integrations.thinkific import catalog
from tests.support import factories, queued
from tests.support.pages import errors, markup, plain, signed_in

pytestmark = pytest.mark.first_database

HOSTILE = "<img src=x onerror=alert(1)>\u202e" + "x" * 200


@pytest.fixture
def boss(world) -> Client:
    return signed_in(is_superuser=True)


@pytest.fixture
def fields(world) -> dict[str, ProfileField]:
    """Two signup fields of type Text, and one of another type."""
    world.school.add_field("Company")
    world.school.add_field("Medium")
    world.school.add_field("Country", field_type="dropdown", options=("Canada",))
    catalog.refresh(world.integration)
    world.sandbox.clear_calls()
    return {field.label: field for field in ProfileField.objects.all()}


def place(integration: Integration) -> str:
    return reverse("admin:integrations_integration_change", args=[integration.pk])


def look(client: Client, integration: Integration) -> str:
    """The section of the page about mappings."""
    text: str = markup(client.get(place(integration)))
    return text.partition('id="mapping"')[2].partition("</section>")[0]


def save(
    client: Client, integration: Integration, *rows: tuple[Any, ...], known: int = 0, **more: Any
) -> Any:
    """Fill in the rows as (SamCart field, signup field or None[, removed]), and press Save."""
    data: dict[str, Any] = {
        "app": "thinkific",
        "name": integration.name,
        "site": integration.site,
        "secret": "",
        "enabled": "on",
        "field_mappings-TOTAL_FORMS": str(len(rows)),
        "field_mappings-INITIAL_FORMS": str(known),
    }
    for number, (samcart, field, *removed) in enumerate(rows):
        start = f"field_mappings-{number}"
        data[f"{start}-samcart_field"] = samcart
        data[f"{start}-profile_field"] = str(getattr(field, "pk", field or ""))
        if removed:
            data[f"{start}-DELETE"] = "on"
    return client.post(place(integration), data | more, follow=True)


def mapped() -> dict[str, str]:
    rows = FieldMapping.objects.select_related("profile_field")
    return {row.samcart_field: row.profile_field.label for row in rows}


# Mapping


def test_a_name_that_no_order_carried_is_warned_of_with_those_that_they_did(boss, world, fields):
    save(boss, world.integration, ("T-shirt", fields["Company"]))
    assert "No order of the last" not in plain(look(boss, world.integration)), "there is none"
    size = {"name": "T-Shirt size", "slug": "t_shirt", "value": "M"}
    world.sell("10_product", order__custom_fields=[size])
    assert (
        "No order of the last 90 days carried “T-shirt”. Orders carried: “T-Shirt size”."
    ) in plain(look(boss, world.integration))
    # Its name or its slug will do, in any case.
    for name in ("T_SHIRT", "t-shirt size"):
        save(boss, world.integration, (name, fields["Company"]), known=1)
        assert "No order of the last" not in plain(look(boss, world.integration))


def test_a_signup_field_of_type_text_can_be_mapped(boss, world, fields):
    factories.ProfileFieldFactory(label="Of another school")
    form = look(boss, world.integration)
    assert "Company</option>" in form
    assert "Country</option>" not in form
    assert "Of another school" not in form
    assert "Cannot be mapped" in form
    assert "Country type dropdown" in plain(form)
    save(boss, world.integration, (" Company name ", fields["Company"]))
    assert mapped() == {"Company name": "Company"}


def test_what_is_mapped_fills_the_field_of_the_next_buyer(boss, world, fields):
    save(boss, world.integration, ("company", fields["Company"]))
    world.rule("product_purchased", "create_course_enrollment", world.course())
    sent = [{"name": "Company", "slug": "company", "value": "Brush & Co"}]
    world.sell("10_product", order__custom_fields=sent)
    world.settle()
    (user,) = world.school.users
    assert user.custom_fields == {"Company": "Brush & Co"}


def test_rows_are_changed_swapped_and_removed_in_one_go(boss, world, fields):
    company, medium = fields["Company"], fields["Medium"]
    save(boss, world.integration, ("A", company), ("B", medium), ("", None))
    assert mapped() == {"A": "Company", "B": "Medium"}
    kept = FieldMapping.objects.get(samcart_field="A").pk
    save(boss, world.integration, ("A", company), ("B2", medium), known=2)
    assert mapped() == {"A": "Company", "B2": "Medium"}
    assert FieldMapping.objects.get(samcart_field="A").pk == kept
    save(boss, world.integration, ("A", medium), ("B2", company), known=2)
    assert mapped() == {"A": "Medium", "B2": "Company"}
    # One is removed, and another takes its field at once.
    save(boss, world.integration, ("A", medium), ("B2", company, True), ("C", company), known=2)
    assert mapped() == {"A": "Medium", "C": "Company"}
    # A row that is emptied goes away too.
    save(boss, world.integration, ("", None), ("C", company), known=2)
    assert mapped() == {"C": "Company"}


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([("A", "Company"), ("B", "Company")], "Another row fills this field already."),
        ([("A", "")], "Choose the signup field that it fills."),
        ([("", "Company")], "Enter the name of the SamCart custom field."),
        ([("A", "Country")], "Select a valid choice."),
        ([("A", "Of another school")], "Select a valid choice."),
        ([("A" * 300, "Company")], "at most 255 characters"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused_in_words_and_nothing_is_saved(
    boss, world, fields, rows, says: str
):
    other = factories.ProfileFieldFactory(label="Of another school")
    known = {**fields, other.label: other, "": None}
    rows = [(samcart, known[label]) for samcart, label in rows]
    answer = save(boss, world.integration, *rows, name="Renamed")
    assert says in errors(answer)
    assert mapped() == {}
    assert Integration.objects.filter(name="Renamed").count() == 0
    assert world.calls() == []
    # What was entered stands there still.
    assert html.escape(rows[0][0]) in markup(answer)


def test_a_mapping_whose_field_has_gone_is_told_and_can_be_removed(boss, world, fields):
    save(boss, world.integration, ("A", fields["Company"]))
    del world.school.fields[fields["Company"].external_id]
    boss.post(reverse("admin:integrations_integration_do_refresh", args=[world.integration.pk]))
    form = look(boss, world.integration)
    assert "Company (gone from Thinkific)</option>" in form
    # It hinders no other change.
    answer = save(boss, world.integration, ("A", fields["Company"]), known=1, name="Renamed")
    assert not errors(answer)
    save(boss, world.integration, ("A", fields["Company"], True), known=1)
    assert mapped() == {}


def test_mappings_of_another_site_stay_as_they_are(world, fields):
    other = factories.FieldMappingFactory.create()
    assert field_mapping.fill(world.integration, {fields["Company"].pk: "A"}) == 1
    assert field_mapping.fill(world.integration, {fields["Company"].pk: "A"}) == 0
    assert field_mapping.fill(world.integration, {}) == 1
    assert list(FieldMapping.objects.all()) == [other]


# The rows


def test_there_are_always_two_empty_rows(boss, world, fields):
    assert 'name="field_mappings-TOTAL_FORMS" value="2"' in look(boss, world.integration)
    save(boss, world.integration, ("A", fields["Company"]))
    assert 'name="field_mappings-TOTAL_FORMS" value="3"' in look(boss, world.integration)


def test_add_works_without_script_by_saving_what_is_there(boss, world, fields):
    form = look(boss, world.integration)
    assert "+ Add custom field mapping" in form
    rows = (("A", fields["Company"]), ("B", fields["Medium"]))
    answer = save(boss, world.integration, *rows, _add_mapping="1")
    assert answer.redirect_chain == [(f"{place(world.integration)}#mapping", 302)]
    assert mapped() == {"A": "Company", "B": "Medium"}
    assert 'name="field_mappings-TOTAL_FORMS" value="4"' in answer.content.decode()
    # Nothing was read from Thinkific for it.
    assert world.calls() == []


def test_each_control_of_a_row_has_a_label(boss, world, fields):
    save(boss, world.integration, ("A", fields["Company"]))
    form = look(boss, world.integration).partition("<template>")[0]
    controls = re.findall(r'<(?:input type="text"|select)[^>]* id="([^"]+)"', form)
    assert len(controls) == 6
    assert set(controls) <= set(re.findall(r'<label[^>]* for="([^"]+)"', form))


def test_refresh_stands_here_too_and_leads_back_here(boss, world, fields):
    back = f"{place(world.integration)}#mapping"
    press = reverse("admin:integrations_integration_do_refresh", args=[world.integration.pk])
    form = look(boss, world.integration)
    assert f'formaction="{press}" formnovalidate name="back" value="{back}"' in form
    world.school.add_field("Website")
    answer = boss.post(press, {"back": back}, follow=True)
    assert answer.redirect_chain == [(back, 302)]
    assert "1 new signup field" in markup(answer)
    assert "Website</option>" in markup(answer)


def test_a_site_without_text_fields_says_what_to_do(boss, world):
    assert "are not read yet. Press Refresh." in plain(look(boss, world.integration))
    boss.post(reverse("admin:integrations_integration_do_refresh", args=[world.integration.pk]))
    assert "has no signup field of type Text." in plain(look(boss, world.integration))


def test_where_the_key_is_refused_it_is_called_the_trouble_and_not_a_refresh_the_help(boss, world):
    Integration.objects.update(connection="refused")
    section = look(boss, world.integration)
    told = (
        "The signup fields of this school cannot be read until Thinkific lets Admit in: see above."
    )
    assert f"{told} Enter the key" in plain(section)
    assert '<a class="button small" href="#id_secret">' in section
    assert "Press Refresh" not in plain(section)
    assert "do/refresh" not in section


def test_who_may_only_look_sees_the_mappings_and_no_form(boss, world, fields):
    save(boss, world.integration, ("A", fields["Company"]))
    vera = signed_in(roles.VIEWER)
    section = look(vera, world.integration)
    assert "A Company" in plain(section)
    assert "<input" not in section
    assert "<button" not in section
    assert save(vera, world.integration, ("B", fields["Company"])).status_code == 403
    assert mapped() == {"A": "Company"}


# Suggestions


def bring(*found: dict[str, str], at: float = 0) -> None:
    sent = [{"name": "", "slug": "", "value": "x"} | field for field in found]
    queued.event(None, at=at, custom_fields=sent)


def test_the_names_that_orders_brought_lately_are_suggested(boss, world, fields):
    bring({"name": "Company", "slug": "company"}, {"slug": "favorite_medium"}, at=1)
    bring({"name": "COMPANY"}, {"name": " Website "}, at=2)
    bring()
    assert custom_fields.seen_lately() == ["COMPANY", "favorite_medium", "Website"]
    form = look(boss, world.integration)
    suggested = re.findall(r'<option value="([^"]*)"></option>', form)
    assert suggested == ["COMPANY", "favorite_medium", "Website"]
    assert 'list="custom-fields-seen"' in form
    assert 'id="custom-fields-seen"' in form


def test_only_the_latest_events_are_looked_into_and_so_many_names_told(
    world, monkeypatch, django_assert_num_queries
):
    monkeypatch.setattr(custom_fields, "LATEST", 2)
    monkeypatch.setattr(custom_fields, "MAX_FIELDS", 3)
    bring({"name": "Old"}, at=1)
    bring({"name": "B"}, {"name": "C"}, at=2)
    bring({"name": "D"}, {"name": "A"}, at=3)
    with django_assert_num_queries(1):
        assert custom_fields.seen_lately() == ["A", "B", "D"]


def test_what_nobody_could_type_is_not_suggested_and_what_strangers_send_is_escaped(
    boss, world, fields
):
    bring({"name": HOSTILE}, {"name": '"><script>alert(1)</script>'}, {"name": "  "})
    assert custom_fields.seen_lately() == ['"><script>alert(1)</script>']
    form = look(boss, world.integration)
    assert "<script>alert" not in form
    assert "&lt;script&gt;alert(1)" in form


def test_labels_of_thinkific_are_escaped_and_legible(boss, world, fields):
    ProfileField.objects.filter(label="Company").update(label=HOSTILE)
    ProfileField.objects.filter(label="Country").update(label=HOSTILE, field_type=HOSTILE[:100])
    form = look(boss, world.integration)
    assert "<img src" not in form
    assert "\u202e" not in form
    assert form.count("&lt;img src=x onerror=alert(1)&gt;") >= 3
