"""`apply_config` and `export_config`, with a school that answers over real sockets."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from integrations import credentials
from integrations.calls import rate_limit
from integrations.models import (
    ApiCall,
    CallBudget,
    Destination,
    FieldMapping,
    Integration,
    Marketplace,
    Product,
    WebhookSecret,
)
from integrations.thinkific import catalog
from integrations.thinkific.sandbox import School
from integrations.thinkific.sandbox.faults import Fault
from rules.configuration import checking
from rules.configuration.fields import escape, expand
from rules.models import Rule
from tests.support import factories
from tests.support.world import World

pytestmark = pytest.mark.first_database

KEY = factories.KEY
OTHER_KEY = "fedcba9876543210fedcba9876543210"
HOOK = "a-webhook-secret-of-35-characters-x"
FILE = """\
marketplaces:
  - name: Main shop
    webhook_secret: "${HOOK_SECRET}"
integrations:
  - name: Art Academy
    app: thinkific
    site: https://ACME.thinkific.com/courses
    secret: "${THINKIFIC_SECRET}"
    send_welcome_email: false
    field_mappings:
      - {samcart: Company, thinkific: Company}
rules:
  - marketplace: Main shop
    product: 1048001
    product_name: Watercolor for Beginners
    trigger: product_purchased
    integration: Art Academy
    action: create_course_enrollment
    destination: 501
  - marketplace: Main shop
    trigger: product_refunded
    integration: Art Academy
    action: expire_bundle_enrollment
    destination: 801
    enabled: false
"""


@pytest.fixture
def school(sandbox, transactional_db, monkeypatch) -> School:
    """A school of which Admit knows nothing yet; the file's secrets are in the environment."""
    monkeypatch.setenv("HOOK_SECRET", HOOK)
    monkeypatch.setenv("THINKIFIC_SECRET", KEY)
    school: School = sandbox.add_school("acme", key=KEY)
    course = school.add_course("Watercolor", course_id=501)
    school.add_bundle("All of it", [course], bundle_id=801)
    school.add_field("Company")
    school.add_field("Country", field_type="dropdown")
    return school


@pytest.fixture
def apply(tmp_path):
    """Apply a text as a file; returns what was printed, in which no secret may stand."""

    def run(text: str = FILE, *options: str) -> str:
        file = tmp_path / "school.yaml"
        file.write_text(text, encoding="utf-8")
        out = io.StringIO()
        call_command("apply_config", str(file), *options, stdout=out)
        printed = out.getvalue()
        for secret in (KEY, OTHER_KEY, HOOK):
            assert secret not in printed
        return printed

    return run


@pytest.fixture
def refused(apply):
    """Apply a text that has faults: nothing is written, and the fault's sentences come back."""

    def run(text: str, *options: str) -> str:
        before = rows()
        with pytest.raises(CommandError) as caught:
            apply(text, *options)
        assert caught.value.returncode == 1
        assert rows() == before
        message = str(caught.value)
        assert message.startswith("Nothing of ")
        for secret in (KEY, OTHER_KEY, HOOK):
            assert secret not in message
        return message

    return run


def rows() -> dict[str, list[dict[str, Any]]]:
    """Everything that a file can change."""
    models: tuple[type[Model], ...] = (Marketplace, WebhookSecret, Integration, CallBudget)
    models += (Destination, FieldMapping, Product, Rule)
    found: dict[str, list[dict[str, Any]]] = {}
    for model in models:
        found[model.__name__] = list(model._default_manager.order_by("pk").values())
    for budget_row in found["CallBudget"]:
        del budget_row["next_slot"]  # reading a site takes slots, and is no change
    return found


def exported() -> str:
    out = io.StringIO()
    call_command("export_config", stdout=out)
    return out.getvalue()


def changed(**changes: str) -> str:
    """FILE with lines replaced: changed(destination="999") writes the first `destination`."""
    lines = FILE.splitlines()
    for key, value in changes.items():
        (at, *_) = [n for n, line in enumerate(lines) if line.strip(" -").startswith(f"{key}:")]
        lines[at] = f"{lines[at].split(f'{key}:')[0]}{key}: {value}"
    return "\n".join(lines) + "\n"


def add_rule(text: str, **facts: Any) -> str:
    entry = {
        "marketplace": "Main shop",
        "trigger": "product_purchased",
        "integration": "Art Academy",
        "action": "create_course_enrollment",
        "destination": 501,
    } | facts
    lines = [f"    {key}: {value}" for key, value in entry.items() if value is not None]
    return text + "  -" + "\n".join(lines)[3:] + "\n"


# Applying


