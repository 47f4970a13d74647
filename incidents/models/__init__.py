from incidents.models.impact import Impact
from incidents.models.incident import Incident, IncidentKind, Severity, Status
from incidents.models.link import Link, LinkKind, Suggestion, SuggestionState
from incidents.models.report import Report
from incidents.models.review import ActionItem, ActionState, Review
from incidents.models.saved_view import SavedView
from incidents.models.update import Update, UpdateKind

__all__ = [
    "ActionItem", "ActionState", "Impact", "Incident", "IncidentKind", "Link", "LinkKind", "Report", "Review",
    "SavedView", "Severity", "Status", "Suggestion", "SuggestionState", "Update", "UpdateKind",
]  # fmt: skip
