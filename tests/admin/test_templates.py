"""Templates stay readable: none of their lines is wider than an editor."""

from pathlib import Path

from django.conf import settings

TEMPLATES = Path(settings.BASE_DIR) / "templates"
WIDEST = 120


def test_no_line_of_a_template_is_too_long_to_be_read():
    too_long = [
        f"{path.relative_to(TEMPLATES)}:{number} has {len(line)} characters"
        for path in sorted(TEMPLATES.rglob("*.html"))
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if len(line) > WIDEST
    ]
    assert too_long == [], f"Break these lines, they may have at most {WIDEST} characters"
