"""The mails about accounts. Their links start with BASE_URL, never with what a request calls this host."""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation

from accounts.models import Invitation, User

log = logging.getLogger(__name__)

#: Seconds a mail server may take; a page waits for it.
PATIENCE = 10


def link(name: str, *args: Any, **kwargs: Any) -> str:
    """The full address of a named page."""
    return f"{settings.BASE_URL}{reverse(name, args=args, kwargs=kwargs)}"


def invite(invitation: Invitation, text: str) -> bool:
    context = {"invitation": invitation, "url": link("accounts:invitation", text)}
    return _send("account/email/invitation", invitation.email, context)


def reset(user: User, uid: str, key: str) -> bool:
    url = link("account_reset_password_from_key", uidb36=uid, key=key)
    with translation.override(user.language or translation.get_language()):
        return _send("account/email/password_reset_key", user.email, {"user": user, "url": url})


def no_account(email: str) -> bool:
    """Whoever asks for a reset sees the same page, known or not; only the mailbox learns the difference."""
    return _send("account/email/unknown_account", email, {"email": email})


def _send(name: str, to: str, context: dict[str, Any]) -> bool:
    """False when the mail server did not take it, or there is none and the log has it."""
    subject = " ".join(render_to_string(f"{name}_subject.txt", context).split())
    body = render_to_string(f"{name}_message.txt", {**context, "hub": settings.BASE_URL}).strip()
    try:
        mail = EmailMessage(subject, f"{body}\n", to=[to], connection=get_connection(timeout=PATIENCE))
        return bool(mail.send()) and settings.HAS_MAIL
    except OSError as error:  # smtplib's errors are OSErrors
        log.warning("A mail (%s) could not be sent: %s", name, type(error).__name__)
        return False
