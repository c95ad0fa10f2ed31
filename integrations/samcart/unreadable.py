"""The only error that reading a webhook body raises."""


class Unreadable(Exception):
    """The body contains nothing that can be acted on.

    `reason` is one plain sentence for a person who does not program. It never quotes the body's
    values, because reasons are shown and logged in places where buyers' data must not go.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
