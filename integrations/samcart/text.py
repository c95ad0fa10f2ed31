"""Make text from strangers fit for a database and a page."""

from integrations.sentences import Said, say

_BLANK = "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85"
_CONTROL = [*range(0x20), *range(0x7F, 0xA0)]
# PostgreSQL accepts neither NUL nor a lone surrogate in text; SQLite accepts both.
_REPLACEMENTS: dict[int, str | None] = {
    **{code: " " if chr(code) in _BLANK else None for code in _CONTROL},
    **dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}"),
}


def storable(text: str, limit: int) -> str:
    """Return at most `limit` characters of `text`, fit for any database.

    Line breaks and tabs become spaces, other control characters are removed, and a lone surrogate
    becomes U+FFFD. Spaces at the ends stay.
    """
    if not text.isprintable():
        # Clip before cleaning, too, so that a megabyte is not cleaned for 255 characters.
        text = text[: limit * 4].translate(_REPLACEMENTS)
    return text[:limit]


def line(value: object, limit: int) -> str:
    """Return a JSON text or number as one stripped line of at most `limit` characters.

    Everything else (null, true, false, lists, objects) gives "".
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return storable(str(value).strip(), limit).strip()


def is_none(value: object) -> bool:
    """Return whether a JSON value means "nothing": null, [] (PHP's empty object), {} or ""."""
    return value is None or (isinstance(value, list | dict | str) and not value)


def json_kind(value: object) -> Said:
    """Return the kind of a JSON value with its article, for a sentence: "a list", "a number"."""
    match value:
        case None:
            return say("null")
        case bool():
            return say("true or false")
        case int() | float():
            return say("a number")
        case str():
            return say("a text")
        case list():
            return say("a list")
        case _:
            return say("an object")
