from __future__ import annotations

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from accounts.models import Invitation, User
from tests import make
from tests.accounts.test_people import url

pytestmark = pytest.mark.django_db


def send(client, workspace, email: str = "New@Example.com", role: str = "agent"):
    return client.post(url("invite", workspace), {"email": email, "role": role})


def test_link_is_mailed_and_shown_once(tienda, alice, as_, mailoutbox):
    client = as_(alice)
    page = send(client, tienda).content.decode()
    link = page.split('id="invitation-link">')[1].split("<")[0]
    assert link.startswith(f"{settings.BASE_URL}/invitation/po_inv_")
    assert link in mailoutbox[0].body
    assert mailoutbox[0].to == ["new@example.com"]
    assert link not in client.get(url("people", tienda)).content.decode()


def test_only_a_hash_is_kept(tienda, alice):
    invitation, text = Invitation.objects.send(tienda, "new@example.com", "agent", alice)
    assert len(bytes(invitation.digest)) == 32
    assert text.split("_")[3][:43] not in str(vars(invitation))


def test_a_hub_without_mail_says_so(tienda, alice, as_, monkeypatch):
    def away(self, fail_silently=False):
        raise ConnectionRefusedError

    monkeypatch.setattr("django.core.mail.EmailMessage.send", away)
    page = send(as_(alice), tienda).content.decode()
    assert "No mail went out" in page
    assert "/invitation/po_inv_" in page


def test_manager_does_not_invite_an_owner(tienda, alice, as_):
    assert send(as_(alice), tienda, role="owner").status_code == 403
    assert not Invitation.objects.exists()


@pytest.mark.parametrize("email", ["bob@example.com", "BOB@example.com", "nonsense", "a@b.c\nBcc: x@y.z", ""])
def test_wrong_addresses_are_refused(tienda, alice, bob, as_, mailoutbox, email):
    assert send(as_(alice), tienda, email).status_code == 400
    assert not mailoutbox


def test_a_name_with_line_breaks_stays_in_the_subject(tienda, alice, as_, mailoutbox):
    tienda.name = "Tienda\r\nBcc: x@y.z"
    tienda.save()
    send(as_(alice), tienda)
    assert mailoutbox[0].subject == "Join Tienda Bcc: x@y.z on Productops"


def test_the_51st_in_an_hour_waits(tienda, alice, mallory, as_, mailoutbox):
    for n in range(50):
        Invitation.objects.send(tienda, f"p{n}@example.com", "agent", alice)
    assert send(as_(alice), tienda).status_code == 429
    assert not mailoutbox
    assert send(as_(mallory), mallory.memberships.get().workspace).status_code == 200


def test_a_second_invitation_replaces_the_first(tienda, alice, as_):
    _first, text = Invitation.objects.send(tienda, "new@example.com", "agent", alice)
    send(as_(alice), tienda)
    assert Invitation.objects.for_text(text, timezone.now()) is None
    assert Invitation.objects.open(timezone.now()).count() == 1


def test_revoked_link_stops(tienda, alice, as_):
    invitation, text = Invitation.objects.send(tienda, "new@example.com", "agent", alice)
    as_(alice).post(url("revoke_invitation", tienda, invitation.pk))
    assert Invitation.objects.for_text(text, timezone.now()) is None


def test_nobody_revokes_a_foreign_invitation(tienda, alice, bob, mallory, as_):
    theirs, text = Invitation.objects.send(mallory.memberships.get().workspace, "n@example.com", "agent", mallory)
    assert as_(alice).post(url("revoke_invitation", tienda, theirs.pk)).status_code == 404
    assert as_(bob).post(url("revoke_invitation", tienda, theirs.pk)).status_code == 403
    assert Invitation.objects.for_text(text, timezone.now())


def test_manager_does_not_revoke_the_invitation_of_an_owner(tienda, owner, alice, as_):
    invitation, text = Invitation.objects.send(tienda, "boss@example.com", "owner", owner)
    assert as_(alice).post(url("revoke_invitation", tienda, invitation.pk)).status_code == 403
    assert Invitation.objects.for_text(text, timezone.now())


def test_an_invited_person_is_nobody_yet(tienda, alice, as_):
    Invitation.objects.send(tienda, "new@example.com", "agent", alice)
    stranger = User.objects.create_user("new@example.com", make.PASSWORD)
    assert as_(stranger).get(reverse("accounts:people", args=[tienda.slug])).status_code == 404
