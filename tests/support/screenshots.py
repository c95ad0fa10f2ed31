"""Pictures of the admin: `python -m tests.support.screenshots --to DIR [PATH ...]`, or `--readme`.

Builds a shop with a past in a database of its own, serves it on loopback, and takes each page at
1440 and 390 pixels, light and dark; for the README two pages, light and wide, into docs/images.
PATH may hold {event}, {run}, {customer}, {product}, {rule}, {integration}: newest of each, or
{event:failed} and {run:failed} by status; {product:giving} has rules of its own. Of a Notify URL
they are {receiver}, {notify} for its rule, and {message:failed} for a run.
"""

import argparse
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.browsing import LOOKS, Look


def prepare(folder: str) -> None:
    """Django with a fresh database in this folder."""
    os.environ["DATABASE_URL"] = f"sqlite:///{folder}/screenshots.sqlite3"
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import logging

    import django
    from django.core.management import call_command

    django.setup()
    logging.disable(logging.INFO)

    call_command("migrate", verbosity=0)


def fill(path: str) -> str:
    """The path with its {names} replaced by ids."""
    from django.apps import apps

    models = {
        "event": "events.EventLog",
        "run": "events.RuleRun",
        "customer": "integrations.Customer",
        "owed": "integrations.Customer",
        "product": "integrations.Product",
        "rule": "rules.Rule",
        "integration": "integrations.Integration",
        "destination": "integrations.Destination",
        "gone": "integrations.Destination",
        "marketplace": "integrations.Marketplace",
        "batch": "events.Batch",
        "user": "auth.User",
        "group": "auth.Group",
        "receiver": "integrations.Integration",
        "message": "events.RuleRun",
        "notify": "rules.Rule",
        "change": "integrations.AuditEntry",
        "added": "integrations.AuditEntry",
        "deleted": "integrations.AuditEntry",
    }
    passing_on = {"action": "send_http_post"}
    only: dict[str, dict[str, Any]] = {
        "owed": {"events__gave_nothing": True, "events__trigger": "product_purchased"},
        "gone": {"gone_at__isnull": False},
        "receiver": {"app": "notify_url"},
        "message": passing_on,
        "notify": passing_on,
        "added": {"act": "rule_added"},
        "deleted": {"act": "rule_deleted"},
    }

    def number(match: re.Match[str]) -> str:
        if match[3] == "giving":
            return str(_giving(apps.get_model("rules.Rule")))
        rows = apps.get_model(models[match[1]])._default_manager.order_by("pk")
        rows = rows.filter(**only.get(match[1], {}))
        rows = rows.exclude(**passing_on) if match[1] == "run" else rows
        found = rows.filter(status=match[3]).last() if match[3] else rows.first()
        return str(found.pk if found else 0)

    return re.sub(r"\{(\w+)(:(\w+))?\}", number, path)


def _giving(rules: Any) -> int:
    """The last product with rules of its own."""
    return int(rules.objects.exclude(product=None).latest("product").product_id)


README = {"overview": "/admin/", "customer": "/admin/integrations/customer/{customer}/change/"}


def take(
    paths: dict[str, str],
    to: Path,
    looks: Sequence[Look],
    *,
    person: str,
    full: bool,
    crowded: bool = False,
) -> None:
    """Take each {name: path} in each look, as NAME-LOOK.png; as NAME.png when there is only one."""
    from django.conf import settings

    from integrations.thinkific.sandbox import Sandbox
    from tests.support import browsing, crowd, scenery

    to.mkdir(parents=True, exist_ok=True)
    with Sandbox() as sandbox, browsing.serving() as address, browsing.chromium() as browser:
        settings.THINKIFIC_API_URL, settings.PUBLIC_URL = sandbox.url, scenery.PUBLIC_URL
        place = scenery.build(sandbox)
        scenery.add_receiver(place.world)
        if crowded:
            crowd.fill(place)
        for look in looks:
            with browsing.window(browser, look) as context:
                page = context.new_page()
                page.on("console", lambda line: print("  console:", line.type, line.text[:300]))
                page.on("pageerror", lambda error: print("  error:", error))
                browsing.sign_in(page, address, place.people[person], scenery.PASSWORD)
                for name, path in paths.items():
                    page.goto(address + fill(path))
                    file = to / (f"{name}-{look.name}.png" if len(looks) > 1 else f"{name}.png")
                    page.screenshot(path=file, full_page=full)
                    wide = browsing.overflow(page)
                    print(file, f"OVERFLOWS BY {wide} px" if wide > 0 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", default=["/admin/"], metavar="PATH")
    parser.add_argument("--to", type=Path, default=Path("var/screenshots"), help="the folder")
    parser.add_argument("--readme", action="store_true", help="take those of the README again")
    parser.add_argument("--person", default="Owner", help="Owner, Manager, Support or Viewer")
    parser.add_argument("--fold", action="store_true", help="only what is seen without scrolling")
    parser.add_argument("--widths", type=int, nargs="+", help="instead of 1440 and 390 pixels")
    parser.add_argument("--crowded", action="store_true", help="with full lists and long names")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prepare(folder)
        if options.readme:
            take(README, Path("docs/images"), LOOKS[:1], person="Manager", full=False)
        else:
            paths = {name_of(path): path for path in options.paths}
            take(
                paths,
                options.to,
                looks_at(options.widths) if options.widths else LOOKS,
                person=options.person,
                full=not options.fold,
                crowded=options.crowded,
            )


def looks_at(widths: Sequence[int]) -> list[Look]:
    """Light and dark at each of these widths."""
    return [Look((width, 900), dark) for width in widths for dark in (False, True)]


def name_of(path: str) -> str:
    """A file name for a path: "events-eventlog" for "/admin/events/eventlog/"."""
    return re.sub(r"\W+", "-", path.removeprefix("/admin")).strip("-") or "index"


if __name__ == "__main__":
    main()
