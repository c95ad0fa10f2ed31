"""An ending whose purchase had ended before says so if another purchase keeps the course open."""

from events.models import RuleRun
from tests.support.world import World

DANA = "dana@example.com"
GIVES, ENDS = "create_course_enrollment", "expire_course_enrollment"


def test_a_skipped_ending_says_what_keeps_the_course_open(world: World):
    course = world.course("Ink")
    bundle = world.bundle(course, world.course("Oil"))
    world.rule("product_purchased", "create_bundle_enrollment", bundle, product="77")
    world.rule("subscription_canceled", "expire_bundle_enrollment", bundle, product="77")
    world.rule("product_purchased", GIVES, course)
    world.rule("subscription_canceled", ENDS, course)
    for order, product in ((1106, 77), (1701, 78)):
        world.sell("10_product", order__id=order, product__id=product, customer__email=DANA)
    world.settle()
    sub = world.sell("30_subscription", order__id=1106, product__id=77, customer__email=DANA)
    assert sub.order_id == "1106"
    world.settle()
    skipped = RuleRun.objects.get(status="skipped")
    assert "It stays open through order 1701." in str(skipped.message)
    assert world.access(DANA, course)
