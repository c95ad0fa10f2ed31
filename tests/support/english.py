"""Finds text that is still English on a page in another language.

It looks for words that occur only on the English side of the catalog, and for texts that are the
same in both languages although they are neither names nor translated that way.
"""

import ast
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.pofile import read_po
from django.apps import apps
from django.conf import settings
from django.utils.translation import templatize

from integrations.models import ApiCall

# Names of people and shops, which nobody translates.
NAMES = {
    "integrations.Integration": ("name", "site", "url"),
    "integrations.Destination": ("name",),
    "integrations.Product": ("name",),
    "integrations.Marketplace": ("name",),
    "integrations.ProfileField": ("label",),
    "integrations.FieldMapping": ("samcart_field",),
    "integrations.Customer": ("email", "first_name", "last_name"),
    "integrations.AuditEntry": ("who", "place", "name"),
    "events.Worker": ("name",),
    "events.EventLog": ("raw_type", "author", "author_note"),
    "events.RuleRun": ("destination_name", "site"),
    "events.Batch": ("started_by",),
    "integrations.ApiCall": ("url",),
    "auth.User": ("username", "first_name", "last_name"),
}
# The same in every language.
EVERYWHERE = {
    *("admit", "samcart", "thinkific", "slack", "caddy", "nginx", "redis", "postgresql", "sqlite"),
    *(
        "webhook",
        "webhooks",
        "notify",
        "url",
        "urls",
        "api",
        "http",
        "https",
        "post",
        "json",
        "csv",
    ),
    *("id", "ids", "utc", "dns", "ip", "html", "smtp", "upsell", "order", "bump", "ms"),
    *("personal", "roles"),
}
SKIPPED = {"script", "style", "code", "pre", "svg", "kbd", "textarea"}
ATTRIBUTES = ("title", "aria-label", "placeholder", "alt", "data-label", "label")
VOID = {"br", "img", "input", "link", "meta", "wbr", "hr", "use", "source", "col"}
# Days, addresses, numbers, codes and keys.
NO_WORD = re.compile(
    r"\b\d{1,2} [A-Z][a-z]{2}\b|\S*[@/_\d]\S*|\b[\w-]+(?:\.[\w-]+)+\b|%[\w(]+|\b[A-Z]{2,}\b"
)
WORD = re.compile(r"[^\W\d_]{2,}")
# Four words at least, from a capital to a full stop.
SENTENCE = re.compile(r"[A-Z]\S*(?:\s+\S+){3,}\.")
PLACEHOLDER = re.compile(r"\{\w*\}|%\(\w+\)[sd]|<[^>]+>|&\w+;")


class _Texts(HTMLParser):
    """Collects every text that a person reads or hears."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._open: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.found += [given[name] for name in ATTRIBUTES if given.get(name)]
        if tag == "input" and given.get("type") in {"submit", "button"}:
            self.found.append(given.get("value", ""))
        if tag not in VOID:
            kept = "lang" in given and tag != "html"  # on purpose
            kept = kept or given.get("translate") == "no"
            self._open.append((tag, tag in SKIPPED or kept))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not any(skipped for _, skipped in self._open):
            self.found.append(data)


def texts(page: str) -> list[str]:
    """Return the texts of a page, piece by piece."""
    parser = _Texts()
    parser.feed(page.replace("<wbr>", ""))
    found = (" ".join(text.split()).removesuffix(" · Admit") for text in parser.found)
    return [text for text in found if text]


def names() -> re.Pattern[str]:
    """Return the names that this database holds, longest first."""
    found = {"nobody-has-this"}  # who is searched for
    for label, columns in NAMES.items():
        for row in apps.get_model(label)._default_manager.values_list(*columns):
            found |= {str(value).strip() for value in row if value}
    for call in ApiCall.objects.all():
        found |= set(re.findall(r'"([^"]+)"', call.response_text))  # it is quoted
    longest = sorted((name for name in found if len(name) > 1), key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest))})(?!\w)")


def left(english: str, other: str, known: re.Pattern[str]) -> list[str]:
    """Return the texts of the `other` page that are still English; both arguments are HTML."""
    same = set(texts(english))
    found = []
    for text in dict.fromkeys(texts(other)):
        words, only = _words(text, known), words_left(text, known)
        if only or (words and text in same and not kept_so(text)):
            found.append(f"{text[:160]}" + (f" ({', '.join(sorted(only))})" if only else ""))
    return found


def words_left(text: str, known: re.Pattern[str]) -> set[str]:
    """Return the words of a foreign sentence that occur only in English sentences."""
    return _words(text, known) & only_english()


def _words(text: str, known: re.Pattern[str]) -> set[str]:
    clean = NO_WORD.sub(" ", known.sub(" ", text))
    return {word.casefold() for word in WORD.findall(clean)} - EVERYWHERE


def file(language: str) -> Path:
    """Return the file of translations into this language, as people edit it."""
    return Path(settings.LOCALE_PATHS[0]) / language / "LC_MESSAGES" / "django.po"


@dataclass(frozen=True, slots=True)
class Message:
    """A sentence of the catalog, in English and translated, with one form or two."""

    context: str | None
    english: tuple[str, ...]
    translated: tuple[str, ...]


@cache
def catalog(language: str = "es") -> list[Message]:
    """Return every sentence with its translation, "" if that is missing or fuzzy."""
    with file(language).open("rb") as opened:
        read = read_po(opened, locale=language)
    found = []
    for each in read:
        english = (each.id,) if isinstance(each.id, str) else tuple(each.id)
        said = (each.string,) if isinstance(each.string, str) else tuple(each.string or ())
        if each.id:
            translated = tuple("" if each.fuzzy else str(text) for text in said)
            found.append(Message(str(each.context or "") or None, english, translated))
    return found


@cache
def only_english() -> frozenset[str]:
    """Return the words that occur in English sentences but in no translation."""
    sides: tuple[set[str], set[str]] = (set(), set())
    for message in catalog():
        for side, found in zip(sides, (message.english, message.translated), strict=True):
            for text in found:
                clean = NO_WORD.sub(" ", PLACEHOLDER.sub(" ", text))
                side.update(word.casefold() for word in WORD.findall(clean))
    return frozenset(sides[0] - sides[1])


@cache
def kept_so(text: str) -> bool:
    """Return whether a translation keeps these words: "Error", names of SamCart's own buttons."""
    both = (zip(each.english, each.translated, strict=True) for each in catalog())
    pairs = ((unescape(one), unescape(other)) for each in both for one, other in each)
    return any(text in one and text in other for one, other in pairs)


