"""What is said of an incident: kinds, times, names, pins."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from activity.models import Event
from incidents import mentions, timeline
from incidents.models import Incident, Update
from tests import make

PEOPLE = {1: ("Ana", "ana@x.es"), 2: ("Ana María", "am@x.es"), 3: ("José", "jose@x.es"), 4: ("José", "jota@x.es")}


@pytest.fixture
def incident(tienda, alice):
    return make.incident(tienda, by=alice)


def say(client, incident, **given):
    return client.post(reverse("incidents:say", args=[incident.workspace.slug, incident.number]), given)


class TestMentions:
    @pytest.mark.parametrize(("text", "who"), [
        ("@Ana look", {1}), ("(@ana)", {1}), ("@Ana María, please", {2}), ("@ana maria please", {2}), ("@Anastasia", set()),
        ("@ana@x.es", {1}), ("mail ana@x.es", set()), ("a@ana", set()), ("@jose", {3, 4}), ("@jota@x.es", {4}),
        ("@", set()), ("@@Ana", {1}), ("@Ana @José", {1, 3, 4}), ("", set()), ("`@Ana`", {1}),
    ])  # fmt: skip
    def test_who_is_named(self, text, who):
        assert {person for _s, _e, person in mentions.find(text, PEOPLE)} == who

    def test_it_is_set_off_but_not_in_code(self):
        html = mentions.mark('<p>@Ana <code>@Ana</code> <a href="x">@Ana</a></p>', PEOPLE)
        assert html == '<p><b class="mention">@Ana</b> <code>@Ana</code> <a href="x">@Ana</a></p>'

    def test_names_with_signs_of_html(self):
        html = mentions.mark("<p>@A&lt;b&gt;</p>", {1: ("A<b>", "a@x.es")})
        assert html == '<p><b class="mention">@A&lt;b&gt;</b></p>'

    def test_a_text_of_signs_costs_little(self):
        many = {n: (f"Person {n}", f"p{n}@x.es") for n in range(2_000)}
        began = time.process_time()
        assert mentions.find("@" * 20_000, many) == []
        assert time.process_time() - began < 2

    def test_only_members_are_named(self, incident, carol, mallory):
        event = Update.objects.say(incident, carol, f"@{mallory.email} @carol@example.com @Alice")
        assert event.detail["mentioned"] == [incident.opened_by_id]  # neither outsiders nor oneself


class TestSaying:
    def test_each_kind_has_its_words(self, incident, carol, as_):
        for kind, told in {
            "comment": "commented", "internal": "told the team", "customers": "told customers", "seen": "saw",
            "done": "did", "decided": "decided",
        }.items():  # fmt: skip
            assert say(as_(carol), incident, kind=kind, text=f"About {kind}").status_code == 302
            entry = timeline.tell(incident)[0]
            assert (entry.text, entry.kind, entry.plain) == (told, kind, f"About {kind}")

    def test_what_happened_before_stands_where_it_happened(self, incident, carol, as_):
        before = timezone.now() - timedelta(hours=3)
        say(as_(carol), incident, kind="seen", text="Load was high", at=f"{before:%Y-%m-%dT%H:%M}")
        entry = timeline.tell(incident)[-1]
        assert (entry.plain, entry.at) == ("Load was high", before.replace(second=0, microsecond=0))
        assert entry.noted_at is not None

    @pytest.mark.parametrize("wrong", [
        {"text": ""}, {"text": "x", "kind": "rumour"}, {"text": "x", "at": "2999-01-01T00:00"}, {"text": "x" * 20_001},
        {"text": "x", "at": "yesterday"}, {"text": "x", "at": "1999-01-01T00:00"}, {"text": "  \n "},
    ])  # fmt: skip
    def test_what_cannot_be_said_is_not_kept(self, incident, carol, as_, wrong):
        answer = as_(carol).post(
            reverse("incidents:say", args=[incident.workspace.slug, incident.number]), wrong, headers={"HX-Request": "true"}
        )
        assert answer.status_code == 400
        assert not Update.objects.exists()

    def test_an_update_starts_the_next_wait(self, incident, alice, carol):
        incident.set_severity(alice, "critical")
        incident.accept(carol)
        Incident.objects.filter(pk=incident.pk).update(spoken_at=None)
        Update.objects.say(incident, carol, "We look into it.", "customers")
        incident.refresh_from_db()
        assert (incident.due_kind, incident.told_at) == ("update", incident.spoken_at)
        assert incident.due_at == incident.spoken_at + timedelta(hours=1)

    def test_saying_is_in_nobodys_way(self, incident, alice, carol):
        version = incident.version
        Update.objects.comment(incident, carol, "Hm.")
        incident.accept(alice, expected=version)

    def test_a_viewer_does_not_speak(self, tienda, incident, as_):
        assert say(as_(make.member(tienda, "viewer")), incident, text="x").status_code == 403


class TestPins:
    def pin(self, client, incident, event):
        return client.post(reverse("incidents:pin", args=[incident.workspace.slug, incident.number, event.pk]))

    def test_pinned_and_taken_off(self, incident, carol, as_):
        event = Update.objects.comment(incident, carol, "Read this first.")
        self.pin(as_(carol), incident, event)
        page = as_(carol).get(reverse("incidents:detail", args=[incident.workspace.slug, incident.number]))
        assert [entry.pk for entry in page.context["pinned"]] == [event.pk]
        self.pin(as_(carol), incident, event)
        assert not any(entry.is_pinned for entry in timeline.tell(incident))
        assert Event.objects.about(incident).filter(verb__in=timeline.PINS).count() == 2  # nothing is rubbed out

    def test_no_more_than_a_few(self, incident, carol, as_):
        events = [Update.objects.comment(incident, carol, f"{n}") for n in range(timeline.MOST_PINNED + 1)]
        for event in events:
            self.pin(as_(carol), incident, event)
        assert sum(entry.is_pinned for entry in timeline.tell(incident)) == timeline.MOST_PINNED

    def test_an_entry_of_another_incident_is_not_found(self, tienda, incident, carol, as_):
        other = make.incident(tienda, "Other", by=carol)
        event = Update.objects.comment(other, carol, "x")
        assert self.pin(as_(carol), incident, event).status_code == 404


def test_the_names_offered(tienda, alice, carol, as_):
    make.member(tienda, "agent", "zoe2@example.com", name="Zoë")
    make.member(tienda, "agent", "zoe1@example.com", name="Zoë")
    page = reverse("incidents:people", args=[tienda.slug])
    assert as_(carol).get(page + "?q=ali").json()["people"] == [{"name": "Alice", "mention": "Alice"}]
    zoes = as_(carol).get(page + "?q=zoe").json()["people"]
    assert [each["mention"] for each in zoes] == ["zoe1@example.com", "zoe2@example.com"]
    assert as_(carol).get(page + "?q=%00%25").json()["people"] == []


def test_two_say_at_once_and_both_are_kept(incident, carol, alice):
    with pytest.raises(ValidationError):
        Update.objects.say(incident, carol, "x", "nonsense")
    Update.objects.say(incident, carol, "One.", "internal")
    Update.objects.say(incident, alice, "Two.", "internal")
    assert [u.text for u in incident.updates.all()] == ["One.", "Two."]
