"""The result of sending a message."""

from dataclasses import dataclass

from integrations.sentences import Said


class NotSent(Exception):
    """A message was not taken; `code` names why, `sentence` says it."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Sent:
    """A message was taken; `sentence` says so to the person who asked for a test."""

    sentence: Said
