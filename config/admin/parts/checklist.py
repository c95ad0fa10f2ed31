"""The overview's checklist: what is left to set up, and where that is done."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.db.models import Case, Q, Value, When
from django.urls import reverse

from config.admin.parts import checklist_pairs
from config.admin.parts.badges import brief
from config.admin.parts.buttons import address
from config.admin.parts.checklist_task import RULES, SITES, Task
from events.models import Delivery
from events.reports import dashboard
from integrations import app_registry
from integrations.models import Destination, Integration, Marketplace
from integrations.sentences import say, separated
from integrations.thinkific.explain import REJECTED_NOW, trouble
from rules import actions, facts


@dataclass(frozen=True, slots=True)
class Path:
    """What is left to set up, one step at a time: `now`, and after that `later`."""

    done: Sequence[Task]
    total: int
    now: Task
    later: Sequence[Task]


def path(tasks: Sequence[Task]) -> Path | None:
    """Return the path through these tasks, from the first that is not done; None if all are."""
    left = [task for task in tasks if not task.done]
    if not left:
        return None
    now, *later = left
    return Path([task for task in tasks if task.done], len(tasks), now, later)


def tasks(
    sites: list[Integration], accounts: list[Marketplace], places: facts.Places
) -> list[Task]:
    """Return the lines of the checklist, in order; `places` are all rules."""
    schools = [site for site in sites if app_registry.of(site).has_catalog]
    first = (
        reverse("admin:integrations_integration_change", args=[schools[0].pk])
        if schools
        else f"{reverse('admin:integrations_integration_add')}?app={app_registry.THINKIFIC.key}"
    )
    samcart = reverse("admin:samcart")
    connected = any(site.connection == Integration.Connection.CONNECTED for site in schools)
    return [
        _connect(schools, first, connected=connected),
        _welcome_emails(schools, first),
        Task(
            say("Give SamCart the address of Admit, and let it send something"),
            Delivery.objects.exists(),
            samcart,
            say("See the address and where to enter it"),
            permission="integrations.see_address_marketplace",
        ),
        Task(
            say("Make a rule that enrolls buyers"),
            any(rule.enabled and rule.spec.gives_access for rule in places),
            reverse("admin:new-rule"),
            say("New rule"),
            permission=RULES,
        ),
        private(schools),
        checklist_pairs.pairs(places),
        _test_order(),
        _own_rules(accounts, f"{samcart}#own-rules"),
    ]


def _connect(schools: list[Integration], url: str, *, connected: bool) -> Task:
    """Return the task to connect a school, or to enter a new key of a connected one."""
    rejected = [site for site in schools if not connected and _only_key_is_rejected(site)]
    if rejected:
        return _new_key(rejected[0])
    label = say("Connect Thinkific")
    return Task(label, connected, url, label, permission=SITES)


def _test_order() -> Task:
    return Task(
        say("Place a test order, and check that it reaches Thinkific"),
        dashboard.an_order_got_through(),
        reverse("admin:events_eventlog_changelist"),
        say("Watch the log"),
        how=say(
            "Place a Sandbox order in SamCart with an e-mail address that is not your own in "
            "Thinkific. It enrolls a real student."
        ),
    )


def _only_key_is_rejected(school: Integration) -> bool:
    """Return whether the school was connected once, and Thinkific rejects its key now."""
    return school.connection == Integration.Connection.REFUSED and not school.never_connected()


def _new_key(school: Integration) -> Task:
    page = reverse("admin:integrations_integration_change", args=[school.pk])
    if school.denied:
        text = say("Get API access for {name}", name=brief(school))
        return Task(text, False, page, say("See what to do"), how=trouble(school), permission=SITES)
    text = say("Enter another key of {name}", name=brief(school))
    enter, how = say("Enter the key"), say(REJECTED_NOW)
    return Task(text, False, f"{page}#id_secret", enter, how=how, permission=SITES)


def _welcome_emails(schools: list[Integration], url: str) -> Task:
    left = [site for site in schools if not site.welcome_emails_on]
    if which := _which(left, schools):
        how = say(
            "In Thinkific open Support Your Students > Notifications, and turn on the Welcome "
            "Emails of {name}: they tell a new student how to sign in.",
            name=which,
        )
        ticked = say("The Welcome Emails of {name} are on", name=which)
    else:
        how = say(
            "In Thinkific open Support Your Students > Notifications, and turn on the Welcome "
            "Emails: they tell a new student how to sign in."
        )
        ticked = say("The Welcome Emails are on")
    return Task(
        say("Turn on the Welcome Emails in Thinkific"),
        bool(schools) and not left,
        url,
        say("See where"),
        how=how,
        ticked=ticked,
        tick=address(left[0], "note_welcome_emails") if left else "",
        permission=SITES,
    )


def _own_rules(accounts: list[Marketplace], url: str) -> Task:
    left = [account for account in accounts if not account.own_rules_off]
    which = _which(left, accounts)
    return Task(
        say("Turn off SamCart's own Thinkific rules"),
        bool(accounts) and not left,
        url,
        say("See which"),
        how=say(
            "If Thinkific is connected inside SamCart too, delete SamCart's rules for it: under "
            "Integrations of each product, and under Global Rules."
        ),
        ticked=say("SamCart's own Thinkific rules of {name} are off", name=which)
        if which
        else say("SamCart's own Thinkific rules are off"),
        tick=reverse("admin:samcart-own-rules", args=[left[0].pk]) if left else "",
        permission=SITES,
    )


def _which(left: Sequence[object], every: Sequence[object]) -> str:
    """Return the name of the next one if there are several, else ""."""
    return brief(left[0]) if len(every) > 1 and left else ""


def private(schools: Sequence[Integration]) -> Task:
    """Return the task to make the courses that rules give Private. Names those that are not.

    It is not done before a rule gives something, as until then nobody knows which courses are sold;
    unless a person said of each school that its courses need not be Private.
    """
    where = f"{reverse('admin:help')}#cancel"
    # Whether an unlisted course is Private now is unknown.
    is_public = Q(Destination.STILL_THERE, private=False)
    sold = Destination.objects.filter(_sold()).annotate(
        public=Case(When(is_public, Value(True)), default=Value(False)),
    )
    found = sold.order_by("name").values_list(
        "name", "integration", "public", "integration__private_not_wanted"
    )
    courses = list(found.distinct())
    rows = [(name, site) for name, site, public, declined in courses if public and not declined]
    all_declined = bool(schools) and all(each.private_not_wanted for each in schools)
    if not rows and (all_declined or any(public for _, _, public, _ in courses)):
        return Task(say("The courses you sell need not be Private"), True, where, "")
    if not rows and courses:
        return Task(say("The courses you sell are Private"), True, where, "")
    text = say(
        "Make the courses you sell Private, so that customers cannot cancel inside Thinkific"
    )
    see = say("See how to make them Private")
    task = Task(text, False, where, see, steps="admin/make_private.html", permission=SITES)
    if not rows:
        return task
    names = [brief(name) for name in dict.fromkeys(name for name, _ in rows)]
    how = say(
        "Not Private yet: {courses}. After you change that in Thinkific, press Refresh so that "
        "Admit sees it.",
        courses=separated(names),
    )
    site = Integration(pk=rows[0][1])
    refresh, decline = address(site, "refresh"), address(site, "need_not_be_private")
    return replace(task, how=how, refresh=refresh, decline=decline)


def _sold() -> Q:
    """Return a filter for the courses that rules give, including those in bundles."""
    giving = actions.giving_access()
    given = Destination.objects.filter(rules__enabled=True, rules__action__in=giving)
    wanted = Q(pk__in=given.values("pk"))
    bundles = given.filter(kind=Destination.Kind.BUNDLE, gone_at=None).distinct()
    for site, courses in bundles.values_list("integration", "course_ids"):
        wanted |= Q(integration=site, external_id__in=courses)
    return wanted & Q(kind=Destination.Kind.COURSE)
