"""Drop the indexes that another one begins with, and PostgreSQL's second ones for LIKE.

They cost a write for each event and action, and nothing was looked up by them. They are dropped
by name, for by Django's AlterField SQLite would copy the tables.
"""

import django.db.models.deletion
from django.db import migrations, models

DROPPED = [
    "events_delivery_repeat_of_id_2d5fc99e",
    "events_eventlog_customer_id_046f1c73",
    "events_eventlog_delivery_id_220958d2",
    "events_eventlog_product_id_40df9a3d",
    *(
        f"{name}{second}"
        for name in (
            "events_eventlog_order_id_8dd5e673",
            "events_eventlog_samcart_customer_id_bc7285a3",
            "events_eventlog_subscription_id_4321ec22",
            "events_eventlog_transaction_id_ef00d9d6",
        )
        for second in ("", "_like")
    ),
    "events_rulerun_customer_id_e396bf1a",
    "events_rulerun_event_id_327fca71",
]


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0003_housekeeping"),
        ("integrations", "0002_admin"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    [f"DROP INDEX IF EXISTS {name}" for name in DROPPED],
                    # The way back does without: another one serves each look-up.
                    migrations.RunSQL.noop,
                )
            ],
            state_operations=[
                migrations.AlterField(
                    model_name="delivery",
                    name="repeat_of",
                    field=models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="repeats",
                        to="events.delivery",
                    ),
                ),
                migrations.AlterField(
                    model_name="eventlog",
                    name="customer",
                    field=models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="events",
                        to="integrations.customer",
                    ),
                ),
                migrations.AlterField(
                    model_name="eventlog",
                    name="delivery",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="events",
                        to="events.delivery",
                    ),
                ),
                migrations.AlterField(
                    model_name="eventlog",
                    name="order_id",
                    field=models.CharField(blank=True, max_length=64),
                ),
                migrations.AlterField(
                    model_name="eventlog",
                    name="product",
                    field=models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="events",
                        to="integrations.product",
                    ),
                ),
                migrations.AlterField(
                    model_name="eventlog",
                    name="samcart_customer_id",
                    field=models.CharField(blank=True, max_length=64),
                ),
                migrations.AlterField(
                    model_name="eventlog",
                    name="subscription_id",
                    field=models.CharField(blank=True, max_length=64),
                ),
                migrations.AlterField(
                    model_name="eventlog",
                    name="transaction_id",
                    field=models.CharField(blank=True, max_length=64),
                ),
                migrations.AlterField(
                    model_name="rulerun",
                    name="customer",
                    field=models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="runs",
                        to="integrations.customer",
                    ),
                ),
                migrations.AlterField(
                    model_name="rulerun",
                    name="event",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="runs",
                        to="events.eventlog",
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("repeat_of__isnull", False)),
                fields=["repeat_of"],
                name="delivery_repeat_of",
            ),
        ),
        migrations.AddIndex(
            model_name="eventlog",
            index=models.Index(fields=["order_id"], name="event_of_order"),
        ),
        migrations.AddIndex(
            model_name="eventlog",
            index=models.Index(fields=["subscription_id"], name="event_of_subscription"),
        ),
        migrations.AddIndex(
            model_name="eventlog",
            index=models.Index(fields=["transaction_id"], name="event_of_transaction"),
        ),
        migrations.AddIndex(
            model_name="eventlog",
            index=models.Index(fields=["samcart_customer_id"], name="event_of_samcart_customer"),
        ),
    ]
