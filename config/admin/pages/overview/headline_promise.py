"""The beginning of the overview's first line: how many buyers have what they paid for."""

from events.reports.counting import format_count
from events.reports.owed.promise import MAX_COUNT
from integrations.sentences import Said, format_number, joined, say, say_count


def not_in(buyers: int, purchases: int) -> Said:
    """Say how many buyers paid and have no access, and for how many purchases if that differs."""
    if purchases > buyers:
        return say_count(
            buyers,
            "1 buyer has no access for {purchases} paid purchases.",
            "{number} buyers have no access for {purchases} paid purchases.",
            number=format_count(buyers),
            purchases=format_count(purchases),
        )
    return say_count(
        buyers,
        "1 buyer paid and has no access.",
        "{number} buyers paid and have no access.",
        number=format_count(buyers),
    )


def ended(buyers: int) -> Said | str:
    """Say for how many of this week's buyers people ended access; "" for none."""
    if not buyers:
        return ""
    return say_count(
        buyers,
        "A person ended access for 1 of this week's buyers.",
        "Access was ended by hand for {number} of this week's buyers.",
        number=format_count(buyers),
    )


def have_access(buyers: int, of: int, on_the_way: int, *, more_bought: bool) -> Said | str:
    """Return "All 43 of this week's paying buyers have access." or "41 of this week's 43 …, 2 …".

    "" if there are none of either.
    """
    found = [_of_newest(buyers, of) if more_bought else _of_week(buyers, of)] if buyers else []
    if on_the_way:
        found.append(
            say_count(
                on_the_way,
                "1 buyer is on the way",
                "{number} buyers are on their way",
                number=format_count(on_the_way),
            )
        )
    return say("{clauses}.", clauses=joined(found, by=", ")) if found else ""


def _of_newest(buyers: int, of: int) -> Said:
    # Each of them was counted.
    count = {"number": format_number(buyers), "all": format_number(of), "most": MAX_COUNT}
    if buyers == of:
        return say("All {number} buyers of the newest {most} purchases have access", **count)
    return say("{number} of {all} buyers of the newest {most} purchases have access", **count)


def _of_week(buyers: int, of: int) -> Said:
    count = {"number": format_number(buyers), "all": format_number(of)}
    if buyers < of:
        return say_count(
            buyers,
            "1 of this week's {all} paying buyers has access",
            "{number} of this week's {all} paying buyers have access",
            **count,
        )
    if buyers == 2:
        return say("Both of this week's paying buyers have access")
    return say_count(
        buyers,
        "This week's only paying buyer has access",
        "All {number} of this week's paying buyers have access",
        **count,
    )
