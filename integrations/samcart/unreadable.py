"""The one error that reading a webhook body can end in."""


class Unreadable(Exception):
    """The body says nothing that can be acted on.

    `reason` is one plain sentence for a person who does not program. It never quotes the body,
    because reasons are shown and logged where buyers' data must not go.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