def test_a_file_sets_up_everything_and_purchases_are_enrolled(school, apply, sandbox):
    printed = apply()
    assert "Add SamCart account Main shop." in printed
    assert (
        "Add integration Art Academy (site acme): "
        "1 course, 1 bundle, 2 signup fields "
        "(1 new course, 1 new bundle, 2 new signup fields)." in printed
    )
    assert (
        "Add rule: Product Purchased, Watercolor for Beginners: "
        "Create Course Enrollment, Watercolor on Art Academy." in printed
    )
    assert "All of it on Art Academy (off)." in printed
    integration = Integration.objects.get()
    assert (integration.site, integration.secret()) == ("acme", KEY)
    assert integration.connection == "connected"
    assert [rule.enabled for rule in Rule.objects.order_by("pk")] == [True, False]
    assert FieldMapping.objects.get().profile_field.label == "Company"
    world = World(
        sandbox=sandbox,
        school=school,
        integration=integration,
        marketplace=Marketplace.objects.get(),
        secret=HOOK,
    )
    world.sell("10_product", product__id=1048001)
    (run,) = world.settle()
    assert run.status == "done"
    assert world.access("dana@example.com", Destination.objects.get(external_id=501))


def test_a_second_run_changes_nothing_and_calls_nobody(school, apply, sandbox):
    apply()
    before = rows()
    sandbox.clear_calls()
    with CaptureQueriesContext(connection) as queries:
        printed = apply()
    assert printed == "Nothing to change.\n"
    assert not sandbox.calls
    assert rows() == before
    written = ("INSERT", "UPDATE", "DELETE")
    assert not [each["sql"] for each in queries if each["sql"].startswith(written)]


def test_a_dry_run_tells_the_same_changes_and_makes_none(school, apply):
    before = rows()
    told = apply(FILE, "--dry-run")
    assert rows() == before
    assert told.endswith("Dry run: 7 changes to make, nothing was changed.\n")
    done = apply(FILE)
    assert done.splitlines()[:-1] == told.splitlines()[:-1]
    assert done.endswith("Done: 7 changes.\n")


def test_a_dry_run_that_reads_a_site_records_the_calls_and_says_so(school, apply, capfd):
    apply()
    school.add_course("Ink", course_id=502)
    ApiCall.objects.all().delete()
    before = Rule.objects.count(), Destination.objects.count()
    assert "1 change to make" in apply(changed(destination="502"), "--dry-run")
    assert (Rule.objects.count(), Destination.objects.count()) == before
    assert ApiCall.objects.exists()
    with pytest.raises(SystemExit):
        call_command("apply_config", "--help")
    assert "their calls are recorded" in " ".join(capfd.readouterr().out.split())


def test_a_switch_in_the_file_turns_a_rule_on_and_off(school, apply):
    apply()
    printed = apply(changed(enabled="true"))
    assert "Turn on rule: Product Refunded, every product" in printed
    assert "Done: 1 change." in printed
    assert Rule.objects.filter(enabled=True).count() == 2
    apply(FILE.replace("    enabled: false\n", "    enabled: off\n"))
    assert Rule.objects.filter(enabled=True).count() == 1


def test_a_rule_that_ends_whatever_gave_it_is_applied_changed_and_exported(school, apply):
    def ends(word: str) -> str:
        return FILE.replace("    destination: 801\n", f"    destination: 801\n    ends: {word}\n")

    assert "Add rule: Product Refunded" in apply(ends("any"))
    assert Rule.objects.get(action="expire_bundle_enrollment").ends_all
    assert "  ends: any\n" in exported()
    printed = apply(ends("own"))
    assert "End only what its purchase gave by rule: Product Refunded, every product" in printed
    assert "Done: 1 change." in printed
    assert not Rule.objects.filter(ends_all=True).exists()
    assert "ends:" not in exported()
    assert "End whatever gave it by rule: Product Refunded, every product" in apply(ends("any"))
    assert "End only what" in apply()


def test_rules_and_mappings_not_in_the_file_stay_until_prune(school, apply):
    apply()
    shorter = FILE[: FILE.index("    field_mappings")] + "rules: []\n"
    printed = apply(shorter)
    assert "Not in the file (kept; --prune deletes them):" in printed
    assert "  rule: Product Purchased, Watercolor for Beginners:" in printed
    assert "  field mapping: Company → Company on Art Academy" in printed
    assert printed.endswith("Nothing to change.\n")
    told = apply(shorter, "--prune", "--dry-run")
    assert "Delete rule: Product Purchased" in told
    assert (Rule.objects.count(), FieldMapping.objects.count()) == (2, 1)
    assert apply(shorter, "--prune").endswith("Done: 3 changes.\n")
    assert (Rule.objects.count(), FieldMapping.objects.count()) == (0, 0)
    assert apply(shorter, "--prune") == "Nothing to change.\n"


def test_settings_of_an_integration_are_changed_and_absent_ones_stay(school, apply):
    apply()
    printed = apply(changed(send_welcome_email="yes"))
    assert "Change integration Art Academy: welcome e-mail on." in printed
    assert Integration.objects.get().send_welcome_email is True
    without = FILE.replace("    send_welcome_email: false\n", "").replace(
        '    secret: "${THINKIFIC_SECRET}"\n', ""
    )
    assert apply(without) == "Nothing to change.\n"


