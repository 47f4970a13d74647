from metrics.models.account import Account
from metrics.models.finding import Regression, Verdict
from metrics.models.intake import Inbox, IngestKey, JobSlot, Outcome, ProcessedBatch, Quarantine, Refusal
from metrics.models.rollup import CustomerDay, Event, RollupHour, RollupMinute, UserDay
from metrics.models.signal import Signal

__all__ = [
    "Account",
    "CustomerDay",
    "Event",
    "Inbox",
    "IngestKey",
    "JobSlot",
    "Outcome",
    "ProcessedBatch",
    "Quarantine",
    "Refusal",
    "Regression",
    "RollupHour",
    "RollupMinute",
    "Signal",
    "UserDay",
    "Verdict",
]
