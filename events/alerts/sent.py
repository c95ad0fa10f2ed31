"""What came of sending a message."""

from dataclasses import dataclass


class NotSent(Exception):
    """A message was not taken; `code` names why, the text says it."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True, slots=True)
class Sent:
    """What came back: in words for the person who asked for a test."""

    sentence: str
