"""The stories of tests/stories/*.yaml as data. The README there explains how to write them."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from rules.configuration import document
from rules.configuration.document import Entry
from rules.configuration.faults import Faulty
from rules.triggers import Trigger

STORIES = Path(__file__).parents[1] / "stories"
EVERY_PRODUCT = "every product"
NOTHING = "nothing"
ANYTHING = "…"
ONLY_AT_THE_END = "only at the end"
WHATEVER = " whatever gave it"
VERBS = ("give", "end")
# The names of triggers in the rules of a story.
HAPPENINGS = {
    "purchased": Trigger.PRODUCT_PURCHASED,
    "refunded": Trigger.PRODUCT_REFUNDED,
    "partly refunded": Trigger.PRODUCT_PARTIALLY_REFUNDED,
    "canceled": Trigger.SUBSCRIPTION_CANCELED,
    "charged": Trigger.SUBSCRIPTION_CHARGED,
    "charge failed": Trigger.SUBSCRIPTION_CHARGE_FAILED,
    "delinquent": Trigger.SUBSCRIPTION_DELINQUENT,
    "recovered": Trigger.SUBSCRIPTION_RECOVERED,
    "restarted": Trigger.SUBSCRIPTION_RESTARTED,
}


class StoryError(Exception):
    """Says what is wrong in a story, and where."""


@dataclass(frozen=True, slots=True)
class ShopRule:
    """When this happens to the product, give or end the course or bundle."""

    product: str
    happening: str
    verb: str
    target: str
    ends_all: bool = False  # Ends it whatever gave it.


@dataclass(frozen=True, slots=True)
class ShopFacts:
    """What is taught and sold, by name. A product may have no rule at all."""

    courses: tuple[str, ...]
    bundles: dict[str, tuple[str, ...]]
    products: tuple[str, ...]
    rules: tuple[ShopRule, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """What happens, and the codes of the resulting actions; None if the story names none."""

    text: str
    codes: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Story:
    """What happens in a shop, the courses that are open at the end, and what Admit says of them."""

    name: str
    where: str  # 'refunds.yaml, line 12, "The second refund ..."'
    shop: ShopFacts
    steps: tuple[Step, ...]
    in_thinkific: dict[str, frozenset[str]]  # By e-mail address; only people with an open course.
    says: tuple[str, ...]  # The sentence on each course of each customer; ANYTHING may stand in it.
    only_at_the_end: bool


def all_stories() -> list[Story]:
    """Return the stories of every file. Raises StoryError."""
    return [story for file in sorted(STORIES.glob("*.yaml")) for story in read(file)]


def read(file: Path) -> list[Story]:
    """Return the stories of a file. Raises StoryError with a sentence on how to mend it."""
    try:
        whole = _Part(document.load(file.read_bytes()), file.name)
    except Faulty as error:
        raise StoryError(f"{file.name}: {error}") from None
    whole.check("courses", "rules", "stories", besides=["bundles"])
    told = whole.part("stories")
    return [_story(name, told.part(name, file.name), whole) for name in told.entry]


def names(text: str) -> tuple[str, ...]:
    """ "Watercolor, Drawing" -> both names; "nothing" -> none."""
    found = tuple(filter(None, (each.strip() for each in text.split(","))))
    return () if found == (NOTHING,) else found


def email_of(who: str) -> str:
    """Return the address of "Dana", or the address itself."""
    return who if "@" in who else f"{who.lower()}@example.com"


def fits(written: str, said: str) -> bool:
    """Return whether Admit says what is written; ANYTHING stands for any words."""
    return re.fullmatch(".*".join(map(re.escape, written.split(ANYTHING))), said) is not None


def one_of(name: str, known: Collection[str], sentence: str) -> None:
    """Check the name; raise StoryError with the sentence and the known names if it is unknown."""
    if name not in known:
        raise StoryError(f"{sentence} There are: {', '.join(known)}.")


@dataclass(frozen=True, slots=True)
class _Part:
    """A mapping of the file and its position."""

    entry: Entry
    where: str

    def check(self, *required: str, besides: Collection[str] = ()) -> None:
        known = [*required, *besides]
        for key in self.entry:
            one_of(key, known, f"{self.where}: `{key}` has no meaning here.")
        for key in required:
            if key not in self.entry:
                raise StoryError(f"{self.where}: `{key}:` is missing.")

    def part(self, key: str, where: str = "") -> "_Part":
        inside = self.entry.get(key)
        if not isinstance(inside, Entry):
            raise StoryError(f"{self.where}: `{key}:` needs indented lines with colons below it.")
        if where:
            return _Part(inside, f'{where}, line {inside.line}, "{key}"')
        return _Part(inside, f"{self.where}, {key}")

    def text(self, key: str) -> str:
        text = self.entry.get(key)
        if not isinstance(text, str):
            raise StoryError(f"{self.where}: `{key}:` needs words after it, with commas between.")
        return text

    def names(self, key: str, known: Collection[str], kind: str) -> tuple[str, ...]:
        found = names(self.text(key))
        for name in found:
            one_of(name, known, f"{self.where}, {key}: there is no {kind} {name}.")
        return found


def _story(name: str, told: _Part, file: _Part) -> Story:
    told.check("happens", "in Thinkific", "Admit says", besides=["rules", "Admit works"])
    if "Admit works" in told.entry:
        told.names("Admit works", [ONLY_AT_THE_END], "way to work")
    shop = _shop(file, told if "rules" in told.entry else file)
    holders = told.part("in Thinkific")
    return Story(
        name=name,
        where=told.where,
        shop=shop,
        steps=tuple(_steps(told)),
        in_thinkific={
            email_of(who): frozenset(courses)
            for who in holders.entry
            if (courses := holders.names(who, shop.courses, "course"))
        },
        says=tuple(_sentences(told)),
        only_at_the_end="Admit works" in told.entry,
    )


def _shop(file: _Part, ruled: _Part) -> ShopFacts:
    courses = names(file.text("courses"))
    bundles = {}
    if "bundles" in file.entry:
        within = file.part("bundles")
        bundles = {each: within.names(each, courses, "course") for each in within.entry}
    rules = ruled.part("rules")
    return ShopFacts(
        courses=courses,
        bundles=bundles,
        products=tuple(name for name in rules.entry if name != EVERY_PRODUCT),
        rules=tuple(_rules(rules, [*courses, *bundles])),
    )


def _rules(rules: _Part, targets: Collection[str]) -> Iterator[ShopRule]:
    for product, found in rules.entry.items():
        if found == NOTHING:
            continue
        of_product = rules.part(product)
        for happenings in of_product.entry:
            verb, _, given = of_product.text(happenings).partition(" ")
            where = f"{of_product.where}, {happenings}"
            one_of(verb, VERBS, f"{where}: a rule cannot {verb}.")
            for happening in names(happenings):
                one_of(happening, HAPPENINGS, f"{where}: no rule is for {happening}.")
                for words in names(given):
                    target = words.removesuffix(WHATEVER)
                    one_of(target, targets, f"{where}: there is no course or bundle {target}.")
                    yield ShopRule(product, happening, verb, target, target != words)


def _steps(told: _Part) -> Iterator[Step]:
    found = told.entry["happens"]
    for each in found if isinstance(found, list) else [None]:
        if isinstance(each, str):
            yield Step(each, None)
        elif isinstance(each, Entry) and len(each) == 1:
            (text,) = each
            yield Step(text, tuple(map(str.strip, _Part(each, told.where).text(text).split(","))))
        else:
            raise StoryError(f"{told.where}: `happens:` is a list of sentences, one a line.")


def _sentences(told: _Part) -> Iterator[str]:
    found = told.entry["Admit says"]
    for each in found if isinstance(found, list) else [None]:
        if isinstance(each, Entry) and len(each) == 1:
            (begin,) = each  # What stands before a colon.
            yield f"{begin}: {_Part(each, told.where).text(begin)}"
        elif isinstance(each, str):
            yield each
        else:
            raise StoryError(f"{told.where}: `Admit says:` is a list of sentences, one a line.")