def test_the_student_field_is_applied_exported_and_cleared(school, apply):
    apply()
    assert "  student_field: ''\n" in exported()

    def field(value: str) -> str:
        line = "    send_welcome_email: false\n"
        return FILE.replace(line, f"{line}    student_field: {value}\n")

    printed = apply(field("Student e-mail"))
    assert "Change integration Art Academy: student field Student e-mail." in printed
    assert Integration.objects.get().student_field == "Student e-mail"
    assert "  student_field: Student e-mail\n" in exported()
    assert apply() == "Nothing to change.\n"
    assert "student field none." in apply(field('""'))
    assert Integration.objects.get().student_field == ""


def test_a_mapping_that_is_written_anew_is_changed_in_place(school, apply):
    apply()
    printed = apply(FILE.replace("samcart: Company", "samcart: company-name"))
    assert "Change field mapping company-name → Company on Art Academy." in printed
    assert FieldMapping.objects.get().samcart_field == "company-name"


def test_labels_are_found_in_any_case(school, apply):
    apply(FILE.replace("thinkific: Company", "thinkific: company"))
    assert FieldMapping.objects.get().profile_field.label == "Company"


@pytest.mark.parametrize(
    ("written", "kept"),
    [("1048001", "1048001"), ('"0001048001"', "1048001"), ("SKU-7", "SKU-7"), ("no", "no")],
)
def test_a_product_is_known_by_the_id_that_events_carry(school, apply, written, kept):
    apply(changed(product=written))
    assert Product.objects.get().external_id == kept


def test_a_product_that_is_there_keeps_its_name(school, apply):
    apply()
    assert apply(changed(product_name="Another name")) == "Nothing to change.\n"
    assert Product.objects.get().name == "Watercolor for Beginners"


def test_a_value_from_the_environment_may_be_a_part_and_a_number(school, apply, monkeypatch):
    monkeypatch.setenv("COURSE", "501")
    monkeypatch.setenv("WHO", "Main")
    monkeypatch.setenv("ON", "true")
    apply(changed(destination='"${COURSE}"', enabled="${ON}").replace("Main shop", "${WHO} shop"))
    assert Marketplace.objects.get().name == "Main shop"
    assert Rule.objects.filter(enabled=True, destination__external_id=501).exists()


# What the site has that we do not know yet


def test_an_unknown_course_makes_an_existing_site_be_read_within_its_budget(school, apply, sandbox):
    apply()
    school.add_course("Drawing", course_id=502)
    sandbox.clear_calls()
    printed = apply(add_rule(FILE, destination=502))
    assert "Drawing on Art Academy." in printed
    assert [call.path for call in sandbox.calls] == [
        "/products",
        "/bundles/801",
        "/custom_profile_field_definitions",
    ]
    assert ApiCall.objects.count() == 3
    assert Destination.objects.get(external_id=502).name == "Drawing"


def test_a_site_that_only_the_database_has_is_read_too(school, apply):
    apply()
    school.add_course("Drawing", course_id=502)
    only_rules = "rules:\n" + FILE.split("rules:\n")[1]
    assert "Add rule" in apply(add_rule(only_rules, destination=502))


def test_a_new_label_is_looked_up_and_a_new_field_mapped(school, apply):
    apply()
    school.add_field("Phone")
    more = FILE.replace("rules:\n", "      - {samcart: phone, thinkific: Phone}\nrules:\n")
    assert "Add field mapping phone → Phone on Art Academy." in apply(more)


def test_a_course_that_is_gone_is_refused_to_new_rules_only(school, apply, refused):
    apply()
    school.remove_course(school.courses[501])
    catalog.refresh(Integration.objects.get())
    assert apply() == "Nothing to change.\n"
    Destination.objects.filter(external_id=501).update(gone_at=timezone.now())
    assert apply() == "Nothing to change.\n"
    message = refused(add_rule(FILE, trigger="subscription_charged"))
    assert "there is no course 501 on Art Academy." in message


# Entered by hand


def by_hand(*entries: str) -> str:
    """The file with these under `destinations` of its integration."""
    lines = "".join(f"      - {{{entry}}}\n" for entry in entries)
    return FILE.replace("rules:\n", f"    destinations:\n{lines}rules:\n")


NEW = "kind: course, id: 77, name: The new one"


def test_a_course_that_thinkific_does_not_list_is_entered_by_hand(school, sandbox, apply):
    school.add_course("Its own name", course_id=77, new_builder=True)
    text = add_rule(by_hand(NEW), destination=77)
    assert "Enter by hand course 77 (The new one) on Art Academy." in apply(text)
    entered = Destination.objects.get(external_id=77)
    assert (entered.name, entered.by_hand) == ("The new one", True)
    assert Rule.objects.filter(destination=entered).exists()
    sandbox.clear_calls()
    assert apply(text) == "Nothing to change.\n"
    catalog.refresh(Integration.objects.get())
    sandbox.clear_calls()
    assert apply(text) == "Nothing to change.\n"
    assert not sandbox.calls
    renamed = text.replace("The new one", "Another")
    assert apply(renamed).startswith("Enter by hand course 77 (Another) on Art Academy.\n")
    assert apply(renamed) == "Nothing to change.\n"


