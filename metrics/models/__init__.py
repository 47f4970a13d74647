from metrics.models.account import Account, Message
from metrics.models.backfill import Backfill
from metrics.models.backtest import Backtest
from metrics.models.confusion import Confusion, FeatureDay, SessionDay, Trial
from metrics.models.fault import Fault
from metrics.models.finding import Judgement, Regression, Verdict
from metrics.models.history import History
from metrics.models.intake import Arrival, Inbox, IngestKey, JobSlot, Outcome, ProcessedBatch, Quarantine, Refusal
from metrics.models.limit import Limit
from metrics.models.rollup import Counter, CustomerDay, EventChunk, RollupHour, RollupMinute, UserDay
from metrics.models.signal import Signal, SliceValue

__all__ = [
    "Account",
    "Arrival",
    "Backfill",
    "Backtest",
    "Confusion",
    "Counter",
    "CustomerDay",
    "EventChunk",
    "Fault",
    "FeatureDay",
    "History",
    "Inbox",
    "IngestKey",
    "JobSlot",
    "Judgement",
    "Limit",
    "Message",
    "Outcome",
    "ProcessedBatch",
    "Quarantine",
    "Refusal",
    "Regression",
    "RollupHour",
    "RollupMinute",
    "SessionDay",
    "Signal",
    "SliceValue",
    "Trial",
    "UserDay",
    "Verdict",
]
