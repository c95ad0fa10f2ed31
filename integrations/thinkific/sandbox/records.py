"""The records of a stand-in school: courses, bundles, signup fields, users and enrollments."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True, eq=False)
class Product:
    """An entry of the catalog. `id` is the course's or bundle's ID, `product_id` the product's."""

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
    """A signup field. If it has `options`, any other value is refused."""

    id: int
    label: str
    field_type: str
    required: bool
    options: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class User:
    """A user. The e-mail keeps its case; `custom_fields` are {label: value}."""

    id: int
    email: str
    first_name: str
    last_name: str
    roles: list[str]
    custom_fields: dict[str, str]
    profile: dict[str, Any] = field(default_factory=dict)
    welcomed: bool = False
    unknown: int = 0  # how many more enrollment calls will not know the user yet
    created_at: datetime = field(default_factory=now)


@dataclass(slots=True, eq=False)
class Enrollment:
    """A user's enrollment in a course. Without `activated_at` it is only a free preview."""

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
        """Whether the student has full access: activated and not expired."""
        return self.activated_at is not None and not self.expired


@dataclass(frozen=True, slots=True)
class Postponed:
    """A bundle enrollment that was answered 202. `due` is a time of the monotonic clock."""

    due: float
    bundle: Bundle
    user: User
    dates: Mapping[str, datetime | None]


def renew(row: Enrollment, dates: Mapping[str, datetime | None]) -> None:
    """Change an enrollment as a POST does: activate it if asked, and set or clear its end."""
    row.activated_at = dates.get("activated_at") or row.activated_at
    row.expiry_date = dates.get("expiry_date")
    row.updated_at = now()
