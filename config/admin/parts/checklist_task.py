"""A line of the Overview's checklist."""

from dataclasses import dataclass

# Who may set up what.
SITES, RULES = "integrations.change_integration", "rules.add_rule"


@dataclass(frozen=True, slots=True)
class Task:
    """A line of the checklist. `url` is the address where it is done.

    `how` says more while it is the next one, with `button` below. What Admit cannot see is ticked
    by a person: `ticked` is the label of that, and `tick` the address it is posted to. If Admit
    must read the site again to see it, that is posted to `refresh`. What a shop can do without is
    declined by posting to `decline`. `steps` is a template with the steps, which are shown below
    `button` in place. Both need the `permission`, if there is one.
    """

    text: str
    done: bool
    url: str
    button: str
    how: str = ""
    ticked: str = ""
    tick: str = ""
    refresh: str = ""
    decline: str = ""
    permission: str = ""
    steps: str = ""
