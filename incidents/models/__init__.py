from incidents.models.impact import Impact
from incidents.models.incident import Incident, IncidentKind, Severity, Status
from incidents.models.report import Report
from incidents.models.saved_view import SavedView
from incidents.models.update import Update

__all__ = ["Impact", "Incident", "IncidentKind", "Report", "SavedView", "Severity", "Status", "Update"]
