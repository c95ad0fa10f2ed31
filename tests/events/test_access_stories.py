"""Who holds which course at the end: the stories of tests/stories, told to Admit and a sandbox.

Each is told twice, with Admit at work after every step and only at the end: what is open in
Thinkific must be the same.
"""

from pathlib import Path

import pytest

from tests.support import storybook
from tests.support.storybook import Story, StoryError
from tests.support.storyteller import Storyteller
from tests.support.world import World

STORIES = storybook.all_stories()
WORKS = {"after each step": True, "only at the end": False}
TOLD = [
    pytest.param(story, each, id=f"{story.name} ({how})")
    for story in STORIES
    for how, each in WORKS.items()
    if not (each and story.only_at_the_end)
]


@pytest.mark.parametrize(("story", "works_each_time"), TOLD)
def test_the_right_courses_are_open_at_the_end(world: World, story: Story, works_each_time: bool):
    end = Storyteller(world, story, works_each_time=works_each_time).tell()
    assert end.in_thinkific == story.in_thinkific, end.transcript
    assert end.unfinished == [], end.transcript
    # What Admit says of each step depends on when it works: the story says it for one way.
    if works_each_time or story.only_at_the_end:
        told = [step.codes for step in story.steps]
        said = [codes if step.codes else None for codes, step in zip(end.codes, story.steps)]
        assert said == told, end.transcript
