"""Leftover rules of products, and global ones: what pages say about them, and settling them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from config.admin.menu import allowed
from config.admin.pages.rules import edited_rule
from config.admin.pages.rules.given import change_links, given_by_rule
from config.admin.pages.rules.leftover_groups import MAX_NAMES, Group, courses_of, groups
from config.admin.pages.rules.undoing import undo_offers
from config.admin.parts.badges import brief, legible
from config.admin.parts.buttons import BACK, way_back
from config.admin.parts.page import Page, render
from config.admin.parts.params import row_ids
from integrations.finding.ordering import by_name
from integrations.models import Product
from integrations.sentences import Said, joined, say, say_count
from rules import changing, facts, leftovers
from rules.facts import Places
from rules.history import rule_changes
from rules.leftovers import Leftover
from rules.listing import listed
from rules.models import Rule

# How many products the page shows, and its address may name.
PRODUCTS_SHOWN = 50
# How long the sentence about a change may be.
CAUSE_SHOWN = 500
EDITS, DELETES = "rules.change_rule", "rules.delete_rule"
# The permissions for all that the page offers.
MAY = (EDITS, DELETES)


def of_rules(request: HttpRequest, rules: Iterable[Rule]) -> SafeString | None:
    """Return the sentence about leftover rules beside these: of their product, or global too."""
    rules = list(rules)
    products = {rule.product_id for rule in rules if rule.product_id}
    accounts = {rule.marketplace_id for rule in rules if not rule.product_id}
    return sentence(request, groups(leftovers.among(products), accounts))


def sentence(
    request: HttpRequest, found: Sequence[Group], *, number: int = 0, more: int = 0
) -> SafeString | None:
    """Return how many rules are left over, here and in `more` products, with a link; or None."""
    if not found:
        return None
    number = number or sum(len(each.leftovers) for each in found)
    text = _of_several(found, number, more) if len(found) > 1 else _of_one(found[0], number)
    if not request.user.has_perms(MAY):
        return format_html("{}", text)
    page = address(() if more else found)
    return format_html('{} <a href="{}">{}</a>', text, page, say("See, change or delete them"))


def _of_several(found: Sequence[Group], number: int, more: int) -> Said:
    products = listed([*(group.name for group in found), *[""] * more], MAX_NAMES)
    if any(group.changed for group in found):
        return say(
            "{number} rules of {products} are about access that these products do not give.",
            number=number,
            products=products,
        )
    return say(
        "{number} rules of {products} are still about access that these products no longer give.",
        number=number,
        products=products,
    )


def _of_one(group: Group, number: int) -> Said:
    if group.product is None:
        return group.text
    if group.changed:
        return say_count(
            number,
            "1 rule of {product} is about {courses}, which no purchase of it gives.",
            "{number} rules of {product} are about {courses}, which no purchase of it gives.",
            product=group.name,
            courses=courses_of(group.rules),
        )
    return say_count(
        number,
        "1 rule of {product} is still about {courses}, which no purchase of it gives anymore.",
        "{number} rules of {product} are still about {courses}, which no purchase of it gives "
        "anymore.",
        product=group.name,
        courses=courses_of(group.rules),
    )


def on_overview(
    request: HttpRequest, places: Places
) -> tuple[int, SafeString | None, SafeString | None]:
    """Return (number, the change that left them, sentence) for leftover rules that do harm."""
    left = leftovers.to_tell(places)
    number, more = len(list(left)), max(0, len(left.own) - PRODUCTS_SHOWN)
    found = groups([*left.own][:PRODUCTS_SHOWN], left.everywhere)
    return number, _cause(request, found), sentence(request, found, number=number, more=more)


def _cause(request: HttpRequest, found: Sequence[Group]) -> SafeString | None:
    """Return which changes left these rules over, with links to them; None if it is not known."""
    cause = change_links.of_leftovers(
        request, (group.entries.get(rule.pk) for group in found for rule in group.rules)
    )
    stops = joined(filter(None, (group.stops for group in found[:MAX_NAMES])))
    if not cause.links:
        return format_html("{}", stops) if stops else None
    links = format_html_join(" ", '<a class="button small" href="{}">{}</a>', cause.links)
    if cause.entry is None:
        return format_html("{} {}", stops, links)
    only = found[0].name if len(found) == 1 and found[0].product else ""
    told = joined(filter(None, [rule_changes.in_words(cause.entry, product=only), stops]))
    text = legible(told, CAUSE_SHOWN)
    hint = say("If the change was a mistake, undo it there.")
    return format_html('{} {} <span class="soft">{}</span>', text, links, hint)


def address(found: Iterable[Group] = (), *, back: str = "") -> str:
    """Return the address of the page that lists these groups, or all of them."""
    asked = [_asked(group) for group in found][:PRODUCTS_SHOWN]
    asked += [(BACK, back)] if back else []
    return f"{reverse('admin:left-over')}{'?' if asked else ''}{urlencode(asked)}"


def _asked(group: Group) -> tuple[str, str]:
    if group.product is None:
        return "account", str(group.rules[0].marketplace_id)
    return "product", str(group.product.pk)


def buttons(found: Sequence[Group]) -> dict[str, Said | str]:
    """Return the labels of the buttons that change what can be changed, and that delete all."""
    every = [each for group in found for each in group.leftovers]
    changed = [each for each in every if each.instead]
    doubled = [each for each in every if each.doubled]
    names = [*dict.fromkeys(brief(each.instead.name) for each in changed if each.instead)]
    change = say_count(
        len(changed),
        "Change 1 rule to {courses}",
        "Change {number} rules to {courses}",
        courses=listed(names, MAX_NAMES),
    )
    if changed and doubled:
        change = say_count(
            len(doubled), "{change}, delete 1", "{change}, delete {number}", change=change
        )
    delete = say_count(len(every), "Delete this rule", "Delete these {number} rules")
    return {"change": change if changed else "", "delete": delete}


def show(request: HttpRequest) -> HttpResponse:
    """Show the rules of each `product`, or of all, by GET. A POST settles those that were shown."""
    if request.method == "POST":
        return _settle(request)
    products = row_ids(request.GET.getlist("product"))[:PRODUCTS_SHOWN]
    accounts = row_ids(request.GET.getlist("account"))[:PRODUCTS_SHOWN]
    if not products and not accounts:
        left = leftovers.by_place(facts.by_place())
        products, accounts = list(left.own), list(left.everywhere)
    # Sorted by name before the cut, so that the first ones are shown.
    rows = Product.objects.filter(pk__in=products).order_by(by_name(), "pk")
    found = groups(list(rows.values_list("pk", flat=True)[:PRODUCTS_SHOWN]), accounts)
    shown = [group.product.pk for group in found if group.product]
    of_these = Q(product__in=shown) | Q(product=None, marketplace__in=accounts)
    edited = Rule.objects.filter(of_these).with_names()
    here = request.get_full_path()
    return render(
        request,
        "admin/left_over.html",
        title=say("Leftover rules"),
        **context(request, found),
        more=max(0, len(products) - PRODUCTS_SHOWN),
        **edited_rule.left_behind_context(request, edited, back=here),
        left_by_deleted=given_by_rule.of_deleted_rules(request, shown, back=here),
        undoable=undo_offers.latest_deletion(request),
        back=way_back(request),
    )


def context(request: HttpRequest, found: Sequence[Group]) -> dict[str, object]:
    """Return what the part of a page that settles these rules shows."""
    may_settle = request.user.has_perms(MAY)
    told = [_with_causes(request, group) for group in found]
    return {
        "left_over": told,
        "left_changed": sum(len(group.changed) for group in found),
        "may_settle": may_settle,
        "settle": buttons(found),
    }


def _with_causes(request: HttpRequest, group: Group) -> Group:
    """Return the group with what other people changed: one change, or one beside each rule.

    A person needs no link to what that person changed.
    """
    me = request.user.get_username()
    by_others = {
        rule.pk: entry
        for rule in group.rules
        if (entry := group.entries.get(rule.pk)) and entry.who != me
    }
    cause = change_links.of_leftovers(request, by_others.values())
    if cause.number < 2:
        return replace(group, cause=cause)
    links = {pk: change_links.of_entries(request, [each]) for pk, each in by_others.items()}
    return replace(group, cause=replace(cause, links=()), links=links)


def _settle(request: HttpRequest) -> HttpResponse:
    if not allowed(request, DELETES):
        raise PermissionDenied
    sent = {key for keys in request.POST.getlist("left") for key in keys.split(",")}
    numbers = row_ids(key.partition("-")[0] for key in sent)
    rules = list(Rule.objects.filter(pk__in=numbers))
    products = {rule.product_id for rule in rules if rule.product_id}
    found = groups(products, {rule.marketplace_id for rule in rules if not rule.product_id})
    chosen = [each for group in found for each in group.leftovers if each.key in sent]
    back = way_back(request)
    if not back:
        back = found[0].page if len(found) == 1 else reverse("admin:left-over")
    try:
        text = _done(chosen, delete="delete" in request.POST)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return HttpResponseRedirect(back)
    if text:
        messages.success(request, text)
    else:
        messages.warning(request, say("Nothing was changed: look again at what is said below."))
    return HttpResponseRedirect(back)


def _done(chosen: Sequence[Leftover], *, delete: bool) -> Said | str:
    """Settle these rules, and return what was done, in words; "" for nothing.

    Raises ValidationError.
    """
    if delete:
        deleted = [each.rule.pk for each in chosen]
        changing.delete(Rule.objects.filter(pk__in=deleted))
        return _deleted(len(deleted))
    changed, doubled = leftovers.resolve(chosen)
    names = [brief(each.instead.name) for each in chosen if each.instead]
    text = changed and say_count(
        changed,
        "1 rule uses {name} from now on.",
        "{number} rules use {name} from now on.",
        name=listed([*dict.fromkeys(names)], MAX_NAMES),
    )
    return joined(filter(None, [text, _deleted(doubled)]))


def _deleted(number: int) -> Said | str:
    return say_count(number, "1 rule deleted.", "{number} rules deleted.") if number else ""


PAGES = [Page("left-over/", "left-over", show, EDITS)]
