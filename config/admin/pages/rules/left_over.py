"""Rules that are left over: what they are about, for one or many products, and their end."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.admin.menu import allowed
from config.admin.pages.rules import edited_rule, given_by_rule, undo_offers
from config.admin.parts.badges import brief
from config.admin.parts.buttons import BACK, page_of, way_back
from config.admin.parts.page import Page, render
from config.admin.parts.params import row_ids
from integrations.models import Product
from integrations.ordering import by_name
from integrations.sentences import Said, joined, say, say_count
from rules import changing, facts, leftovers
from rules.facts import Places
from rules.leftovers import Leftover
from rules.listing import listed
from rules.models import Rule
from rules.triggers import Trigger

NAMED = 3
# So many products stand on the page, and in what the address asks for.
SHOWN = 50
EDITS, DELETES = "rules.change_rule", "rules.delete_rule"
# Who may do all that the page offers.
MAY = (EDITS, DELETES)


@dataclass(frozen=True, slots=True)
class Group:
    """Those of one product."""

    product: Product
    leftovers: list[Leftover]

    @property
    def rules(self) -> list[Rule]:
        return [each.rule for each in self.leftovers]

    @property
    def text(self) -> Said:
        return in_words(self.rules)

    @property
    def harm(self) -> Said | str:
        """What they do to later buyers, "" where that is nothing."""
        giving = [rule for rule in self.rules if rule.spec.gives_access]
        if not giving:
            return ""
        labels = dict.fromkeys(Trigger(rule.trigger).label for rule in giving)
        return say(
            "On {triggers} a later buyer still gets {courses}.",
            triggers=listed([*labels]),
            courses=_courses(giving),
        )

    @property
    def keys(self) -> str:
        """What a form sends of them."""
        return ",".join(each.key for each in self.leftovers)


def in_words(rules: Sequence[Rule]) -> Said:
    """ "4 rules here are still about Ink, which no purchase of this product gives any more." """
    return say_count(
        len(rules),
        "1 rule here is still about {courses}, which no purchase of this product gives any more.",
        "{number} rules here are still about {courses}, which no purchase of this product gives "
        "any more.",
        courses=_courses(rules),
    )


def groups(products: Collection[int]) -> list[Group]:
    """Those of these products, by name; two queries."""
    if not products:
        return []
    own: dict[int, list[Rule]] = defaultdict(list)
    everywhere: dict[int, list[Rule]] = defaultdict(list)
    rules = Rule.objects.filter(Q(product__in=products) | Q(product=None))
    for rule in rules.with_names().order_by("pk"):
        (own[rule.product_id] if rule.product_id else everywhere[rule.marketplace_id]).append(rule)
    rows = Product.objects.filter(pk__in=own).order_by(by_name(), "pk")
    found = [
        Group(row, leftovers.judged(row, own[row.pk] + everywhere[row.marketplace_id]))
        for row in rows
    ]
    return [group for group in found if group.leftovers]


def sentence(request: HttpRequest, products: Collection[int]) -> SafeString | None:
    """How many rules of these products are left over, with the way to them; None for none."""
    found = groups(products)
    if not found:
        return None
    number = sum(len(group.leftovers) for group in found)
    if len(found) == 1:
        text = say_count(
            number,
            "1 rule of {product} is still about {courses}, which no purchase of it gives any more.",
            "{number} rules of {product} are still about {courses}, which no purchase of it gives "
            "any more.",
            product=brief(found[0].product.name),
            courses=_courses(found[0].rules),
        )
    else:
        text = say(
            "{number} rules of {products} are still about what these products do not give any "
            "more.",
            number=number,
            products=listed([brief(group.product.name) for group in found], NAMED),
        )
    if not request.user.has_perms(MAY):
        return format_html("{}", text)
    page = address(group.product.pk for group in found)
    return format_html('{} <a href="{}">{}</a>', text, page, say("See, change or delete them"))


def of_products_that_give(places: Places) -> list[int]:
    """The products of which a rule that is left over gives a course to later buyers. No query."""
    return [
        number for number, left in leftovers.by_product(places).items() if leftovers.give_back(left)
    ]


def address(products: Iterable[int] = (), *, back: str = "") -> str:
    """Of the page, for these products or for all."""
    asked = [("product", str(product)) for product in products][:SHOWN]
    asked += [(BACK, back)] if back else []
    return f"{reverse('admin:left-over')}{'?' if asked else ''}{urlencode(asked)}"


def buttons(found: Sequence[Group]) -> dict[str, Said | str]:
    """What the buttons say that change what can be changed, and that delete all."""
    every = [each for group in found for each in group.leftovers]
    changed = [each for each in every if each.instead]
    doubled = [each for each in every if each.doubled]
    names = [*dict.fromkeys(brief(each.instead.name) for each in changed if each.instead)]
    change = say_count(
        len(changed),
        "Change 1 rule to {courses}",
        "Change {number} rules to {courses}",
        courses=listed(names, NAMED),
    )
    if changed and doubled:
        change = say_count(
            len(doubled), "{change}, delete 1", "{change}, delete {number}", change=change
        )
    delete = say_count(len(every), "Delete this rule", "Delete these {number} rules")
    return {"change": change if changed else "", "delete": delete}


def show(request: HttpRequest) -> HttpResponse:
    """The rules of each `product`, or of all, by GET; by POST those that were shown are settled."""
    if request.method == "POST":
        return _settle(request)
    asked = row_ids(request.GET.getlist("product"))[:SHOWN]
    numbers = asked or list(leftovers.by_product(facts.by_place()))
    # By name, because only so many are shown.
    rows = Product.objects.filter(pk__in=numbers).order_by(by_name(), "pk")
    found = groups(list(rows.values_list("pk", flat=True)[:SHOWN]))
    shown = [group.product.pk for group in found]
    edited = Rule.objects.filter(product__in=shown).with_names()
    may_move = allowed(request, given_by_rule.PERMISSION)
    return render(
        request,
        "admin/left_over.html",
        title=say("Rules left over"),
        **context(request, found),
        more=max(0, len(numbers) - SHOWN),
        kept_by_buyers=edited_rule.kept_by_buyers(edited) if may_move else [],
        kept_by_deleted=given_by_rule.of_deleted_rules(request, shown),
        undoable=undo_offers.step(request),
        back=way_back(request),
    )


def context(request: HttpRequest, found: Sequence[Group]) -> dict[str, object]:
    """What the part of a page shows that these are settled by."""
    may = request.user.has_perms(MAY)
    return {"left_over": found, "may_settle": may, "settle": buttons(found)}


def _settle(request: HttpRequest) -> HttpResponse:
    if not allowed(request, DELETES):
        raise PermissionDenied
    sent = {key for keys in request.POST.getlist("left") for key in keys.split(",")}
    numbers = row_ids(key.partition("-")[0] for key in sent)
    rules = Rule.objects.filter(pk__in=numbers, product__isnull=False)
    found = groups(set(rules.values_list("product", flat=True)))
    chosen = [each for group in found for each in group.leftovers if each.key in sent]
    back = way_back(request)
    if not back:
        back = page_of(found[0].product) if len(found) == 1 else reverse("admin:left-over")
    try:
        text = _done(chosen, delete="delete" in request.POST)
    except ValidationError as error:
        text = " ".join(error.messages)
    if text:
        messages.success(request, text)
    else:
        nothing = say("Nothing was changed: look again at what is said below.")
        messages.warning(request, nothing)
    return HttpResponseRedirect(back)


def _done(chosen: Sequence[Leftover], *, delete: bool) -> Said | str:
    """What was done with these, in words; "" for nothing. Raises ValidationError."""
    if delete:
        deleted = [each.rule.pk for each in chosen]
        changing.delete(Rule.objects.filter(pk__in=deleted))
        return _deleted(len(deleted))
    changed, doubled = leftovers.settle(chosen)
    names = [brief(each.instead.name) for each in chosen if each.instead]
    text = changed and say_count(
        changed,
        "1 rule uses {name} from now on.",
        "{number} rules use {name} from now on.",
        name=listed([*dict.fromkeys(names)], NAMED),
    )
    return joined(filter(None, [text, _deleted(doubled)]))


def _deleted(number: int) -> Said | str:
    return say_count(number, "1 rule deleted.", "{number} rules deleted.") if number else ""


def _courses(rules: Iterable[Rule]) -> Said:
    return listed([*dict.fromkeys(brief(rule.destination) for rule in rules)], NAMED)


PAGES = [Page("left-over/", "left-over", show, EDITS)]
