"""What is said of an incident inside the workspace."""

from __future__ import annotations

from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from activity.models import record
from incidents.models.incident import Incident
from productops.lib import markdown


class UpdateManager(models.Manager["Update"]):
    def comment(self, incident: Incident, by: User, text: str) -> Update:
        with transaction.atomic():
            update = self.create(incident=incident, by=by, text=text, html=markdown.render(text))
            record(incident.workspace, "incident.commented", incident, by, update=update.pk)
        return update


class Update(models.Model):
    incident = models.ForeignKey(Incident, models.CASCADE, related_name="updates")
    by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    text = models.TextField(_("comment"), max_length=20_000)
    html = models.TextField()  # rendered and cleaned at write time
    created_at = models.DateTimeField(default=timezone.now)

    objects = UpdateManager()

    class Meta:
        ordering = ["created_at"]
