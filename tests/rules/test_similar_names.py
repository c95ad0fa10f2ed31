"""The course suggested for a product is one whose name shares most of its words."""

import pytest

from rules.similar_names import SimilarNames

COURSES = [
    "Watercolor for Beginners",
    "Watercolors: Advanced Glazing",
    "Urban Sketching",
    "Drawing Foundations",
    "Drawing Foundations, Part 2",
    "Perspective",
    "Linocut at Home",
]


@pytest.mark.parametrize(
    ("product", "suggested"),
    [
        ("Watercolor for Beginners", ["Watercolor for Beginners"]),
        ("WATERCOLOR beginner (lifetime access)", ["Watercolor for Beginners"]),
        ("Urban Sketching Club", ["Urban Sketching"]),
        ("Drawing Foundations", ["Drawing Foundations"]),
        ("Drawing Foundations Bundle", ["Drawing Foundations"]),
        ("Advanced Watercolor Glazing", ["Watercolors: Advanced Glazing"]),
        ("The Art of Perspective", ["Perspective"]),
        ("Linocut Kit", ["Linocut at Home"]),
        ("Gift Card", []),
        ("For the", []),
        ("", []),
        ("1048001", []),
    ],
)
def test_the_course_that_shares_most_words_is_suggested(product, suggested):
    assert SimilarNames({name: name for name in COURSES}).most_like(product) == suggested


def test_a_course_and_a_bundle_of_the_same_name_are_both_suggested_and_many_are_not():
    names = {"course": "Drawing", "bundle": "Drawing"}
    assert SimilarNames(names).most_like("Drawing") == ["bundle", "course"]
    assert SimilarNames(names | {"other": "Drawing"}).most_like("Drawing") == []