KEYWORDS: dict[str, Any] = {
    **DEFAULT_KEYWORDS,
    "say": None,
    "say_count": (2, 3),
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext_lazy": (1, 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext_lazy": ((1, "c"), 2, 3),
}
FOLDERS = ("config", "events", "integrations", "rules", "templates")
# The calls that mark a sentence; `_` is gettext_lazy.
MARKS = {*KEYWORDS, "_", "gettext", "ngettext", "pgettext", "npgettext"}
# English by design: the terminal, the log, files, the API, and faults of programs.
NOT_FOR_PAGES = (
    "config/backup/",
    "config/checks.py",
    "config/demonstration.py",
    "config/env_file.py",
    "config/environment.py",
    "config/health.py",
    "config/metrics.py",
    "config/settings.py",
    "events/receiving/",
    "events/reports/plain_events.py",
    "events/retention/returned.py",
    "integrations/calls/deadline.py",
    "integrations/calls/exchanges.py",
    "integrations/finding/lookup.py",
    "integrations/former_sentences.py",  # as earlier versions stored them, to be recognized
    "integrations/thinkific/sandbox/",
    "rules/configuration/",
    "/management/",
    "/migrations/",
)


def source() -> Iterator[tuple[str, str | None, tuple[str, ...]]]:
    """Return each sentence marked for translation as (file, context, English forms)."""
    root = Path(settings.BASE_DIR)
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in {".py", ".html", ".txt"} or "static" in path.parts:
                continue
            text = path.read_text()
            if path.suffix != ".py":
                # Its lines are indented like the template's, which Python does not accept.
                made = templatize(text, origin=str(path)).splitlines()
                text = "\n".join(line.strip() for line in made)
            lines = io.BytesIO(text.encode())
            for _, found, _, context in extract("python", lines, keywords=KEYWORDS):
                forms = (found,) if isinstance(found, str) else tuple(found)
                yield str(path.relative_to(root)), context, forms


def unmarked() -> Iterator[str]:
    """Yield the sentences in Python that pages may show and nobody marked for translation.

    A page shows them only in some state of the installation, so opening the pages does not find
    them.
    """
    root = Path(settings.BASE_DIR)
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            file = str(path.relative_to(root))
            if not any(part in f"/{file}" for part in NOT_FOR_PAGES):
                for line, text in sentences_in(path.read_text()):
                    yield f"{file}:{line}: {text}"


def sentences_in(source: str) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of each sentence that is no docstring and is not marked."""
    tree = ast.parse(source)
    alone = {each.value for each in ast.walk(tree) if isinstance(each, ast.Expr)}
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Constant | ast.JoinedStr):
            text = _literal(node)
            if node not in alone and SENTENCE.fullmatch(text):
                yield node.lineno, text
        elif not (isinstance(node, ast.Call) and _called(node) in MARKS):
            todo += ast.iter_child_nodes(node)


def _called(call: ast.Call) -> str:
    return str(getattr(call.func, "id", getattr(call.func, "attr", "")))


def _literal(node: ast.AST) -> str:
    """Return the text of a literal, with … for the values of an f-string."""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_literal, node.values))
    value = node.value if isinstance(node, ast.Constant) else "…"
    return value if isinstance(value, str) else ""
