"""A stand-in school: its catalog, signup fields, users and enrollments.

Everything is in memory. A user has one enrollment per course, which bundles share. Users are
indexed by e-mail, enrollments by user and course.
"""

import itertools
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from integrations.thinkific.sandbox.faults import Switches
from integrations.thinkific.sandbox.records import (
    Bundle,
    Course,
    Enrollment,
    Field,
    Postponed,
    Product,
    User,
    now,
    renew,
)


class School:
    """One site: its keys, catalog and people. Thread-safe.

    `switches` are the sandbox's until they are replaced by the school's own `Switches`.
    """

    def __init__(
        self,
        subdomain: str,
        *,
        key: str | None = None,
        token: str | None = None,
        switches: Switches | None = None,
    ) -> None:
        self.subdomain = subdomain
        self.key = key or secrets.token_hex(16)
        self.token = token
        self.switches = switches or Switches()
        self.lock = threading.RLock()
        self.let_through: deque[float] = deque()
        self.products: dict[int, Product] = {}
        self.courses: dict[int, Course] = {}
        self.bundles: dict[int, Bundle] = {}
        self.fields: dict[int, Field] = {}
        self.users_by_id: dict[int, User] = {}
        self.rows_by_id: dict[int, Enrollment] = {}
        self.rows_by_user: dict[int, dict[int, Enrollment]] = {}
        self.postponed: list[Postponed] = []
        self.members: set[tuple[int, int]] = set()  # (bundle, user) enrolled in a bundle
        self._by_email: dict[str, User] = {}
        # Far apart, so that an ID mistaken for another kind does not find anything by chance.
        starts = {"course": 5001, "bundle": 8001, "other": 9001, "field": 301}
        starts |= {"product": 700001, "user": 1000001, "enrollment": 2000001}
        self._ids = {name: itertools.count(start) for name, start in starts.items()}

    # Catalog

    def add_course(
        self,
        name: str,
        *,
        course_id: int | None = None,
        private: bool = False,
        hidden: bool = False,
        status: str = "published",
        new_builder: bool = False,
    ) -> Course:
        """Add a course. Raises ValueError if `course_id` is taken."""
        with self.lock:
            number = self._number("course", self.courses, course_id)
            course = Course(
                number, self._product_id(), name, "Course", status, private, hidden, new_builder
            )
            self.courses[number] = self.products[course.product_id] = course
            return course

    def add_bundle(
        self,
        name: str,
        courses: Iterable[Course],
        *,
        bundle_id: int | None = None,
        private: bool = False,
        hidden: bool = False,
        status: str = "published",
        new_builder: bool = False,
    ) -> Bundle:
        """Add a bundle of courses. Raises ValueError if another bundle has `bundle_id`."""
        with self.lock:
            number = self._number("bundle", self.bundles, bundle_id)
            bundle = Bundle(
                number, self._product_id(), name, "Bundle", status, private, hidden, new_builder
            )
            bundle.courses = list(courses)
            self.bundles[number] = self.products[bundle.product_id] = bundle
            return bundle

    def add_product(self, name: str, *, productable_type: str) -> Product:
        """Add a product that is neither course nor bundle, as real catalogs have them."""
        with self.lock:
            product = Product(next(self._ids["other"]), self._product_id(), name, productable_type)
            self.products[product.product_id] = product
            return product

    def lists(self, product: Product) -> bool:
        """Return whether the lists of products and courses include it."""
        return not (self.switches.new_builder or product.new_builder)

    def add_field(
        self,
        label: str,
        *,
        field_type: str = "text",
        required: bool = False,
        options: Iterable[str] = (),
    ) -> Field:
        """Add a signup field."""
        with self.lock:
            added = Field(next(self._ids["field"]), label, field_type, required, tuple(options))
            self.fields[added.id] = added
            return added

    def remove_course(self, course: Course) -> None:
        """Remove a course from the catalog and its bundles, with its enrollments."""
        with self.lock:
            del self.courses[course.id], self.products[course.product_id]
            for bundle in self.bundles.values():
                bundle.courses = [each for each in bundle.courses if each is not course]
            for rows in self.rows_by_user.values():
                if row := rows.pop(course.id, None):
                    del self.rows_by_id[row.id]

    def remove_bundle(self, bundle: Bundle) -> None:
        """Remove a bundle. Its courses and their enrollments stay."""
        with self.lock:
            del self.bundles[bundle.id], self.products[bundle.product_id]

    # People

    def add_user(
        self,
        email: str,
        *,
        first_name: str = "Dana",
        last_name: str = "Reyes",
        roles: Iterable[str] = (),
        custom_fields: Mapping[str, str] | None = None,
    ) -> User:
        """Add a user. Raises ValueError if the e-mail is taken, ignoring case."""
        with self.lock:
            if self.user(email):
                raise ValueError(f"{email} is a user of {self.subdomain} already.")
            user = User(
                next(self._ids["user"]),
                email,
                first_name,
                last_name,
                list(roles),
                dict(custom_fields or {}),
            )
            self.users_by_id[user.id] = self._by_email[email.strip().lower()] = user
            return user

    def remove_user(self, user: User) -> None:
        """Remove a user with all enrollments."""
        with self.lock:
            del self.users_by_id[user.id], self._by_email[user.email.strip().lower()]
            for row in self.rows_by_user.pop(user.id, {}).values():
                del self.rows_by_id[row.id]

    def change_email(self, user: User, email: str) -> None:
        """Give a user another e-mail. The caller has checked that it is not taken."""
        with self.lock:
            del self._by_email[user.email.strip().lower()]
            user.email = email
            self._by_email[email.strip().lower()] = user

    def user(self, email: str) -> User | None:
        """Return the user with this e-mail, ignoring case, or None."""
        return self._by_email.get(email.strip().lower())

    @property
    def users(self) -> list[User]:
        with self.lock:
            return list(self.users_by_id.values())

    # Enrollments

    def enroll(
        self,
        user: User,
        course: Course,
        *,
        expired: bool = False,
        free_trial: bool = False,
        expiry_date: datetime | None = None,
    ) -> Enrollment:
        """Enroll a user in a course, or change the existing enrollment."""
        with self.lock:
            row = self.row(user.id, course.id) or self.new_row(user, course)
            row.activated_at = None if free_trial else now()
            row.expiry_date = now() - timedelta(days=1) if expired else expiry_date
            row.updated_at = now()
            return row

    def new_row(self, user: User, course: Course) -> Enrollment:
        """Add an enrollment, as a free preview, for a user who has none in this course."""
        row = Enrollment(next(self._ids["enrollment"]), user, course)
        self.rows_by_id[row.id] = row
        self.rows_by_user.setdefault(user.id, {})[course.id] = row
        return row

    def row(self, user_id: int, course_id: int) -> Enrollment | None:
        """Return the enrollment of a user in a course, or None."""
        return self.rows_by_user.get(user_id, {}).get(course_id)

    def enrollment(self, email: str, course_id: int) -> Enrollment | None:
        """Return the enrollment, in a course, of the user with this e-mail, ignoring case."""
        with self.lock:
            self.settle()
            user = self.user(email)
            return self.row(user.id, course_id) if user else None

    @property
    def enrollments(self) -> list[Enrollment]:
        with self.lock:
            self.settle()
            return list(self.rows_by_id.values())

    def settle(self) -> None:
        """Carry out the postponed bundle enrollments that are due."""
        if not self.postponed:
            return
        due = [each for each in self.postponed if each.due <= time.monotonic()]
        for each in due:
            self.postponed.remove(each)
            if each.user.id in self.users_by_id:
                self.enroll_in_bundle(each.user, each.bundle, each.dates)

    def enroll_in_bundle(
        self, user: User, bundle: Bundle, dates: Mapping[str, datetime | None]
    ) -> None:
        """Enroll a user in each course.

        Existing enrollments are renewed only if the switch `repeat_post` is "created".
        """
        self.members.add((bundle.id, user.id))
        for course in bundle.courses:
            row = self.row(user.id, course.id)
            if row is None or self.switches.repeat_post == "created":
                renew(row or self.new_row(user, course), dates)

    # Access

    def change_key(self, key: str) -> None:
        """Replace the API key. The old one is answered 401 from now on."""
        self.key = key

    def _product_id(self) -> int:
        return next(self._ids["product"])

    def _number(self, kind: str, taken: Mapping[int, Product], wanted: int | None) -> int:
        if wanted is None:
            return next(each for each in self._ids[kind] if each not in taken)
        if wanted in taken:
            raise ValueError(f"{self.subdomain} has a {kind} {wanted} already.")
        return wanted
