"""Days on the command line."""

from argparse import ArgumentTypeError
from datetime import date


def a_day(text: str) -> date:
    """For `type` of an argument. Raises ArgumentTypeError with a sentence."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text} is no day. Write it as 2026-12-31.") from None
