"""Mails go out through a real SMTP server, once for each bundle, and are tried again when it is away."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from datetime import timedelta

import pytest
from aiosmtpd.controller import Controller
from django.utils import timezone

from accounts.models import User
from incidents.models import Incident, Update
from notices import mailing
from notices.models import Mail, Notice
from tests import make
from tests.notices.test_notices import tell


class Mailbox:
    """Keeps what it is given; refuses `bad` for ever, and everybody while `is_away`."""

    def __init__(self) -> None:
        self.mails: list[email.message.EmailMessage] = []
        self.bad: set[str] = set()
        self.is_away = False

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in self.bad:
            return "550 no such person"
        if self.is_away:
            return "451 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 OK"


class AnyPort(Controller):
    """On a free port, which is known once it listens."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture
def box(settings) -> Iterator[Mailbox]:
    box = Mailbox()
    server = AnyPort(box, hostname="127.0.0.1", port=0)
    server.start()
    settings.EMAIL_BACKEND, settings.HAS_MAIL = "django.core.mail.backends.smtp.EmailBackend", True
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    settings.EMAIL_USE_TLS, settings.BASE_URL = False, "https://hub.example.com"
    yield box
    server.stop()


@pytest.fixture
def incident(tienda, alice):
    incident = make.incident(tienda, "Checkout <fails>", by=alice)
    tell()
    Notice.objects.all().delete()
    Mail.objects.all().delete()
    return incident


def text_of(mail) -> str:
    return mail.get_body(("plain",)).get_content()


def test_an_urgent_one_goes_out_at_once(box, incident, alice, carol):
    Update.objects.comment(incident, carol, "@Alice look at <this>")
    tell()
    assert mailing.deliver(timezone.now()) == 1
    (mail,) = box.mails
    assert mail["To"] == "alice@example.com"
    assert mail["Subject"] == f"[Tienda] INC-{incident.number} · Checkout <fails>"
    assert "Carol commented: @Alice look at" in text_of(mail)
    assert f"https://hub.example.com/w/tienda/triage/{incident.number}/" in text_of(mail)
    html = mail.get_body(("html",)).get_content()
    assert "<fails>" not in html
    assert "&lt;fails&gt;" in html
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"] == f"<{Mail.objects.get().pk}@hub.example.com>"
    assert mailing.deliver(timezone.now()) == 0


def test_the_rest_is_bundled_each_thing_once(box, tienda, incident, alice, carol):
    carol.memberships.update(new_incidents="none")
    other = make.incident(tienda, "Search is slow", by=alice)
    tell()
    for each in (incident, other, incident):
        Update.objects.comment(each, carol, "Hm.")
    tell()
    now = timezone.now()
    assert mailing.bundle(now + timedelta(hours=3, minutes=59)) == 0
    later = now + timedelta(hours=4, minutes=1)
    assert [mailing.bundle(later), mailing.bundle(later)] == [1, 0]
    mailing.deliver(later)
    (mail,) = box.mails
    assert mail["Subject"] == "[Tienda] 2 things for you"
    assert text_of(mail).count("/triage/") == 2
    assert text_of(mail).count("Carol commented: Hm.") == 3


def test_what_was_read_is_not_mailed(box, incident, alice, carol):
    Update.objects.comment(incident, carol, "Hm.")
    tell()
    Notice.objects.read(alice.memberships.get(), timezone.now())
    assert mailing.bundle(timezone.now() + timedelta(hours=9)) == 0


def test_in_the_readers_language_and_zone(box, incident, alice, carol):
    alice.language, alice.zone = "pt-br", "America/Sao_Paulo"
    alice.save()
    Update.objects.comment(incident, carol, "@Alice")
    tell()
    mailing.deliver(timezone.now())
    told = text_of(box.mails[0])
    assert "America/Sao_Paulo" in told
    assert "Carol comentou" in told
    moment = Notice.objects.get().at.astimezone(alice.tz)
    assert f"{moment:%H:%M}" in told


@pytest.mark.parametrize(("pace", "urgent", "rest"), [("all", 1, 1), ("urgent", 1, 0), ("none", 0, 0)])
def test_as_the_person_wants_it(box, incident, alice, carol, pace, urgent, rest):
    alice.mail = pace
    alice.save()
    Update.objects.comment(incident, carol, "@Alice")
    tell()
    assert mailing.deliver(timezone.now()) == urgent
    Update.objects.comment(incident, carol, "Hm.")
    tell()
    assert mailing.bundle(timezone.now() + timedelta(hours=5)) == rest


