"""New rule: one page, on which each choice opens the next part and extends the sentence.

The form is posted. "Go on" comes back to the page by GET with the choices in the address; the
script asks for the same page and takes its parts. Only [Add] changes anything.
"""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.views.decorators.http import require_POST

from config.admin.menu import allowed
from config.admin.pages.integrations.integration_messages import say_refreshed
from config.admin.pages.rules import earlier_offer, left_over, rule_parts
from config.admin.pages.rules.given import given_by_rule
from config.admin.pages.rules.rule_draft import MAX_RULES, Draft
from config.admin.pages.rules.undoing import undo_offers
from config.admin.parts import checklist
from config.admin.parts.buttons import BACK, go_back
from config.admin.parts.checklist_task import Task
from config.admin.parts.page import Page, render
from config.admin.parts.params import row_ids, row_in
from integrations import app_registry, catalog_refresh
from integrations.audit import Act
from integrations.finding.ordering import by_name
from integrations.models import Integration, Marketplace, Product
from integrations.sentences import Said, joined, say, say_count
from integrations.thinkific import catalog
from rules import changing, facts, pairing
from rules.actions import ACTIONS
from rules.models import Rule
from rules.triggers import Trigger

ADDRESS = "new-rule/"
# Including the rules that end access and give it back.
MOST_RULES = MAX_RULES * (1 + len(pairing.ENDS) + len(pairing.GIVES_BACK))


def show(request: HttpRequest) -> HttpResponse:
    """Show the page by GET. A POST adds the rules."""
    if request.method == "POST":
        return _back(request.POST) if rule_parts.is_choice(request.POST) else _add(request)
    given = _with_namesake(_with_usual_action(_begun(request.GET)))
    draft = Draft.read(given)
    if draft.marketplace is None or not draft.integrations:
        return render(request, "admin/new_rule/before.html", title=say("New rule"), draft=draft)
    return render(
        request,
        "admin/new_rule/page.html",
        title=say("New global rule") if draft.everywhere else say("New rule"),
        **rule_parts.context(request, draft, given),
    )


def _begun(given: QueryDict) -> QueryDict:
    """Return the first choices: if there is only one product, it is chosen."""
    if any(name in given for name in ("product", "scope", "trigger")):
        return given
    some = list(Product.objects.values_list("pk", flat=True)[:2])
    if len(some) == 1:
        given = given.copy()
        given["product"] = str(some[0])
    return given


def _with_usual_action(given: QueryDict) -> QueryDict:
    """Return the choices with the opposite action if the trigger was changed, and asks for that.

    `shown_for` is the trigger with which the person saw the action.
    """
    action, trigger = ACTIONS.get(given.get("action", "")), given.get("trigger", "")
    if action is None or trigger not in Trigger or given.get("shown_for", trigger) == trigger:
        return given
    if pairing.is_usual(action, Trigger(trigger)):
        return given
    given = given.copy()
    given["action"] = action.opposite
    return given


def _with_namesake(given: QueryDict) -> QueryDict:
    """Return the choices with the course that is called as the product, if there is just one.

    Only where a link named the product and the trigger, as beside a purchase that gave nothing, and
    nothing else is chosen yet. A rule that exists already is not proposed.
    """
    if {*given} - {BACK} != {"product", "trigger"}:
        return given
    draft = Draft.read(given)
    gives = draft.action is not None and draft.action.gives_access and draft.needs_destination
    if len(draft.products) != 1 or draft.is_other or not gives:
        return given
    named = draft.offered().filter(name__iexact=draft.products[0].name)
    draft.destinations = list(named[:2])
    fresh, _ = rule_parts.told_apart(draft.rules())
    if len(draft.destinations) != 1 or not fresh:
        return given
    given = given.copy()
    given["destination"] = str(draft.destinations[0].pk)
    return given


def _back(given: Any) -> HttpResponse:
    """Redirect to the page, with the choices in its address."""
    return HttpResponseRedirect(f"{reverse('admin:new-rule')}?{rule_parts.choices(given)}")


def _fault(draft: Draft) -> str:
    """Return why nothing can be added, "" if it can."""
    if draft.is_other:
        return say("Something was missing or has gone meanwhile. Choose it again.")
    if draft.by_number is not None and draft.by_number.found is not None:
        return joined([say("Nothing was added yet."), *draft.by_number.errors["number"]])
    if draft.is_too_large:
        return say("Nothing was added: at most {most} rules are added at once.", most=MAX_RULES)
    if not draft.is_complete:
        return say("Nothing was added: something is not chosen yet, or was not entered right.")
    return ""


