"""The command line arguments of `grant` and `end`."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import date


def add_arguments(parser: ArgumentParser, *, last_day: str) -> None:
    """Add the arguments; `last_day` is the name of the option for the last day."""
    parser.add_argument("email")
    parser.add_argument("course", help="course or bundle: its name, or its ID in Thinkific")
    parser.add_argument("--integration", default="", help="its name, if there are several")
    parser.add_argument("--reason", required=True, help="why; it is kept in the log")
    parser.add_argument(last_day, type=_day, metavar="DAY", help="the last day: 2026-12-31")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text} is no day. Write it as 2026-12-31.") from None
