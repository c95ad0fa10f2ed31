"""A long history beside what is there already: `python -m tests.bench.past EVENTS`.

Fills the database of DATABASE_URL with so many old events of three years, their deliveries,
buyers, actions and exchanges, by statements that the database carries out itself. All of it is
over: nothing waits, so that what is measured afterwards does the same work as without it.
"""

import os
import sys

from django.db import connection

YEARS_SECONDS = 3 * 365 * 86_400
# Buyers come back: of ten events six are of different people.
OF_TEN = 6
_AGO = {
    "sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f000', 'now', '-' || ({seconds}) || ' seconds')",
    "postgresql": "STATEMENT_TIMESTAMP() - make_interval(secs => {seconds})",
}
_UUID = {
    "sqlite": "PRINTF('%%032x', {number})",
    "postgresql": "LPAD(TO_HEX({number}), 32, '0')::uuid",
}
_BYTES = {"sqlite": "CAST({text} AS BLOB)", "postgresql": "CONVERT_TO({text}, 'UTF8')"}
_STATUS = (
    "CASE WHEN i %% 50 = 7 THEN 'failed' WHEN i %% 50 = 11 THEN 'skipped'"
    " WHEN i %% 200 = 13 THEN 'held' ELSE 'done' END"
)
_TRIGGER = "CASE i %% 10 WHEN 0 THEN 'product_refunded' ELSE 'product_purchased' END"


def fill(events: int) -> None:
    """Old events of the first account, and runs of its first rule at the first site."""
    people = max(1, events * OF_TEN // 10)
    first = {table: _newest(table) + 1 for table in NUMBERED}
    event_status = f"CASE WHEN i %% 50 = 3 THEN 'no_rule' ELSE {_STATUS} END"
    age = f"({events} - i) * {YEARS_SECONDS / events!r} + 7200.0"
    at = _AGO[connection.vendor].format(seconds=age)
    buyer = f"{first['integrations_customer']} + i %% {people}"
    delivery, event = (
        f"{first[table]} + i - 1" for table in ("events_delivery", "events_eventlog")
    )
    shop, site = _any("integrations_marketplace"), _any("integrations_integration")
    run = f"{first['events_rulerun']} + i - 1"
    _insert(
        "integrations_customer",
        people,
        id=f"{first['integrations_customer']} + i - 1",
        email="'old' || i || '@example.com'",
        email_as_sent="'old' || i || '@example.com'",
        first_name="'Dana' || i",
        last_name="'Reyes'",
    )
    for term in (
        "'old' || i || '@example.com'",
        "'dana' || i",
        "'example.com'",
        "'reyes'",
    ):
        _insert(
            "integrations_searchterm",
            people,
            customer_id=f"{first['integrations_customer']} + i - 1",
            term=_BYTES[connection.vendor].format(text=term),
        )
    _insert(
        "events_delivery",
        events,
        id=delivery,
        uuid=_UUID[connection.vendor].format(number=delivery),
        withdrawn="FALSE",
        address_trigger="''",
        query="''",
        content_type="'application/json'",
        content_encoding="''",
        body={"sqlite": "X'7b7d'", "postgresql": "'\\x7b7d'::bytea"}[connection.vendor],
        body_digest="'old' || i",
        state="'read'",
        received_at=at,
        marketplace_id=shop,
        secret_id=_any("integrations_webhooksecret"),
    )
    _insert(
        "events_eventlog",
        events,
        id=event,
        line="0",
        trigger=_TRIGGER,
        raw_type="'Order'",
        status=event_status,
        gave_nothing="i %% 50 = 3",
        reason="''",
        order_id="'' || i",
        subscription_id="CASE i %% 4 WHEN 0 THEN 'old' || i / 12 ELSE '' END",
        transaction_id="'old' || i",
        samcart_customer_id=f"'old' || i %% {people}",
        custom_fields=_json("{}"),
        verdicts=_json("[]"),
        received_at=at,
        customer_id=buyer,
        delivery_id=delivery,
        marketplace_id=shop,
        product_id=_any("integrations_product"),
        dealt_with_by="''",
        email_given_by="''",
        by_hand="''",
        author="''",
        author_note="''",
        email_as_sent="''",
        name_as_sent="''",
    )
    _insert(
        "events_rulerun",
        events,
        id=run,
        received_at=at,
        action="'create_course_enrollment'",
        destination_id="501 + i %% 40",
        destination_name="'Course ' || i %% 40",
        target="'course:' || (501 + i %% 40)",
        site="'acme'",
        rule_sentence="'When it is purchased, enroll the customer.'",
        status=_STATUS,
        code="'enrolled'",
        message="'Enrolled.'",
        attempts="1",
        crashes="0",
        ends_all="FALSE",
        finished_at=at,
        customer_id=buyer,
        event_id=event,
        integration_id=site,
        rule_id=_any("rules_rule"),
    )
    _insert(
        "integrations_apicall",
        events,
        id=f"{first['integrations_apicall']} + i - 1",
        run_id=run,
        method="'POST'",
        url="'/enrollments'",
        request_body="'{}'",
        status="201",
        response_body="'{}'",
        error="''",
        milliseconds="90",
        sent_at=at,
        integration_id=site,
    )
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            for table in NUMBERED:
                cursor.execute(
                    f"SELECT SETVAL(PG_GET_SERIAL_SEQUENCE('{table}', 'id'), MAX(id)) FROM {table}"
                )
            # As its autovacuum does. On SQLite nobody makes statistics.
            cursor.execute("ANALYZE")


NUMBERED = (
    "integrations_customer",
    "events_delivery",
    "events_eventlog",
    "events_rulerun",
    "integrations_apicall",
)
TABLES = (*NUMBERED, "integrations_searchterm")


def _insert(table: str, count: int, **columns: str) -> None:
    """Rows numbered by `i` from 1, each column an expression of it."""
    names, values = ", ".join(f'"{name}"' for name in columns), ", ".join(columns.values())
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({names}) WITH RECURSIVE n(i) AS "
            f"(SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s) SELECT {values} FROM n",
            [count],
        )


def _newest(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COALESCE(MAX(id), 0) FROM {table}")
        return int(cursor.fetchone()[0])


def _any(table: str) -> str:
    return f"(SELECT MIN(id) FROM {table})"


def _json(text: str) -> str:
    return f"'{text}'" + ("::jsonb" if connection.vendor == "postgresql" else "")


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django

    django.setup()
    fill(int(sys.argv[1]))


if __name__ == "__main__":
    main()
