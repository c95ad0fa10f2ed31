"""What happened (deliveries, events) and what we did about it (runs)."""

from events.models.access import Grant, History
from events.models.alerts import Alert, AlertChannel, AlertMessage, AlertRound
from events.models.batch import Batch
from events.models.comparison import ComparisonFinding, ComparisonRun
from events.models.erasures import Erasure, ErasureKey
from events.models.event_log import EventLog, EventTerm
from events.models.letters import LetterTemplate
from events.models.received import Delivery
from events.models.rule_texts import RuleTexts
from events.models.runs import RuleRun
from events.models.worker import Canary, Tidying, Unsealed, Worker

__all__ = [
    "Alert",
    "AlertChannel",
    "AlertMessage",
    "AlertRound",
    "Batch",
    "Canary",
    "ComparisonFinding",
    "ComparisonRun",
    "Delivery",
    "Erasure",
    "ErasureKey",
    "EventLog",
    "EventTerm",
    "Grant",
    "History",
    "LetterTemplate",
    "RuleRun",
    "RuleTexts",
    "Tidying",
    "Unsealed",
    "Worker",
]
