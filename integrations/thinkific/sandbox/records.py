"""What a stand-in school keeps one by one: courses, bundles, signup fields, users, enrollments."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True, eq=False)
class Product:
    """A line of the catalog. `id` is the course's or bundle's, `product_id` the line's own."""

    id: int
    product_id: int
    name: str
    productable_type: str
    status: str = "published"
    private: bool = False
    hidden: bool = False
    new_builder: bool = False
    created_at: datetime = field(default_factory=now)


@dataclass(slots=True, eq=False)
class Course(Product):
    """A course."""


@dataclass(slots=True, eq=False)
class Bundle(Product):
    """Several courses under one name."""

    courses: list[Course] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Field:
    """A signup field. With `options`, a value that is none of them is refused."""

    id: int
    label: str
    field_type: str
    required: bool
    options: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class User:
    """A user; the e-mail keeps the case it came in, `custom_fields` goes by label."""

    id: int
    email: str
    first_name: str
    last_name: str
    roles: list[str]
    custom_fields: dict[str, str]
    profile: dict[str, Any] = field(default_factory=dict)
    welcomed: bool = False
    unknown: int = 0  # enrollments that do not know the user yet
    created_at: datetime = field(default_factory=now)


@dataclass(slots=True, eq=False)
class Enrollment:
    """A user's place in a course; without `activated_at` a free preview only."""

    id: int
    user: User
    course: Course
    activated_at: datetime | None = None
    expiry_date: datetime | None = None
    percentage_completed: float = 0.0
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)

    @property
    def user_id(self) -> int:
        return self.user.id

    @property
    def course_id(self) -> int:
        return self.course.id

    @property
    def is_free_trial(self) -> bool:
        return self.activated_at is None

    @property
    def expired(self) -> bool:
        return self.expiry_date is not None and self.expiry_date <= now()

    @property
    def active(self) -> bool:
        """Whether the learner is in: activated, no free preview, not expired."""
        return self.activated_at is not None and not self.expired


@dataclass(frozen=True, slots=True)
class Postponed:
    """A bundle enrollment answered with 202, to be done at a time of the monotonic clock."""

    due: float
    bundle: Bundle
    user: User
    dates: Mapping[str, datetime | None]


def renew(row: Enrollment, dates: Mapping[str, datetime | None]) -> None:
    """What a POST does to an enrollment: activates it if asked, and sets or clears its end."""
    row.activated_at = dates.get("activated_at") or row.activated_at
    row.expiry_date = dates.get("expiry_date")
    row.updated_at = now()
