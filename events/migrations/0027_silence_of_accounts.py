"""A silence is one of an account, and so is what a person said of it."""

from typing import Any

from django.db import migrations, models


def keep_what_was_said(apps: Any, schema_editor: Any) -> None:
    """What was said of the whole shop holds for each account, until its next sale."""
    Round = apps.get_model("events", "AlertRound")  # noqa: N806 - a model
    Event = apps.get_model("events", "EventLog")  # noqa: N806 - a model
    Account = apps.get_model("integrations", "Marketplace")  # noqa: N806 - a model
    for row in Round.objects.exclude(silence_is_right_since=None):
        sales = Event.objects.filter(
            trigger="product_purchased", by_hand="", received_at__lte=row.silence_is_right_since
        )
        for account in Account.objects.all():
            of_account = sales.filter(marketplace=account).order_by("-received_at")
            if last := of_account.values_list("received_at", flat=True).first():
                row.right_silences[str(account.pk)] = last.isoformat()
        row.save(update_fields=["right_silences"])


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0026_labels"),
        ("integrations", "0013_replaced_users"),
    ]

    operations = [
        migrations.AddField(
            model_name="alertround",
            name="right_silences",
            field=models.JSONField(default=dict),
        ),
        migrations.RunPython(keep_what_was_said, migrations.RunPython.noop),
        migrations.RemoveField(model_name="alertround", name="silence_is_right_since"),
    ]