def test_the_workspace_bundles_as_it_likes(box, tienda, incident, alice, carol):
    tienda.bundle_hours = 1
    tienda.save()
    Update.objects.comment(incident, carol, "Hm.")
    tell()
    assert mailing.bundle(timezone.now() + timedelta(minutes=61)) == 1


class TestDelivery:
    @pytest.fixture
    def mail(self, incident, alice, carol, box):
        Update.objects.comment(incident, carol, "@Alice")
        tell()
        return Mail.objects.get()

    def test_a_server_that_is_away_is_tried_again(self, box, mail):
        box.is_away, now = True, timezone.now()
        assert mailing.deliver(now) == 0
        assert mailing.deliver(now + timedelta(seconds=30)) == 0
        mail.refresh_from_db()
        assert (mail.status, mail.tries) == ("queued", 1)
        box.is_away = False
        assert mailing.deliver(now + timedelta(seconds=61)) == 1
        assert len(box.mails) == 1

    def test_no_server_at_all(self, box, mail, settings):
        settings.EMAIL_PORT = 1
        assert mailing.deliver(timezone.now()) == 0
        mail.refresh_from_db()
        assert "ConnectionRefusedError" in mail.error

    def test_after_the_last_try_it_has_failed_and_is_shown(self, box, mail, alice, tienda, as_):
        box.is_away, now = True, timezone.now()
        for _ in range(len(mailing.RETRIES) + 1):
            mailing.deliver(now)
            now += timedelta(hours=9)
        mail.refresh_from_db()
        assert mail.status == "failed"
        assert "1 mail to you could not be delivered" in as_(alice).get(f"/w/{tienda.slug}/notices/").content.decode()

    def test_a_refused_person_is_not_tried_again(self, box, mail):
        box.bad.add("alice@example.com")
        mailing.deliver(timezone.now())
        mail.refresh_from_db()
        assert mail.status == "failed"

    def test_a_killed_worker_sends_it_later_under_the_same_id(self, box, mail):
        now = timezone.now()
        held = mailing._claim(now)  # and then the worker was killed, perhaps after it was sent
        mailing._message(held[0], mailing.get_connection()).send()
        assert mailing.deliver(now) == 0
        assert mailing.deliver(now + mailing.LEASE + timedelta(seconds=1)) == 1
        assert len({sent["Message-ID"] for sent in box.mails}) == 1

    def test_one_bad_address_is_in_nobodys_way(self, box, mail, incident, bob, carol):
        box.bad.add("alice@example.com")
        Update.objects.comment(incident, carol, "@Bob")
        tell()
        assert mailing.deliver(timezone.now()) == 1
        assert [sent["To"] for sent in box.mails] == ["bob@example.com"]

    def test_a_mail_that_cannot_be_written_fails_alone(self, box, mail, incident, alice, bob, carol):
        User.objects.filter(pk=alice.pk).update(email="alice@example.com\nBcc: all@example.com")
        Update.objects.comment(incident, carol, "@Bob")
        tell()
        assert mailing.deliver(timezone.now()) == 1
        assert [sent["To"] for sent in box.mails] == ["bob@example.com"]
        assert Mail.objects.get(user=alice).status == "failed"

    def test_who_left_gets_nothing(self, box, mail, alice):
        alice.memberships.get().remove()
        assert mailing.deliver(timezone.now()) == 0
        assert box.mails == []

    def test_lines_in_a_title_are_no_headers(self, box, mail, carol, tienda, alice):
        sly = make.incident(tienda, "x\nBcc: all@example.com", by=carol)
        Incident.objects.filter(pk=sly.pk).update(weighed_at=timezone.now())
        Update.objects.comment(sly, carol, "@Alice")
        tell()
        mailing.deliver(timezone.now())
        assert all(sent["Bcc"] is None for sent in box.mails)
        assert len(box.mails) == 2


def test_the_sample_has_no_mailboxes(box, tienda, incident, alice, carol):
    tienda.is_sample = True
    tienda.save()
    Update.objects.comment(incident, carol, "@Alice")
    tell()
    assert mailing.bundle(timezone.now() + timedelta(hours=9)) == 0
    assert not Mail.objects.exists()


def test_without_a_mail_server_nothing_is_queued(settings, incident, alice, carol):
    settings.HAS_MAIL = False
    Update.objects.comment(incident, carol, "@Alice")
    tell()
    assert not Mail.objects.exists()
    assert Notice.objects.filter(user=alice).exists()
