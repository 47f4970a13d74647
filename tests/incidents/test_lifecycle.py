from __future__ import annotations

import pytest
from django.utils import timezone

from activity.models import Event
from incidents import lifecycle
from incidents.models import Incident, Status
from tests import make

ALL = [(verb, status) for verb in lifecycle.MOVES for status in Status.values]


def run(incident: Incident, verb: str, by) -> Event:
    """The verb with whatever it needs."""
    if verb == "decline":
        return incident.decline(by, "not ours")
    if verb == "reopen":
        return incident.reopen(by, "it is back")
    if verb == "resolve":
        return incident.resolve(by, None)
    if verb == "snooze":
        return incident.snooze(by, timezone.now() + timezone.timedelta(hours=1))
    if verb == "duplicate":
        return incident.duplicate(by, make.incident(incident.workspace))
    return getattr(incident, verb)(by)


@pytest.mark.parametrize(("verb", "status"), ALL)
def test_a_move_is_legal_exactly_where_the_table_says(verb, status, tienda, carol) -> None:
    incident = make.incident(tienda)
    Incident.objects.filter(pk=incident.pk).update(status=status)
    incident.refresh_from_db()
    starts, end = lifecycle.MOVES[verb]
    if status in starts:
        event = run(incident, verb, carol)
        incident.refresh_from_db()
        assert incident.status == end
        assert event.detail["before"]["status"] == status
        assert event.detail["after"]["status"] == end
    else:
        with pytest.raises(lifecycle.IllegalMove) as refused:
            run(incident, verb, carol)
        assert refused.value.legal == lifecycle.legal_moves(status)
        incident.refresh_from_db()
        assert incident.status == status
        assert not Event.objects.about(incident).filter(verb=f"incident.{verb}").exists()


@pytest.mark.parametrize("verb", ["accept", "decline", "resolve"])
def test_doing_it_twice_records_one_event(verb, tienda, carol) -> None:
    incident = make.incident(tienda)
    if verb == "resolve":
        incident.accept(carol)
    run(incident, verb, carol)
    before = Event.objects.about(incident).count()
    with pytest.raises(lifecycle.IllegalMove):
        run(incident, verb, carol)
    assert Event.objects.about(incident).count() == before


def test_every_status_can_be_reached_and_left() -> None:
    reachable = {"new"} | {end for _starts, end in lifecycle.MOVES.values()}
    assert reachable == set(Status.values)
    assert all(lifecycle.legal_moves(status) for status in Status.values)


def test_verb_to_finds_the_move() -> None:
    assert lifecycle.verb_to("new", "triaged") == "accept"
    assert lifecycle.verb_to("closed", "triaged") == "reopen"
    with pytest.raises(lifecycle.IllegalMove):
        lifecycle.verb_to("new", "verified")
