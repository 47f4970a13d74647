from metrics.models.account import Account, Message
from metrics.models.backfill import Backfill
from metrics.models.finding import Regression, Verdict
from metrics.models.intake import Arrival, Inbox, IngestKey, JobSlot, Outcome, ProcessedBatch, Quarantine, Refusal
from metrics.models.limit import Limit
from metrics.models.rollup import Counter, CustomerDay, EventChunk, RollupHour, RollupMinute, UserDay
from metrics.models.signal import Signal, SliceValue

__all__ = [
    "Account",
    "Arrival",
    "Backfill",
    "Counter",
    "CustomerDay",
    "EventChunk",
    "Inbox",
    "IngestKey",
    "JobSlot",
    "Limit",
    "Message",
    "Outcome",
    "ProcessedBatch",
    "Quarantine",
    "Refusal",
    "Regression",
    "RollupHour",
    "RollupMinute",
    "Signal",
    "SliceValue",
    "UserDay",
    "Verdict",
]