def test_the_name_of_a_listed_course_wins_over_the_files(school, apply):
    text = by_hand(NEW, "kind: course, id: 501, name: Not its name")
    told = apply(text)
    assert "Enter by hand course 77 (The new one)" in told
    assert "501" not in told
    assert Destination.objects.get(external_id=501).standing == ""
    school.add_course("Listed at last", course_id=77)
    catalog.refresh(Integration.objects.get())
    assert apply(text) == "Nothing to change.\n"
    assert str(Destination.objects.get(external_id=77)) == "Listed at last"


@pytest.mark.parametrize("mark", [{"by_hand": True}, {"by_hand": True, "gone_at": timezone.now()}])
def test_what_was_entered_by_hand_is_exported_and_comes_back(school, apply, monkeypatch, mark):
    apply()
    assert "destinations" not in exported()
    site = Integration.objects.get()
    catalog.enter(catalog.by_number(site, "bundle", 88, "Both ${of} them"))
    Destination.objects.filter(external_id=88).update(**mark)
    text = exported()
    assert yaml.safe_load(text)["integrations"][0]["destinations"] == [
        {"kind": "bundle", "id": 88, "name": "Both $${of} them"}
    ]
    monkeypatch.setenv("THINKIFIC_SECRET_ART_ACADEMY", KEY)
    assert apply(text) == "Nothing to change.\n"
    Integration.objects.all().delete()
    assert "Enter by hand bundle 88 (Both ${of} them) on Art Academy." in apply(text)
    assert exported() == text


def test_what_was_entered_by_hand_stays_until_prune_and_while_a_rule_uses_it(school, apply):
    text = add_rule(by_hand(NEW, "kind: bundle, id: 88, name: Unused"), destination=77)
    apply(text)
    without = add_rule(FILE, destination=77)
    printed = apply(without)
    assert "  entered by hand: course 77 (The new one) on Art Academy\n" in printed
    assert "  entered by hand: bundle 88 (Unused) on Art Academy\n" in printed
    printed = apply(without, "--prune")
    assert "Delete bundle 88 (Unused) on Art Academy, which was entered by hand.\n" in printed
    assert (
        "Not in the file (kept, because rules use it):\n"
        "  entered by hand: course 77 (The new one) on Art Academy\n"
    ) in printed
    assert Destination.objects.filter(by_hand=True).get().external_id == 77
    assert "Delete course 77 (The new one)" in apply(FILE, "--prune")
    assert not Destination.objects.filter(by_hand=True).exists()
    assert apply(FILE, "--prune") == "Nothing to change.\n"


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("kind: course, id: 77", "`name` is missing."),
        ("kind: course, name: New", "`id` is missing."),
        ("id: 77, name: New", "`kind` is missing."),
        ("kind: courses, id: 77, name: New", "there is no kind courses. Did you mean course?"),
        ("kind: course, id: 0, name: New", "`id` must be a whole number"),
        (f"kind: course, id: {'9' * 30}, name: New", "`id` must be a whole number"),
        ("kind: course, id: 77, name: New, url: x", "there is no key `url` here."),
        (f"kind: course, id: 77, name: {'N' * 256}", "`name` is longer than 255 characters."),
        (NEW + "}\n      - {" + NEW, "the course 77 stands twice under `destinations`."),
    ],
)
def test_a_faulty_entry_by_hand_is_refused_in_words(school, refused, entry, says):
    assert says in refused(by_hand(entry))


def test_entries_by_hand_that_are_no_list_are_refused(school, refused):
    text = FILE.replace("rules:\n", "    destinations: 77\nrules:\n")
    assert "`destinations` must be a list of {kind: …, id: …, name: …}." in refused(text)


# Faults


