"""Days in a letter, which has one form for all of them."""

from integrations.sentences import DAY, LONG, YEAR, Said, Source, joined


def with_long_days(said: Said) -> Said:
    """Return the sentence with each day written in full: "23 November 2026"."""
    return joined([Said(said, _long(said.source))])


def _long(source: Source) -> Source:
    if isinstance(source, dict):
        if source.get("as") in {"", DAY, YEAR}:
            return source | {"as": LONG}
        return {name: _long(part) for name, part in source.items()}
    if isinstance(source, list):
        return [_long(part) for part in source]
    return source
