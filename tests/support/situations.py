"""What Admit and the site may know of a buyer before a purchase or refund."""

from datetime import UTC, datetime, timedelta

from integrations.models import Destination
from tests.support import factories
from tests.support.place import EMAIL, Place


def nobody(place: Place) -> None:
    """Neither Admit nor the site knows the buyer."""


def look_alikes(place: Place) -> None:
    for email in ("dana@example.com.au", "xdana@example.com", "dana@example.co"):
        place.enroll(place.on_site(email))


def known(place: Place) -> None:
    place.known()


def on_site(place: Place) -> None:
    place.on_site()


def on_site_among_look_alikes(place: Place) -> None:
    look_alikes(place)
    place.on_site("Dana@Example.com")


def spelt_alike(place: Place) -> None:
    """SamCart and the site use the same capital letters."""
    place.on_site("Dana@Example.com")
    factories.CustomerFactory(email=EMAIL, email_as_sent="Dana@Example.com")


def enrolled(place: Place) -> None:
    place.enroll(place.known())


def enrolled_with_a_far_end(place: Place) -> None:
    place.enroll(place.known(), expiry_date=datetime(2099, 1, 1, tzinfo=UTC))


def on_site_enrolled(place: Place) -> None:
    place.enroll(place.on_site())


def expired(place: Place) -> None:
    place.enroll(place.known(), expired=True)


def on_site_expired(place: Place) -> None:
    place.enroll(place.on_site(), expired=True)


def ends_later(place: Place) -> None:
    place.enroll(place.known(), expiry_date=datetime.now(UTC) + timedelta(days=30))


def preview(place: Place) -> None:
    place.enroll(place.known(), free_trial=True)


def begins_later(place: Place) -> None:
    row = place.enroll(place.known())
    row.activated_at = datetime.now(UTC) + timedelta(days=7)


def removed(place: Place) -> None:
    place.world.school.remove_user(place.known())


def removed_and_back(place: Place) -> None:
    removed(place)
    place.on_site()


def removed_and_back_enrolled(place: Place) -> None:
    removed(place)
    place.enroll(place.on_site())


def on_site_one_course_alone(place: Place) -> None:
    place.enroll(place.on_site(), 0)


def on_site_one_course_expired(place: Place) -> None:
    place.enroll(place.on_site(), 0, expired=True)


def one_course_alone(place: Place) -> None:
    place.enroll(place.known(), 0)


def one_course_expired(place: Place) -> None:
    place.enroll(place.known(), 0, expired=True)


def one_course_previewed(place: Place) -> None:
    place.enroll(place.known(), 0, free_trial=True)


def all_but_one_expired(place: Place) -> None:
    user = place.known()
    place.enroll(user, 0, 1, expired=True)
    place.enroll(user, 2)


def courses_unknown(place: Place) -> None:
    Destination.objects.filter(kind="bundle").update(course_ids=[])


def courses_unknown_one_alone(place: Place) -> None:
    courses_unknown(place)
    one_course_alone(place)


def courses_unknown_enrolled(place: Place) -> None:
    courses_unknown(place)
    enrolled(place)


def a_course_has_left(place: Place) -> None:
    """The site took a course out of the bundle, and the catalog does not know that yet."""
    (bundle,) = place.world.school.bundles.values()
    bundle.courses.pop()
    place.courses.pop()


def a_course_has_left_enrolled(place: Place) -> None:
    a_course_has_left(place)
    enrolled(place)


def a_course_has_come(place: Place) -> None:
    (bundle,) = place.world.school.bundles.values()
    course = place.world.school.add_course("Course Four")
    bundle.courses.append(course)
    place.courses.append(Destination(kind="course", external_id=course.id, name=course.name))