def test_every_fault_is_told_at_once_and_nothing_is_applied(school, refused):
    text = add_rule(FILE, destination=999)
    text = add_rule(text, trigger="product_bought")
    text = add_rule(text, action="create_course", enabled="maybe")
    text = text.replace("thinkific: Company", "thinkific: Compny")
    message = refused(text)
    lines = [line.strip() for line in message.splitlines()[1:]]
    assert lines == [
        "Line 5, integrations[1] (Art Academy): there is no signup field Compny on Art Academy. "
        "Correct `thinkific`. It has Company.",
        "Line 26, rules[3] (Main shop, product_purchased): there is no course 999 on "
        "Art Academy. Correct `destination`, or enter it under the integration's `destinations` "
        "if Thinkific does not list it. It has 501 Watercolor.",
        "Line 31, rules[4] (Main shop, product_bought): there is no trigger product_bought. "
        "Did you mean product_purchased?",
        "Line 36, rules[5] (Main shop, product_purchased): there is no action create_course. "
        "Did you mean create_course_enrollment?",
        "Line 36, rules[5] (Main shop, product_purchased): `enabled` must be true or false.",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trigger": "course_started"}, "Courses triggers carry no product."),
        ({"destination": "801"}, "there is no course 801 on Art Academy: 801 is a bundle."),
        ({"destination": "five"}, "`destination` must be a whole number, such as 501."),
        ({"destination": "9" * 30}, "`destination` must be a whole number, such as 501."),
        ({"destination": "[501]"}, "`destination` must be a single value."),
        ({"product": ""}, "rules[1] (Main shop, product_purchased): `product` is empty."),
        ({"product": '""'}, "`product` is empty."),
        ({"product": "0"}, "`product` is 0, which is no product."),
        ({"product": "-5"}, "negative or not a whole number"),
        ({"product": "1" * 65}, "`product` is longer than 64 characters."),
        ({"product_name": '"a\\0b"'}, "`product_name` has a character that cannot be stored."),
        ({"marketplace": "Side shop"}, "there is no marketplace Side shop."),
        ({"integration": "Art Akademy"}, "there is no integration Art Akademy."),
        ({"app": "teachable"}, "there is no app teachable."),
        ({"site": "learn.example.com"}, "`site`: That is your own domain."),
        ({"webhook_secret": "short"}, "`webhook_secret`: A webhook secret has at least 24"),
        ({"webhook_secret": "with blanks and / and ? in it"}, "has letters, digits, and"),
        ({"secret": ""}, "integrations[1] (Art Academy): `secret` is empty."),
        ({"secret": "${NO_SUCH_NAME}"}, "${NO_SUCH_NAME} in `secret` is not set in the environ"),
        ({"secret": "ab${c-d}ef"}, "A ${…} in `secret` is not set in the environment."),
        ({"field_mappings": "{}"}, "this is not valid YAML"),
    ],
)
def test_a_fault_names_its_entry_and_what_to_do(school, refused, changes, said):
    assert said in refused(changed(**changes))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("    site:", "    sites:", "there is no key `sites` here. Did you mean site?"),
        ("rules:", "rule:", "Line 1: there is no key `rule` here. Did you mean rules?"),
        ("{samcart:", "{sam:", "Line 11, integrations[1] (Art Academy): there is no key `sam`"),
        ("    destination: 501\n", "", "`destination` is missing."),
        ("    product: 1048001\n", "", "`product_name` needs `product`"),
        ("    product: 1048001\n", "    product: 1\n    product: 2\n", "`product` stands here a"),
        ("thinkific: Company", "thinkific: Country", "is of the type dropdown"),
        ('    secret: "${THINKIFIC_SECRET}"\n', "", "`secret` is missing"),
        (FILE, "", "The file is empty."),
        (FILE, "- a\n", "The file must begin with `marketplaces:`"),
        (FILE, "rules: 5\n", "`rules` must be a list"),
        (FILE, "rules: [5]\n", "rules[1]: must be lines of `key: value`."),
        (FILE, "a: &x 1\nb: *x\n", "Line 1: anchors (&) and aliases (*) are not supported."),
        (FILE, "rules:\n  - a: !!python/name:os.x 1\n", "Line 2: tags"),
        (FILE, "rules:\n  - [a\n", "Line 3: this is not valid YAML"),
        (
            FILE,
            "rules:\n  - name: \x07\n",
            "Line 2: there is a character that YAML does not allow.",
        ),
        (FILE, "[" * 3000, "nested too deeply"),
        (FILE, "#" * (1024 * 1024 + 1), "larger than 1 MiB"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(school, refused, old, new, said):
    assert old in FILE
    assert said in refused(FILE.replace(old, new, 1))


def test_a_file_in_another_encoding_says_so(school, tmp_path):
    file = tmp_path / "school.yaml"
    file.write_bytes(b"rules:\n  - product_name: caf\xe9\n")
    with pytest.raises(CommandError, match="Line 2: this is not UTF-8 text"):
        call_command("apply_config", str(file))


def test_words_of_the_file_are_not_quoted_where_one_could_be_a_key(school, refused):
    message = refused(changed(secret=f"*{OTHER_KEY}"))
    assert "Line 8: this is not valid YAML" in message


@pytest.mark.parametrize(
    ("number", "ends", "said"),
    [
        (501, "any", "create_course_enrollment ends no access. Leave `ends` out."),
        (501, "own", "create_course_enrollment ends no access. Leave `ends` out."),
        (801, "all", "there is no ends all. There are: own, any."),
    ],
)
def test_a_fault_in_what_a_rule_ends_is_refused_in_words(school, refused, number, ends, said):
    line = f"    destination: {number}\n"
    assert said in refused(FILE.replace(line, f"{line}    ends: {ends}\n"))


def test_days_later_are_applied_changed_and_exported(school, apply):
    def later(line: str) -> str:
        return FILE.replace("    destination: 801\n", f"    destination: 801\n{line}")

    assert "3 days later" in apply(later("    days_later: 3\n"))
    assert "  days_later: 3\n" in exported()
    assert "End no days later by rule: Product Refunded" in apply(later(""))
    assert not Rule.objects.exclude(delay_days=0).exists()


@pytest.mark.parametrize(
    ("number", "days", "said"),
    [
        (801, "soon", "`days_later` must be a whole number"),
        (801, "400", "`days_later` is at most 365."),
        (501, "3", "create_course_enrollment ends no access. Leave `days_later` out."),
    ],
)
def test_a_fault_in_days_later_is_refused_in_words(school, refused, number, days, said):
    line = f"    destination: {number}\n"
    assert said in refused(FILE.replace(line, f"{line}    days_later: {days}\n"))


def test_entries_that_stand_twice_are_refused(school, refused):
    text = add_rule(FILE, product=1048001, enabled="false")
    text = text.replace("integrations:", f"  - {{name: Main shop, webhook_secret: {HOOK}}}\n")
    text = text.replace("  - name: Art Academy", "integrations:\n  - name: Art Academy", 1)
    message = refused(text)
    assert "marketplaces[2] (Main shop): it has the same `name` as marketplaces[1]." in message
    assert "it has the same `webhook_secret` as marketplaces[1]." in message
    assert "rules[3] (Main shop, product_purchased): it is the same rule as rules[1]." in message


def test_a_signup_field_is_filled_once(school, refused):
    twice = FILE.replace("rules:\n", "      - {samcart: Firm, thinkific: company}\nrules:\n")
    assert "the signup field company is filled twice." in refused(twice)


def test_signup_fields_of_one_label_are_not_guessed_between(school, refused):
    school.add_field("Company")
    assert "there are 2 signup fields Company on Art Academy." in refused(FILE)


def test_a_faulty_account_is_not_said_to_be_missing_too(school, refused):
    message = refused(changed(webhook_secret="short"))
    assert len(message.splitlines()) == 2


def test_a_file_that_does_not_exist_is_wrong_use(tmp_path):
    with pytest.raises(CommandError, match="cannot be read: No such file") as caught:
        call_command("apply_config", str(tmp_path / "none.yaml"))
    assert caught.value.returncode == 2


def test_a_wrong_key_is_told_and_nothing_is_applied(school, refused, monkeypatch):
    monkeypatch.setenv("THINKIFIC_SECRET", OTHER_KEY)
    message = refused(FILE)
    assert "integrations[1] (Art Academy): Thinkific does not accept the key" in message


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            Fault("status", status=503),
            "Thinkific answered with an error of its own. Try again later. (HTTP 503)",
        ),
        (Fault("drop"), "broke off before its answer was complete. Try again later."),
        (Fault("status", status=429), "limit of calls is used up. Try again in 60 seconds."),
    ],
)
def test_a_site_that_cannot_be_read_is_told(school, sandbox, refused, fault, said):
    sandbox.faults.add(fault)
    assert said in refused(FILE)
    assert sandbox.faults.fired