def _add(request: HttpRequest) -> HttpResponse:
    draft = Draft.read(request.POST)
    if fault := _fault(draft):
        messages.error(request, fault)
        return _back(request.POST)
    if draft.entered is not None:
        catalog.enter(draft.entered)
    rules = draft.rules()
    fresh, there = rule_parts.told_apart(rules)
    ticked = request.POST.getlist("pair")
    fresh += [rule for rule in pairing.companions(rules) if rule.trigger in ticked]
    if not fresh:
        nothing = say_count(
            len(there),
            "Nothing was added: this rule exists already.",
            "Nothing was added: these {number} rules exist already.",
        )
        messages.warning(request, nothing)
    made = _save(request, fresh)
    if made and draft.unusual and request.POST.get("shown_for") != draft.trigger:
        messages.warning(request, draft.unusual)  # the page has not said it yet
    if draft.left_out:
        messages.warning(request, _left_out(draft))
    if not made:
        return _back(request.POST)
    query = urlencode([("rule", rule.pk) for rule in made])
    return HttpResponseRedirect(f"{reverse('admin:new-rule-added')}?{query}")


def _left_out(draft: Draft) -> Said:
    return say(
        "Rules were added for at most {most} products, so {number} of those chosen were left out. "
        "Add theirs now.",
        most=draft.most,
        number=draft.left_out,
    )


def _save(request: HttpRequest, fresh: list[Rule]) -> list[Rule]:
    """Save the rules and return those that could be; each other one gets a message."""
    made = []
    for rule in fresh:
        try:
            changing.add(rule)
        except ValidationError as error:
            why = " ".join(error.messages)
            text = say("Not added: {rule} {why}", rule=rule.in_words(), why=why)
            messages.warning(request, text)
        else:
            made.append(rule)
    return made


def added(request: HttpRequest) -> HttpResponse:
    """Show what comes next after adding rules: earlier buyers, a simulation, or the next rule."""
    numbers = row_ids(request.GET.getlist("rule"))[:MOST_RULES]
    made = list(Rule.objects.filter(pk__in=numbers).with_names().order_by("pk"))
    products = {rule.product_id for rule in made if rule.product_id and rule.gives_on_purchase}
    left_by_deleted, moved = given_by_rule.told_of_deleted(request, products)
    back = request.get_full_path()
    told = earlier_offer.of_rules(request, made, back=back, moved=moved)
    by_product: dict[int | None, list[dict[str, Any]]] = {}
    for each in told:
        by_product.setdefault(each["rule"].product_id, []).append(each)
    shown = [_together(number, of_it, back) for number, of_it in by_product.items()]
    may_run = allowed(request, "events.rerun_eventlog")
    return render(
        request,
        "admin/new_rule/added.html",
        title=say_count(len(made), "Rule added", "{number} rules added"),
        products=shown,
        # Buyers come before the setup: the first link to some is the primary one.
        first=next(
            (offer for _, _, offers, *_ in shown for offer in offers if may_run and offer["told"]),
            None,
        ),
        left_by_deleted=left_by_deleted,
        left_over=left_over.of_rules(request, made),
        next_step=_next_step(),
        undo=undo_offers.latest_address(request, Act.RULE_ADDED, made, reverse("admin:new-rule")),
    )


def _next_step() -> Task | None:
    """Return what is to be set up next, None if nothing is."""
    sites = list(Integration.objects.order_by(by_name()))
    accounts = list(Marketplace.objects.order_by(by_name()))
    path = checklist.path(checklist.tasks(sites, accounts, facts.by_place()))
    return path.now if path else None


def _together(product: int | None, told: list[dict[str, Any]], back: str) -> tuple[Any, ...]:
    """Return a product's number, its rules, what is said of their buyers, and how many rules run.

    The rules that give access have one link together: who takes that of one rule only would leave
    its buyers without the course of another. If any rule is off, none is counted.
    """
    runs = len(told) if all(each["rule"].enabled for each in told) else 0
    some = [each for each in told if each["told"] or each["kept"]]
    giving = [each for each in some if each["told"] and each["rule"].gives_on_purchase]
    offers = [each for each in some if each not in giving]
    if giving:
        offers.insert(
            0, giving[0] if len(giving) == 1 else earlier_offer.together(giving, back=back)
        )
    return product, [each["rule"] for each in told], offers, runs


@require_POST
def refresh(request: HttpRequest) -> HttpResponse:
    """Read the catalog again, and go back to the page."""
    sites = Integration.objects.filter(app__in=app_registry.with_catalog())
    site = row_in(sites, request.POST.get("integration"))
    if site is None:
        raise PermissionDenied
    say_refreshed(request, site, catalog_refresh.refresh(site))
    return go_back(request, reverse("admin:new-rule"))


PAGES = [
    Page(ADDRESS, "new-rule", show, "rules.add_rule"),
    Page(f"{ADDRESS}added/", "new-rule-added", added, "rules.add_rule"),
    Page(f"{ADDRESS}refresh/", "new-rule-refresh", refresh, "integrations.change_integration"),
]
