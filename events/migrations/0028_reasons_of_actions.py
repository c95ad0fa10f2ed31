"""What an action said of itself, copied to its event when it was decided, goes from there.

It stayed when the action had succeeded long since: "Succeeded. Release it if …".
"""

from typing import Any

from django.db import migrations
from django.db.models import Exists, F, OuterRef, Q, Value
from django.db.models.functions import Replace

WITHDRAWN = "It was sent to a withdrawn address."
NOBODY = " So nobody could be enrolled or removed."
SET_ASIDE = "Admit itself failed"


def clear(apps: Any, schema_editor: Any) -> None:
    events = apps.get_model("events", "EventLog").objects.all()
    runs = apps.get_model("events", "RuleRun").objects.filter(event=OuterRef("pk"))
    given = events.filter(email_given_at__isnull=False, reason__contains=NOBODY)
    given.update(reason=Replace(F("reason"), Value(NOBODY), Value("")))
    sent_or_entered = Q(delivery__isnull=False) | Q(by_hand="order")
    copies = events.filter(sent_or_entered, Exists(runs), email_given_at=None)
    copies = copies.exclude(reason="").exclude(reason__startswith=SET_ASIDE)
    copies.filter(delivery__withdrawn=True).update(reason=WITHDRAWN)
    copies.exclude(delivery__withdrawn=True).update(reason="")


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0027_silence_of_accounts"),
    ]

    operations = [
        migrations.RunPython(clear, migrations.RunPython.noop),
    ]