def test_another_site_on_an_integration_is_refused(school, sandbox, apply, refused):
    apply()
    sandbox.add_school("other", key=KEY)
    assert "Art Academy is the site acme and stays it." in refused(changed(site="other"))


def test_a_site_that_is_connected_under_another_name_is_refused(school, apply, refused):
    apply()
    message = refused(FILE.replace("Art Academy", "New name"))
    assert "the site acme is connected as Art Academy. Use that name." in message


@pytest.mark.parametrize("model", [Integration, Marketplace, Destination])
def test_what_is_deleted_between_check_and_write_stops_all_of_it(
    school, apply, refused, monkeypatch, model
):
    apply()
    look = checking.check

    def check_and_lose(*args: Any) -> None:
        look(*args)
        Rule.objects.all().delete()
        model.objects.all().delete()
        lost.append(rows())

    lost: list[Any] = []
    monkeypatch.setattr(checking, "check", check_and_lose)
    only_rules = "rules:\n" + FILE.split("rules:\n")[1]
    with pytest.raises(CommandError, match="changed the configuration in the meantime"):
        apply(only_rules)
    assert [rows()] == lost


# Secrets


def test_a_new_key_is_stored_and_ends_the_pause_that_the_old_one_caused(school, apply, monkeypatch):
    apply()
    integration = Integration.objects.get()
    school.change_key(OTHER_KEY)
    rate_limit.block(integration.pk, CallBudget.Blocked.KEY, 600)
    Integration.objects.update(connection="refused", connection_message="Key rejected.")
    monkeypatch.setenv("THINKIFIC_SECRET", OTHER_KEY)
    assert "Change integration Art Academy: new API key." in apply()
    after = Integration.objects.get()
    assert (after.secret(), after.secret_version) == (OTHER_KEY, integration.secret_version + 1)
    assert (after.connection, after.connection_message) == ("connected", "")
    assert rate_limit.blocked_for(after.pk) == ("", 0.0)
    assert apply() == "Nothing to change.\n"


def test_a_wrong_new_key_leaves_the_old_one_at_work(school, apply, refused, monkeypatch):
    apply()
    monkeypatch.setenv("THINKIFIC_SECRET", OTHER_KEY)
    assert "does not accept the key" in refused(FILE)
    assert Integration.objects.get().connection == "connected"
    assert rate_limit.blocked_for(Integration.objects.get().pk)[0] == ""


