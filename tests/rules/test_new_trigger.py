"""A new trigger, added to a copy of Admit in only the places that its recipe names.

An enumeration takes no member from outside, so nothing less than the source can be changed.
"""

import html
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support import live

ROOT = Path(__file__).parents[2]
COPIED = ("config", "events", "integrations", "rules", "templates")
# Before the lines that begin so, in rules/triggers.py.
ADDED = {
    "    COURSE_STUDENT_ADDED =": '    PRODUCT_RESERVED = "product_reserved", "Product Reserved"\n',
    "    Trigger.COURSE_STUDENT_ADDED:": """    Trigger.PRODUCT_RESERVED: Wording(
        "A seat was reserved.",
        "the reservation",
        "{product} is reserved",
    ),
""",
    '    "Refund":': '    "SeatReserved": Trigger.PRODUCT_RESERVED,\n',
}
STORY = """
import json
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
from events.deciding import inbox
from events.models import EventLog
from events.receiving import samples
from integrations import credentials
from integrations.models import Integration, Marketplace
from rules.models import Rule
from rules.triggers import Trigger

call_command("makemigrations", verbosity=0)
call_command("migrate", verbosity=0)
shop = Marketplace.objects.create(name="Main shop")
desk = Integration(name="Desk", app="notify_url", site="desk.example", url="https://desk.example/")
credentials.save(desk, "whsec_" + "A" * 32)
rule = Rule(marketplace=shop, scope="global", trigger="product_reserved", integration=desk,
            action="send_http_post")
rule.full_clean()
rule.save()
person = Client(SERVER_NAME="127.0.0.1")
person.force_login(get_user_model().objects.create_superuser("owner"))
address = f"/hooks/samcart/{credentials.add_webhook_secret(shop)}/"
body = samples.body(Trigger.PRODUCT_RESERVED, product="1", email="dana@example.com", order=1)
person.post(address, body, content_type="application/json")
inbox.process()
event = EventLog.objects.get()
wizard = f"/admin/new-rule/?scope=global&integration={desk.pk}&action=send_http_post"
pages = [wizard, f"/admin/samcart/{shop.pk}/", "/admin/events/eventlog/", "/admin/simulate/"]
print(json.dumps({
    "sent": json.loads(body)["type"],
    "heard": event.trigger,
    "runs": event.runs.count(),
    "rule": rule.in_words(),
    "pages": {page: person.get(page).content.decode() for page in pages},
}))
"""


def test_a_new_trigger_is_heard_decided_and_shown_wherever_there_is_one(tmp_path: Path):
    for name in COPIED:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    file = tmp_path / "rules" / "triggers.py"
    lines = file.read_text()
    for before, text in ADDED.items():
        assert lines.count(f"\n{before}") == 1, before
        lines = lines.replace(f"\n{before}", f"\n{text}{before}")
    file.write_text(lines)
    shutil.copy(live.migrated_file(), tmp_path / "admit.sqlite3")
    ended = subprocess.run(
        [sys.executable, "-c", "import django; django.setup()\n" + STORY],
        env=os.environ | {"DATABASE_URL": f"sqlite:///{tmp_path}/admit.sqlite3"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert (told["sent"], told["heard"], told["runs"]) == ("SeatReserved", "product_reserved", 1)
    assert told["rule"].startswith("When any product is reserved, ")
    for page, text in told["pages"].items():
        assert "Product Reserved" in html.unescape(text), page
    for app in ("events", "rules"):
        new = {each.name for each in (tmp_path / app / "migrations").glob("0*.py")}
        (made,) = new - {each.name for each in (ROOT / app / "migrations").glob("0*.py")}
        assert "product_reserved" in (tmp_path / app / "migrations" / made).read_text()
