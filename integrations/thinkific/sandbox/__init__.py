"""A stateful stand-in for Thinkific's Admin API v1, on loopback and without Django."""

from integrations.thinkific.sandbox.faults import Fault, Faults, Switches
from integrations.thinkific.sandbox.records import Bundle, Course, Enrollment, Field, Product, User
from integrations.thinkific.sandbox.sample import (
    SAMPLE_KEY,
    SECOND_KEY,
    add_sample_school,
    add_second_school,
)
from integrations.thinkific.sandbox.school import School
from integrations.thinkific.sandbox.server import Sandbox
from integrations.thinkific.sandbox.state import RecordedCall

__all__ = [
    "SAMPLE_KEY",
    "SECOND_KEY",
    "Bundle",
    "Course",
    "Enrollment",
    "Fault",
    "Faults",
    "Field",
    "Product",
    "RecordedCall",
    "Sandbox",
    "School",
    "Switches",
    "User",
    "add_sample_school",
    "add_second_school",
]