def test_a_dry_run_with_a_new_key_leaves_the_pause(school, apply, monkeypatch):
    apply()
    integration = Integration.objects.get()
    school.change_key(OTHER_KEY)
    rate_limit.block(integration.pk, CallBudget.Blocked.KEY, 600)
    monkeypatch.setenv("THINKIFIC_SECRET", OTHER_KEY)
    before = rows()
    assert "new API key" in apply(FILE, "--dry-run")
    assert rows() == before


@pytest.mark.parametrize(("seconds", "said"), [(0, ""), (300, "limit of calls is used up")])
def test_a_new_key_does_not_end_a_pause_of_the_limit(
    school, apply, refused, monkeypatch, seconds, said
):
    apply()
    integration = Integration.objects.get()
    rate_limit.block(integration.pk, CallBudget.Blocked.LIMIT, seconds)
    school.change_key(OTHER_KEY)
    monkeypatch.setenv("THINKIFIC_SECRET", OTHER_KEY)
    if said:
        assert said in refused(FILE)
    else:
        assert "new API key" in apply()


def test_a_limit_met_with_a_new_key_stops_the_whole_site(school, sandbox, apply, monkeypatch):
    apply()
    school.change_key(OTHER_KEY)
    monkeypatch.setenv("THINKIFIC_SECRET", OTHER_KEY)
    sandbox.faults.add(Fault("status", status=429, headers={"Retry-After": "77"}))
    with pytest.raises(CommandError, match="Try again in 77 seconds"):
        apply()
    why, seconds = rate_limit.blocked_for(Integration.objects.get().pk)
    assert (why, 70 < seconds < 78) == ("limit", True)


@pytest.mark.parametrize("connected", [False, True])
def test_a_key_is_tried_no_faster_than_the_budget_allows(
    school, sandbox, apply, settings, monkeypatch, connected
):
    for n in range(4):
        school.add_bundle(f"Bundle {n}", [school.courses[501]])
    if connected:
        apply()
        school.change_key(OTHER_KEY)
        monkeypatch.setenv("THINKIFIC_SECRET", OTHER_KEY)
    sandbox.clear_calls()
    settings.THINKIFIC_CALLS_PER_MINUTE = 602  # one each 0.1 s, two at once
    apply()
    at = [call.at for call in sandbox.calls]
    assert len(at) == 7
    assert at[-1] - at[0] > 0.1 * (len(at) - rate_limit.BURST) - 0.05


def test_a_key_that_cannot_be_opened_any_more_is_replaced(school, apply):
    apply()
    Integration.objects.update(sealed_secret="sealed-with-a-lost-key")
    assert "new API key" in apply()
    assert Integration.objects.get().secret() == KEY


def test_an_absent_webhook_secret_is_made_and_shown_once(school, apply):
    without = FILE.replace('    webhook_secret: "${HOOK_SECRET}"\n', "")
    told = apply(without, "--dry-run")
    assert "Make a webhook address for Main shop." in told
    assert "hooks/samcart" not in told
    printed = apply(without)
    address = credentials.webhook_address(Marketplace.objects.get())
    assert f"Give SamCart this address as Notify URL of Main shop:\n  {address}\n" in printed
    assert apply(without) == "Nothing to change.\n"
    assert WebhookSecret.objects.count() == 1


def test_a_changed_webhook_secret_leaves_the_old_one_seven_days(school, apply, monkeypatch):
    apply()
    monkeypatch.setenv("HOOK_SECRET", HOOK + "-2")
    printed = apply()
    assert "Set the webhook secret of Main shop; the old one works for 7 more days." in printed
    old, new = WebhookSecret.objects.order_by("pk")
    assert new.expires_at is None
    assert old.expires_at is not None
    assert timedelta(days=6.9) < old.expires_at - timezone.now() < timedelta(days=7.1)
    assert credentials.webhook_secret(Marketplace.objects.get()) == HOOK + "-2"
    assert apply() == "Nothing to change.\n"


def test_an_earlier_webhook_secret_can_be_taken_back(school, apply, monkeypatch):
    apply()
    monkeypatch.setenv("HOOK_SECRET", HOOK + "-2")
    apply()
    monkeypatch.setenv("HOOK_SECRET", HOOK)
    assert "Set the webhook secret of Main shop" in apply()
    assert credentials.webhook_secret(Marketplace.objects.get()) == HOOK
    first, second = WebhookSecret.objects.order_by("pk")
    assert first.expires_at is None
    assert second.expires_at is not None
    assert apply() == "Nothing to change.\n"


def test_a_webhook_secret_of_another_account_is_refused(school, apply, refused):
    credentials.add_webhook_secret(Marketplace.objects.create(name="Side shop"), HOOK)
    assert "this `webhook_secret` belongs to Side shop." in refused(FILE)


# Exporting


