"""Adds a long history to what is there already: `python -m tests.support.past EVENTS`.

Fills the database of DATABASE_URL with that many events of the last three years, and their
deliveries, buyers, actions, grants and exchanges, by statements that the database runs itself.
All of it is finished: nothing waits, so whatever is measured afterwards does the same work as
without it. With `--unread` the events are older than the ledger, which reads them first.
"""

import os
import sys

from django.db import connection

YEARS_SECONDS = 3 * 365 * 86_400
# Buyers come back: ten events belong to six different people.
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
# Every tenth event is the refund of the event five before it.
_TRIGGER = "CASE i %% 10 WHEN 0 THEN 'product_refunded' ELSE 'product_purchased' END"
_ACTION = "CASE i %% 10 WHEN 0 THEN 'expire_course_enrollment' ELSE 'create_course_enrollment' END"
_CODE = "CASE i %% 10 WHEN 0 THEN 'ended' ELSE 'enrolled' END"
_SALE = "(CASE i %% 10 WHEN 0 THEN i - 5 ELSE i END)"
_SUBSCRIPTION = f"CASE {_SALE} %% 4 WHEN 0 THEN 'old' || ({_SALE} / 12) ELSE '' END"
_HELD = "i %% 200 = 13"


def fill(events: int, *, read: bool = True) -> None:
    """Add old events of the first account, with runs of its first rule at the first site.

    It adds their grants too; without `read`, the ledger still has to read the events.
    """
    people = max(1, events * OF_TEN // 10)
    first = {table: _newest(table) + 1 for table in NUMBERED}
    event_status = f"CASE WHEN i %% 50 = 3 THEN 'no_rule' ELSE {_STATUS} END"
    age = f"({events} - i) * {YEARS_SECONDS / events!r} + 7200.0"
    at = _AGO[connection.vendor].format(seconds=age)
    buyer = f"{first['integrations_customer']} + {_SALE} %% {people}"
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
        left_open="FALSE",
        reason="''",
        order_id=f"'old' || {_SALE}",
        subscription_id=_SUBSCRIPTION,
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
    grant = f"{first['events_grant']} + {_SALE} - 1"
    if read:
        _insert_grants(events, grant, buyer, event, at)
    _insert(
        "events_rulerun",
        events,
        id=run,
        received_at=at,
        action=_ACTION,
        destination_id=f"501 + {_SALE} %% 40",
        destination_name=f"'Course ' || ({_SALE} %% 40)",
        target=f"'course:' || (501 + {_SALE} %% 40)",
        site="'acme'",
        rule_sentence="'When it is purchased, enroll the customer.'",
        status=_STATUS,
        code=_CODE,
        message="'Enrolled.'",
        attempts="1",
        crashes="0",
        ends_all="FALSE",
        started_at=at,
        finished_at=at,
        grant_id=f"CASE WHEN {_HELD} THEN NULL ELSE {grant} END" if read else "NULL",
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
    if not read:
        _insert("events_history", 1, id="1", events=f"{events}", **ZERO)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            for table in NUMBERED:
                cursor.execute(
                    f"SELECT SETVAL(PG_GET_SERIAL_SEQUENCE('{table}', 'id'), MAX(id)) FROM {table}"
                )
            # Autovacuum does the same. SQLite never collects statistics by itself.
            cursor.execute("ANALYZE")


def _insert_grants(events: int, grant: str, buyer: str, event: str, at: str) -> None:
    """Add what the purchases gave, if they were carried out and not refunded."""
    refunded = "i %% 10 = 5"
    _insert(
        "events_grant",
        events,
        where=f"i %% 10 <> 0 AND NOT {_HELD}",
        id=grant,
        source="'purchase'",
        order_id=f"'old' || {_SALE}",
        subscription_id=_SUBSCRIPTION,
        product_name="'Watercolor'",
        target="'course:' || (501 + i %% 40)",
        name="'Course ' || (i %% 40)",
        course_ids=_json("[]"),
        state=f"CASE WHEN {refunded} THEN 'ended' ELSE 'active' END",
        decided_at=at,
        because=f"CASE WHEN {refunded} THEN 'product_refunded' ELSE 'product_purchased' END",
        event_id=event,
        opened_at=at,
        ended_at=f"CASE WHEN {refunded} THEN {at} END",
        seen_at=f"CASE WHEN {_STATUS} <> 'failed' THEN {at} END",
        customer_id=buyer,
        integration_id=_any("integrations_integration"),
        marketplace_id=_any("integrations_marketplace"),
        product_id=_any("integrations_product"),
    )


ZERO = {"read": "0", "reached_id": "0", "unclear": "0"}
NUMBERED = (
    "integrations_customer",
    "events_delivery",
    "events_eventlog",
    "events_grant",
    "events_rulerun",
    "integrations_apicall",
)
TABLES = (*NUMBERED, "integrations_searchterm")


def _insert(table: str, count: int, *, where: str = "TRUE", **columns: str) -> None:
    """Insert rows numbered by `i` from 1, with an SQL expression of it for each column."""
    names, values = ", ".join(f'"{name}"' for name in columns), ", ".join(columns.values())
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({names}) WITH RECURSIVE n(i) AS "
            "(SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s) "
            f"SELECT {values} FROM n WHERE {where}",
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
    fill(int(sys.argv[1]), read="--unread" not in sys.argv)


if __name__ == "__main__":
    main()
