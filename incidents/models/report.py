"""A complaint that joined an incident. The words stay the customer's own record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from activity.models import record
from feedback.models import Complaint
from incidents.models.incident import Incident


class ReportManager(models.Manager["Report"]):
    def join(self, incident: Incident, complaint: Complaint, by: User | None) -> Report:
        """Joining twice changes nothing; a complaint belongs to one incident. Duplicates pass it on."""
        if complaint.workspace_id != incident.workspace_id:
            raise ValidationError(_("This complaint does not exist here."))
        target = incident.root
        with transaction.atomic():
            report, is_new = self.get_or_create(complaint=complaint, defaults={"incident": target, "joined_by": by})
            if not is_new and report.incident_id != target.pk:
                raise ValidationError(_("This complaint already belongs to another incident."))
            if is_new:
                record(
                    target.workspace, "incident.complaint_joined", target, by, tells=True, complaint=complaint.pk
                )
                Incident.objects.filter(pk=target.pk).update(weighed_at=None)
        return report

    def join_all(self, incident: Incident, complaints: Sequence[Complaint]) -> int:
        """The hub lets complaints join that belong to no incident; how many did."""
        with transaction.atomic():
            rows = [Report(incident=incident, complaint=complaint) for complaint in complaints]
            before = self.filter(incident=incident).count()
            self.bulk_create(rows, ignore_conflicts=True)
            n = self.filter(incident=incident).count() - before
            if n:
                record(incident.workspace, "incident.complaints_joined", incident, None, n=n)
                Incident.objects.filter(pk=incident.pk).update(weighed_at=None)
        return n

    def leave(self, complaint: Complaint, by: User) -> Incident | None:
        """The complaint is on its own again; the incident it left."""
        report = self.filter(complaint=complaint).select_related("incident").first()
        if report is None:
            return None
        with transaction.atomic():
            report.delete()
            record(report.incident.workspace, "incident.complaint_left", report.incident, by, complaint=complaint.pk)
            Incident.objects.filter(pk=report.incident_id).update(weighed_at=None)
        return report.incident


class Report(models.Model):
    incident = models.ForeignKey(Incident, models.CASCADE, related_name="reports")
    complaint = models.OneToOneField(Complaint, models.CASCADE, related_name="report")
    joined_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    joined_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[ReportManager] = ReportManager()
