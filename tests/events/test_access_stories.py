"""Who holds which course at the end: plays tests/stories with Admit and a sandbox.

Each is told twice: with Admit at work after every step, and only at the end, from the newest action
to the oldest. What is open in Thinkific must be the same.
"""

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from django.utils import translation

from events.models import EventLog, RuleRun
from events.reports.sentences import why
from integrations.models import Customer
from tests.support import english, storybook
from tests.support.storybook import Story, StoryError
from tests.support.storyteller import Storyteller, Works
from tests.support.world import World


def ways(story: Story) -> tuple[Works, Works]:
    """When Admit works; what a story says of its steps is for the first one."""
    return (Works.AT_THE_END if story.only_at_the_end else Works.EACH_TIME), Works.BACKWARDS


def _param(story: Story, works: Works) -> Any:
    # Each database tells one of the ways.
    marks = pytest.mark.second_database if works is Works.BACKWARDS else pytest.mark.first_database
    return pytest.param(story, works, id=f"{story.name} ({works})", marks=marks)


TOLD = [_param(story, works) for story in storybook.all_stories() for works in ways(story)]


@pytest.mark.parametrize(("story", "works"), TOLD)
def test_the_right_courses_are_open_at_the_end(world: World, story: Story, works: Works):
    end = Storyteller(world, story, works).tell()
    assert end.in_thinkific == story.in_thinkific, end.transcript
    assert end.unfinished == [], end.transcript
    if works is ways(story)[0]:
        for step, codes in zip(story.steps, end.codes, strict=True):
            assert step.codes in (None, codes), f"{step.text}\n{end.transcript}"
        assert len(story.says) == len(end.says), end.says
        for written, said in zip(story.says, end.says, strict=True):
            assert storybook.fits(written, said), f"{written}\n{said}"
        assert english_for_a_reader_of_spanish() == []


def english_for_a_reader_of_spanish() -> list[str]:
    """What is English still of what is said of each customer and action."""
    known = english.names()
    with translation.override("es"):
        said = [text for customer in Customer.objects.all() for text in _said_of(customer)]
        said += [run.message for run in RuleRun.objects.all()]
        said += EventLog.objects.values_list("reason", flat=True)
        return [text for text in said if english.words_left(text, known)]


def _said_of(customer: Customer) -> list[str]:
    return [str(sentence.text) for _, sentence in why.of_customer(customer)]


SHOP = """
    courses: Watercolor, Drawing
    bundles:
      Art Bundle: Watercolor, Drawing
    rules:
      Watercolor Class:
        purchased: give Watercolor
        refunded: end Watercolor
      Brush Set: nothing
    stories:
      Dana buys:
        happens:
          - Dana buys Watercolor Class in order 1183
        in Thinkific:
          Dana: Watercolor
        Admit says:
          - Dana has Watercolor…
"""
# What is written in place of what, and the sentence for it.
IN_A_FILE = [
    ("in Thinkific", "in Thinkifik", "`in Thinkifik` has no meaning here. There are: happens,"),
    ("        happens:", "        hapens:", "`hapens` has no meaning here."),
    ("Dana: Watercolor", "Dana: Watercolour", "Dana: there is no course Watercolour."),
    (
        "give Watercolor",
        "gives Watercolor",
        "purchased: a rule cannot gives. There are: give, end.",
    ),
    ("purchased:", "bought:", "bought: no rule is for bought. There are: purchased, refunded,"),
    ("end Watercolor", "end Perspective", "there is no course or bundle Perspective."),
    ("- Dana buys Watercolor Class in order 1183", "Dana buys", "is a list of sentences, one a"),
    ("- Dana has Watercolor…", "nothing", "`Admit says:` is a list of sentences, one a line."),
    ("courses: Watercolor, Drawing", "", "wrong.yaml: `courses:` is missing."),
    ("Art Bundle: Watercolor", "Art Bundle: Waterfall", "there is no course Waterfall."),
    ("courses:", "courses", "wrong.yaml: Line "),
]
IN_A_SENTENCE = [
    ("Dana purchases Watercolor Class", "no story can say this. README.md has what it can say."),
    ("Dana buys Watercolor Glass in order 1183", "there is no product Watercolor Glass."),
    ("order 1199 is refunded", "it is new: write order 1199 (Dana bought PRODUCT)."),
    ("order 1199 (Dana paid) is refunded", "it is new: write order 1199 (Dana bought PRODUCT)."),
    ("Brush Set of order 1183 is refunded", "order 1183 has no Brush Set."),
    ("the subscription of order 1183 is canceled", "order 1183 has no subscription."),
    ("Leo's account is deleted in Thinkific", "Leo has no account in Thinkific."),
    ("from now on Brush Set no longer gives Drawing when purchased", "there is no such rule."),
    ("Watercolor Class moves from Sketching to Drawing", "no course or bundle Sketching."),
]


def read(folder: Path, text: str) -> Story:
    file = folder / "wrong.yaml"
    file.write_text(dedent(text))
    (story,) = storybook.read(file)
    return story


@pytest.mark.parametrize(("right", "wrong", "sentence"), IN_A_FILE)
def test_what_is_wrong_in_a_story_file_is_said_with_its_place(tmp_path, right, wrong, sentence):
    with pytest.raises(StoryError) as error:
        read(tmp_path, SHOP.replace(right, wrong))
    assert str(error.value).startswith("wrong.yaml")
    assert sentence in str(error.value)


@pytest.mark.parametrize(("wrong", "sentence"), IN_A_SENTENCE)
def test_a_sentence_that_no_story_can_say_is_quoted(world: World, tmp_path, wrong, sentence):
    bought = "- Dana buys Watercolor Class in order 1183"
    story = read(tmp_path, SHOP.replace(bought, f"{bought}\n          - {wrong}"))
    with pytest.raises(StoryError) as error:
        Storyteller(world, story, Works.EACH_TIME).tell()
    assert str(error.value).startswith(f'wrong.yaml, line 12, "Dana buys", "{wrong}": ')
    assert sentence in str(error.value)
