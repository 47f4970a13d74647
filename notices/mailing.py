"""Mails about notices: composed in the reader's language and time zone, bundled, and sent from the outbox."""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db import transaction
from django.db.models import F, Min
from django.template.loader import render_to_string
from django.utils import timezone, translation

from accounts.models import MailPace, Membership, User, Workspace
from notices.models import Mail, MailStatus, Notice

log = logging.getLogger(__name__)

#: Seconds a mail server may take for one mail, mails taken at once, and how long they are held for that.
PATIENCE, MOST, LEASE = 10, 50, timedelta(minutes=10)
#: How long after each failure the next try is; then it has failed.
RETRIES = tuple(timedelta(minutes=m) for m in (1, 5, 15, 60, 240, 480))
#: Older notices are not worth a mail. Things that one mail tells of.
OLDEST, MOST_THINGS = timedelta(hours=48), 40


@dataclass
class Thing:
    """What one person is told of one thing, in one mail."""

    title: str
    url: str
    reasons: list[str] = field(default_factory=list)
    lines: list[Notice] = field(default_factory=list)


def compose(workspace: Workspace, user: User, notices: Sequence[Notice], key: str, now: datetime) -> Mail:
    """One mail of unsaved or saved notices, each thing once; not stored yet."""
    with translation.override(user.language or settings.LANGUAGE_CODE), timezone.override(user.tz):
        things = _things(notices)
        subject = things[0].title if len(things) == 1 else ""
        context = {
            "workspace": workspace, "user": user, "things": things[:MOST_THINGS], "subject": subject,
            "count": len(things), "more": len(things) - MOST_THINGS, "hub": settings.BASE_URL,
        }  # fmt: skip
        mail = Mail(workspace=workspace, user=user, key=key, due_at=now)
        mail.subject = " ".join(render_to_string("notices/email/notices_subject.txt", context).split())[:240]
        mail.body = render_to_string("notices/email/notices_message.txt", context).strip() + "\n"
        mail.html = render_to_string("notices/email/notices_message.html", context)
    return mail


def _things(notices: Iterable[Notice]) -> list[Thing]:
    by_thing: dict[tuple[str, int], Thing] = {}
    for notice in notices:
        thing = by_thing.setdefault(
            (notice.subject_type, notice.subject_id), Thing(notice.title, settings.BASE_URL + notice.path)
        )
        thing.lines.append(notice)
        reason = str(notice.get_reason_display())
        if reason not in thing.reasons:
            thing.reasons.append(reason)
    return list(by_thing.values())


def may_mail(workspace: Workspace) -> bool:
    """Nobody of the sample company has a mailbox."""
    return settings.HAS_MAIL and not workspace.is_sample


def bundle(now: datetime) -> int:
    """Writes the mails of people whose oldest unread notice waited as long as their workspace bundles; how many."""
    if not settings.HAS_MAIL:
        return 0
    waiting = Notice.objects.filter(read_at=None, mail=None, at__gt=now - OLDEST, user__mail=MailPace.ALL)
    waiting = waiting.filter(workspace__is_sample=False)
    due = waiting.order_by().values("workspace", "user", "workspace__bundle_hours").annotate(first=Min("at"))
    written = 0
    for row in due:
        if row["first"] <= now - timedelta(hours=row["workspace__bundle_hours"]):
            written += _bundle(row["workspace"], row["user"], now)
    return written


def _bundle(workspace: int, user: int, now: datetime) -> bool:
    with transaction.atomic():
        # Whoever holds the membership writes the mail; a second worker finds nothing left.
        members = Membership.objects.select_related("workspace", "user").select_for_update(of=("self",))
        member = members.filter(workspace=workspace, user=user, user__is_active=True).first()
        if member is None:
            return False
        mine = Notice.objects.of(member).unread().filter(mail=None, at__gt=now - OLDEST)
        notices = list(mine.order_by("at", "pk"))
        if not notices or notices[0].at > now - timedelta(hours=member.workspace.bundle_hours):
            return False
        mail = compose(member.workspace, member.user, notices, f"bundle:{notices[0].pk}", now)
        mail.save(force_insert=True)
        Notice.objects.filter(pk__in=[notice.pk for notice in notices]).update(mail=mail)
    return True


def deliver(now: datetime) -> int:
    """Sends what is due; how many went out. What a killed worker held is due again when its lease ends."""
    mails = _claim(now)
    if not mails:
        return 0
    connection = get_connection(timeout=PATIENCE)
    sent = 0
    for mail in mails:
        try:
            connection.open()
            _message(mail, connection).send()
        except Exception as error:  # of the server, which is tried again, or of the mail itself
            _fail(mail, error, now)
            connection.close()
            connection = get_connection(timeout=PATIENCE)
            continue
        done = {"status": MailStatus.SENT, "sent_at": timezone.now(), "claimed_until": None, "error": ""}
        Mail.objects.filter(pk=mail.pk).update(**done)
        sent += 1
    connection.close()
    return sent


def _claim(now: datetime) -> list[Mail]:
    with transaction.atomic():
        due = Mail.objects.due(now).select_for_update(skip_locked=True, of=("self",))
        mails = list(due.select_related("user", "workspace").order_by("due_at")[:MOST])
        held = Mail.objects.filter(pk__in=[mail.pk for mail in mails])
        held.update(claimed_until=now + LEASE, tries=F("tries") + 1)
    members = set(
        Membership.objects.filter(user__in=[m.user_id for m in mails], user__is_active=True).values_list(
            "workspace", "user"
        )
    )
    gone = [mail.pk for mail in mails if (mail.workspace_id, mail.user_id) not in members]
    Mail.objects.filter(pk__in=gone).update(status=MailStatus.FAILED, error="not a member any more", claimed_until=None)
    return [mail for mail in mails if mail.pk not in gone]


def _message(mail: Mail, connection: object) -> EmailMultiAlternatives:
    host = urlsplit(settings.BASE_URL).hostname
    headers = {
        "Message-ID": f"<{mail.pk}@{host}>",
        "Auto-Submitted": "auto-generated",
        "List-Unsubscribe": f"<{settings.BASE_URL}/me/>",
    }
    message = EmailMultiAlternatives(
        mail.subject, mail.body, to=[mail.user.email], headers=headers, connection=connection
    )
    if mail.html:
        message.attach_alternative(mail.html, "text/html")
    return message


def _fail(mail: Mail, error: Exception, now: datetime) -> None:
    tries = mail.tries + 1
    is_refused = isinstance(error, smtplib.SMTPRecipientsRefused) and all(
        code >= 500 for code, _text in error.recipients.values()
    )
    is_over = is_refused or tries > len(RETRIES) or not isinstance(error, OSError)  # smtplib's errors are OSErrors
    values: dict[str, Any] = {"claimed_until": None, "error": f"{type(error).__name__}: {error}"[:300]}
    if is_over:
        values |= {"status": MailStatus.FAILED}
    else:
        values |= {"due_at": now + RETRIES[tries - 1]}
    Mail.objects.filter(pk=mail.pk).update(**values)
    log.warning("A mail of notices could not be sent (try %s): %s", tries, type(error).__name__)