def test_an_export_applied_again_changes_nothing(school, apply, monkeypatch):
    apply()
    text = exported()
    assert "secret: ${THINKIFIC_SECRET_ART_ACADEMY}\n" in text
    assert "#   THINKIFIC_SECRET_ART_ACADEMY (API key of Art Academy)\n" in text
    assert "webhook_secret" not in text
    assert KEY not in text
    assert HOOK not in text
    monkeypatch.setenv("THINKIFIC_SECRET_ART_ACADEMY", KEY)
    before = rows()
    assert apply(text) == "Nothing to change.\n"
    assert rows() == before


def test_an_export_sets_up_an_empty_installation(school, apply, monkeypatch):
    apply()
    text = exported()
    for model in (Rule, FieldMapping, Product, Integration, Marketplace):
        model._default_manager.all().delete()
    monkeypatch.setenv("THINKIFIC_SECRET_ART_ACADEMY", KEY)
    apply(text)
    assert exported() == text


def test_an_export_without_its_keys_in_the_environment_says_which_are_missing(
    school, apply, refused
):
    apply()
    assert "${THINKIFIC_SECRET_ART_ACADEMY} in `secret` is not set" in refused(exported())


def test_names_that_look_like_yaml_or_placeholders_survive_an_export(school, apply, monkeypatch):
    odd = ["no", "1048", "${HOME}", "a: b # c", "“Ünï” 🎨", "~", "- x", "'\"", "2024-01-01"]
    integration = factories.connected("acme", name="${HOME} ~ Ünïversity")
    catalog.refresh(integration)
    course = Destination.objects.get(external_id=501)
    for name in odd:
        marketplace = Marketplace.objects.create(name=name)
        credentials.add_webhook_secret(marketplace)
        number = name if name.isascii() else "X-9"
        product = Product.objects.create(marketplace=marketplace, external_id=number, name=name)
        factories.RuleFactory(marketplace=marketplace, product=product, destination=course)
    text = exported()
    monkeypatch.setenv("THINKIFIC_SECRET_HOME_UNIVERSITY", KEY)
    before = rows()
    assert apply(text) == "Nothing to change.\n"
    assert rows() == before


def test_integrations_of_like_names_have_placeholders_of_their_own(transactional_db):
    for name in ("Art Academy", "Art-Academy", "学校"):
        factories.IntegrationFactory(
            name=name, site=f"s{len(name)}-{name == 'Art Academy'}".lower()
        )
    text = exported()
    for name in ("ART_ACADEMY", "ART_ACADEMY_2", "S2_FALSE"):
        assert f"secret: ${{THINKIFIC_SECRET_{name}}}\n" in text


def test_what_no_event_can_use_is_left_out_of_an_export(school, apply, monkeypatch):
    apply()
    course = Product.objects.create(
        marketplace=Marketplace.objects.get(), kind="course", external_id="9", name="Inside"
    )
    factories.RuleFactory(
        marketplace=course.marketplace,
        product=course,
        destination=Destination.objects.get(external_id=501),
    )
    field = FieldMapping.objects.get().profile_field
    field.gone_at = timezone.now()
    field.save()
    text = exported()
    assert "Inside" not in text
    assert "field_mappings" not in text
    monkeypatch.setenv("THINKIFIC_SECRET_ART_ACADEMY", KEY)
    assert apply(text).endswith("Nothing to change.\n")


def test_an_export_goes_to_a_file(school, apply, tmp_path):
    apply()
    file = tmp_path / "out.yaml"
    call_command("export_config", str(file), stdout=io.StringIO())
    assert file.read_text(encoding="utf-8") == exported()
    with pytest.raises(CommandError, match="cannot be written: No such file"):
        call_command("export_config", str(tmp_path / "none" / "out.yaml"))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("${A}", "x"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("$A {A}", "$A {A}"),
        ("${A}${A}", "xx"),
    ],
)
def test_a_doubled_dollar_keeps_a_placeholder_as_it_is(text, read):
    assert expand(text, {"A": "x"}) == read
    assert expand(escape(text), {}) == text


@pytest.fixture(autouse=True)
def _no_seal_in_output(capfd) -> Iterator[None]:
    """Nothing that these tests make shows a key on the process's own streams."""
    yield
    shown = "".join(capfd.readouterr())
    assert KEY not in shown
    assert "gAAAAA" not in shown  # as sealed values begin


# As programs


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("apply_config", "--help"), 0, "Example: manage.py apply_config school.yaml --dry-run"),
        (("export_config", "--help"), 0, "Example: manage.py export_config school.yaml"),
        (("refresh", "--help"), 0, "Example: manage.py refresh"),
        (("rotate_keys", "--help"), 0, "Example: manage.py rotate_keys"),
        (("apply_config",), 2, "FILE"),
        (("apply_config", "none.yaml"), 2, "none.yaml cannot be read: No such file"),
        (("refresh", "--everything"), 2, "unrecognized arguments: --everything"),
    ],
)
def test_the_commands_end_with_the_promised_code(words, code, said, tmp_path):
    environment = os.environ | {"DATABASE_URL": f"sqlite:///{tmp_path}/none.sqlite3"}
    ended = subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=settings.BASE_DIR,
        env=environment | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, said in ended.stdout + ended.stderr) == (code, True)
    assert "Traceback" not in ended.stderr
