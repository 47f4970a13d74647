"""How long things may take and took: pure rules, then what the hub does by them."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Workspace
from activity.models import Event
from incidents import timers, timing
from incidents.models import Incident, Update
from incidents.timers import Hours, Policy, Stamps, advance, worked
from tests import make

MADRID = Hours(frozenset(range(5)), time(9), time(18), "Europe/Madrid")


def at(text: str, zone: str = "Europe/Madrid") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def by_the_minute(start: datetime, end: datetime, hours: Hours) -> timedelta:
    """What counts, the slow way."""
    zone, n = ZoneInfo(hours.zone), 0
    moment = start.astimezone(UTC)
    while moment < end:
        local = moment.astimezone(zone)
        n += local.weekday() in hours.days and hours.opens <= local.time() < hours.closes
        moment += timedelta(minutes=1)
    return timedelta(minutes=n)


class TestWorkingTime:
    def test_around_the_clock_everything_counts(self):
        assert worked(at("2026-03-01"), at("2026-03-03"), None) == timedelta(days=2)

    def test_only_working_hours_count(self):
        friday, monday = at("2026-03-06T17:00"), at("2026-03-09T10:00")
        assert worked(friday, monday, MADRID) == timedelta(hours=2)
        assert advance(friday, timedelta(hours=2), MADRID) == monday

    def test_a_deadline_at_closing_time_is_that_day(self):
        assert advance(at("2026-03-06T17:00"), timedelta(hours=1), MADRID) == at("2026-03-06T18:00")

    def test_what_begins_at_night_begins_in_the_morning(self):
        assert advance(at("2026-03-07T03:00"), timedelta(minutes=15), MADRID) == at("2026-03-09T09:15")

    def test_the_hour_a_clock_is_put_forward_is_not_counted(self):
        always_open = Hours(frozenset(range(7)), time(0), time(23, 59), "Europe/Madrid")
        day = worked(at("2026-03-29T00:00"), at("2026-03-29T23:59"), always_open)
        assert day == timedelta(hours=22, minutes=59)

    def test_nothing_ends_before_it_begins(self):
        assert worked(at("2026-03-09T10:00"), at("2026-03-09T09:00"), MADRID) == timedelta(0)

    @pytest.mark.parametrize("zone", ["Europe/Madrid", "America/Sao_Paulo", "Pacific/Auckland", "Asia/Kolkata"])
    def test_against_counting_minutes(self, zone):
        random, hours = Random(zone), replace(MADRID, zone=zone)
        for _ in range(20):
            start = at("2026-03-01", "UTC") + timedelta(minutes=random.randrange(40 * 1440))
            end = start + timedelta(minutes=random.randrange(6 * 1440))
            counted = by_the_minute(start, end, hours)
            assert worked(start, end, hours) == counted
            if counted:
                due = advance(start, counted, hours)
                assert due <= end
                assert worked(start, due, hours) == counted

    @pytest.mark.parametrize(("text", "hours", "wanted"), [
        ("15min", None, timedelta(minutes=15)), ("4h", MADRID, timedelta(hours=4)), ("1d", None, timedelta(days=1)),
        ("2d", MADRID, timedelta(hours=18)),
    ])  # fmt: skip
    def test_a_day_is_a_working_day(self, text, hours, wanted):
        assert timers.span(text, hours) == wanted

    @pytest.mark.parametrize("text", ["", "0h", "-1h", "1", "1w", "99999h", "1h30", "1 h x", "१h"])
    def test_other_spans_are_refused(self, text):
        with pytest.raises(ValueError):  # noqa: PT011
            timers.span(text)


BEGAN = datetime(2026, 3, 2, 10, tzinfo=UTC)


def stamps(status="new", severity="critical", **given):
    return Stamps(severity, status, BEGAN, **given)


def states(told: Stamps, minutes: float, policy: Policy | None = None) -> dict[str, str]:
    found = timers.timers(told, policy or Policy(), BEGAN + timedelta(minutes=minutes))
    return {timer.kind: timer.state for timer in found}


def after(minutes: float) -> datetime:
    return BEGAN + timedelta(minutes=minutes)


class TestTimers:
    @pytest.mark.parametrize(("minutes", "state"), [
        (0, "running"), (11.9, "running"), (12, "at_risk"), (14.9, "at_risk"), (15, "late")
    ])  # fmt: skip
    def test_at_risk_from_four_fifths_on(self, minutes, state):
        assert states(stamps(), minutes)["acknowledge"] == state

    def test_met_and_missed(self):
        assert states(stamps("triaged", acknowledged_at=after(10)), 60)["acknowledge"] == "met"
        assert states(stamps("triaged", acknowledged_at=after(20)), 60)["acknowledge"] == "missed"

    def test_it_stands_while_snoozed(self):
        asleep = stamps("snoozed", snoozed_at=after(5))
        assert states(asleep, 500) == {"acknowledge": "paused", "resolve": "paused", "update": "paused"}
        awake = stamps(slept=[(after(5), after(500))])
        assert states(awake, 506)["acknowledge"] == "running"
        assert states(awake, 510)["acknowledge"] == "late"
        first = timers.timers(awake, Policy(), after(506))[0]
        assert (first.used, first.due_at) == (timedelta(minutes=11), after(510))

    def test_sleep_outside_working_hours_moves_nothing(self):
        policy = Policy(hours=replace(MADRID, zone="UTC"), always=frozenset())
        night = [(at("2026-03-02T20:00", "UTC"), at("2026-03-03T06:00", "UTC"))]
        plain, slept = (timers.timers(stamps(severity="high", slept=s), policy, BEGAN) for s in ((), night))
        assert [t.due_at for t in plain] == [t.due_at for t in slept]

    def test_critical_does_not_wait_for_the_morning(self):
        policy = Policy(hours=replace(MADRID, zone="UTC"))
        saturday = replace(stamps(), started_at=datetime(2026, 3, 7, 3, tzinfo=UTC))
        first = timers.timers(saturday, policy, saturday.started_at)[0]
        assert first.due_at == saturday.started_at + timedelta(minutes=15)

    def test_updates_are_due_again_after_each(self):
        spoken = stamps("in_progress", acknowledged_at=after(5), spoken_at=after(50))
        assert states(spoken, 90)["update"] == "running"
        assert states(spoken, 110)["update"] == "late"
        assert "update" not in states(replace(spoken, status="mitigated", mitigated_at=after(55)), 300)

    def test_back_in_the_queue_it_has_to_be_taken_again(self):
        back = stamps(acknowledged_at=after(5), returned_at=after(100))
        assert states(back, 105)["acknowledge"] == "running"
        assert states(back, 115)["acknowledge"] == "late"

    def test_what_contradicts_itself_is_invalid(self):
        assert states(stamps("triaged", acknowledged_at=after(-5)), 10)["acknowledge"] == "invalid"

    def test_what_was_declined_needs_no_fix(self):
        assert states(stamps("declined", acknowledged_at=after(5)), 10_000) == {"acknowledge": "met"}

    def test_severity_without_a_target_has_no_timer(self):
        assert states(stamps(severity="low", status="triaged", acknowledged_at=after(1)), 10) == {"acknowledge": "met"}
        assert states(stamps(severity="unset"), 10) == {}

    def test_asked_and_put_back(self):
        held = stamps("triaged", acknowledged_at=after(5), touched_at=after(5))
        assert timers.asks_at(held, Policy()) == after(125)
        assert timers.asks_at(replace(held, asked_at=after(130)), Policy()) == after(145)
        assert timers.asks_at(stamps(touched_at=after(5)), Policy()) is None

    def test_measures(self):
        told = stamps("closed", impact_started_at=after(-30), acknowledged_at=after(10), resolved_at=after(240),
                      verified_at=after(230), told_at=after(60))  # fmt: skip
        found = {m.name: (m.state, m.took) for m in timers.measures(told)}
        assert found == {
            "know": ("recorded", timedelta(minutes=30)), "acknowledge": ("recorded", timedelta(minutes=10)),
            "mitigate": ("none", None), "resolve": ("recorded", timedelta(hours=4)), "verify": ("invalid", None),
            "tell": ("recorded", timedelta(hours=1)),
        }  # fmt: skip
        assert {m.name: m.state for m in timers.measures(stamps())} == {
            "know": "none", "acknowledge": "pending", "mitigate": "pending", "resolve": "pending", "verify": "none",
            "tell": "pending",
        }  # fmt: skip

    def test_know_and_tell_belong_to_the_first_cycle(self):
        again = stamps("resolved", cycle=2, impact_started_at=after(-30), resolved_at=after(5), told_at=after(1))
        assert {m.name for m in timers.measures(again) if m.state == "none"} == {"know", "acknowledge", "mitigate", "tell"}


@pytest.fixture
def critical(tienda, alice):
    incident = make.incident(tienda, by=alice)
    incident.set_severity(alice, "critical")
    began = timezone.now() - timedelta(minutes=1)
    Incident.objects.filter(pk=incident.pk).update(opened_at=began, cycle_started_at=began)
    incident.refresh_from_db()
    return incident


def verbs(incident: Incident) -> list[str]:
    return [e.verb.removeprefix("incident.") for e in Event.objects.about(incident).order_by("pk")]


class TestTheHubWatches:
    def test_each_timer_is_told_of_once_when_at_risk_and_once_when_late(self, critical):
        now = critical.cycle_started_at
        for minutes in (1, 13, 13.5, 16, 17, 20):
            timing.watch(now + timedelta(minutes=minutes))
        assert verbs(critical)[2:] == ["timer_at_risk", "timer_late"]
        why = Event.objects.about(critical).latest("pk").detail["why"]
        assert (why["rule"], why["kind"], why["target"], why["severity"]) == ("timer", "acknowledge", "15min", "critical")

    def test_two_workers_tell_of_it_once(self, critical):
        late = critical.cycle_started_at + timedelta(minutes=16)
        assert [timing._warn_of(critical, late), timing._warn_of(critical, late)] == [1, 0]

    def test_nobody_is_bothered_while_it_sleeps(self, critical, alice):
        critical.snooze(alice, timezone.now() + timedelta(days=3))
        assert timing.watch(timezone.now() + timedelta(days=1)) == 0

    def test_still_on_it_or_back_to_the_queue(self, critical, alice, carol):
        critical.accept(carol)
        critical.assign(carol, carol)
        Update.objects.say(critical, carol, "It is the cache.", "internal")
        later = timezone.now() + timedelta(hours=2, minutes=1)
        timing._ask(later)
        critical.refresh_from_db()
        assert critical.asked_at == later
        assert critical.status == "triaged"
        timing._ask(later + timedelta(minutes=16))
        critical.refresh_from_db()
        assert (critical.status, critical.assignee, critical.asked_at is None) == ("new", None, False)
        assert verbs(critical)[-2:] == ["asked", "put_back"]
        assert Event.objects.about(critical).latest("pk").detail["why"]["kind"] == "answer"

    def test_an_answer_keeps_it(self, critical, carol):
        critical.accept(carol)
        timing._ask(timezone.now() + timedelta(hours=2, minutes=1))
        critical.confirm(carol)
        critical.refresh_from_db()
        assert critical.asked_at is None
        assert timing._ask(timezone.now() + timedelta(minutes=30)) == 0
        critical.refresh_from_db()
        assert critical.status == "triaged"

    def test_a_comment_is_an_answer_too(self, critical, carol, bob):
        critical.accept(carol)
        timing._ask(timezone.now() + timedelta(hours=2, minutes=1))
        Update.objects.comment(critical, bob, "I called them.")
        critical.refresh_from_db()
        assert critical.asked_at is None

    def test_reopening_starts_a_new_cycle_and_keeps_the_old(self, critical, carol):
        critical.accept(carol)
        critical.resolve(carol, None)
        first = critical.resolved_at
        critical.reopen(carol, "Not fixed.")
        critical.refresh_from_db()
        assert (critical.cycle, critical.resolved_at, critical.warned, critical.due_kind) == (2, None, [], "update")
        assert critical.past_stamps[0].resolved_at == first
        assert critical.acknowledged_at == critical.cycle_started_at
        event = Event.objects.about(critical).latest("pk")
        critical.undo(event, carol)
        critical.refresh_from_db()
        assert (critical.cycle, critical.resolved_at, critical.past_cycles) == (1, first, [])

    def test_what_the_hub_reopens_waits_to_be_taken(self, critical, carol):
        critical.accept(carol)
        critical.resolve(carol, None)
        critical.reopen(None, why={"rule": "still_broken"})
        assert critical.acknowledged_at is None
        assert critical.due_kind == "acknowledge"

    def test_sleep_is_kept_and_undone(self, critical, carol):
        critical.snooze(carol, timezone.now() + timedelta(days=1))
        critical.accept(carol)
        critical.refresh_from_db()
        assert len(critical.slept) == 1
        critical.undo(Event.objects.about(critical).latest("pk"), carol)
        critical.refresh_from_db()
        assert (critical.slept, critical.status, critical.due_at) == ([], "snoozed", None)


class TestPages:
    def test_new_targets_hold_at_once(self, critical, tienda, alice, as_):
        page = reverse("incidents:timers", args=[tienda.slug])
        form = as_(alice).get(page).context["form"]
        given = {name: value for name, value in form.initial.items() if not isinstance(value, (list, bool))}
        given |= {"critical_acknowledge": "2 h", "has_hours": "on", "days": ["0", "1", "2"], "always": ["critical"],
                  "opens": "08:00", "closes": "16:30", "zone": "America/Sao_Paulo", "bundle_hours": "2"}  # fmt: skip
        answer = as_(alice).post(page, given)
        assert answer.status_code == 302, answer.context["form"].errors
        tienda.refresh_from_db()
        policy = timers.policy_of(tienda.timers)
        assert (policy.version, policy.told("critical", "acknowledge"), tienda.bundle_hours) == (2, "2h", 2)
        assert policy.hours == Hours(frozenset({0, 1, 2}), time(8), time(16, 30), "America/Sao_Paulo")
        critical.refresh_from_db()
        assert (critical.due_kind, critical.due_at - critical.cycle_started_at) == ("update", timedelta(hours=1))

    @pytest.mark.parametrize("wrong", [
        {"critical_resolve": "soon"}, {"closes": "07:00"}, {"zone": "Mars/Base"}, {"days": []}, {"high_update": "0h"},
        {"bundle_hours": "0"}, {"opens": "25:00"},
    ])  # fmt: skip
    def test_bad_targets_change_nothing(self, tienda, alice, as_, wrong):
        page = reverse("incidents:timers", args=[tienda.slug])
        form = as_(alice).get(page).context["form"]
        given = {name: value for name, value in form.initial.items() if not isinstance(value, (list, bool))}
        given |= {"has_hours": "on", "days": ["0"], "opens": "08:00", "closes": "16:30", **wrong}
        assert as_(alice).post(page, given).status_code == 400
        assert Workspace.objects.get(pk=tienda.pk).timers == {}

    def test_a_pm_does_not_change_targets(self, tienda, carol, as_):
        assert as_(carol).get(reverse("incidents:timers", args=[tienda.slug])).status_code == 403

    def test_contradictory_stamps_are_shown_and_counted(self, critical, tienda, carol, as_):
        critical.accept(carol)
        wrong = {"impact_started_at": "", "acknowledged_at": "2026-01-01T10:00", "version": critical.version}
        answer = as_(carol).post(reverse("incidents:stamp", args=[tienda.slug, critical.number]), wrong)
        assert answer.status_code == 302
        page = as_(carol).get(reverse("incidents:detail", args=[tienda.slug, critical.number])).content.decode()
        assert "the stamps contradict each other" in page
        told = as_(carol).get(reverse("incidents:times", args=[tienda.slug])).context["whole"]
        assert [row["spread"].invalid for row in told] == [0, 1, 0, 0, 0, 0]

    def test_stamps_of_the_future_are_refused(self, critical, tienda, carol, as_):
        critical.accept(carol)
        before = critical.acknowledged_at
        given = {"acknowledged_at": "2999-01-01T10:00"}
        as_(carol).post(reverse("incidents:stamp", args=[tienda.slug, critical.number]), given)
        critical.refresh_from_db()
        assert critical.acknowledged_at == before

    def test_percentiles_and_csv_say_the_same(self, tienda, shop, carol, as_):
        random, now, took = Random(7), timezone.now(), []
        for n in range(11):
            incident = make.incident(tienda, f"Problem {n}", by=carol, product=shop)
            incident.accept(carol)
            incident.resolve(carol, None)
            minutes = random.randrange(60, 6_000)
            began = now - timedelta(days=9)
            Incident.objects.filter(pk=incident.pk).update(
                opened_at=began, cycle_started_at=began, acknowledged_at=began + timedelta(minutes=3),
                resolved_at=began + timedelta(minutes=minutes), severity="high",
            )  # fmt: skip
            took.append(minutes)
        took.sort()
        page = as_(carol).get(reverse("incidents:times", args=[tienda.slug]) + "?by=product&of=resolve")
        resolve = page.context["whole"][3]["spread"]
        assert (resolve.n, [round(s / 60) for s in sorted(resolve.took)]) == (11, took)
        name, row = page.context["groups"][0]
        assert name == "Shop"
        assert row["spread"].aimed == 11
        assert row["spread"].inside == sum(minutes <= 1_440 for minutes in took)
        text = b"".join(as_(carol).get(reverse("incidents:times_csv", args=[tienda.slug]))).decode()
        rows = list(csv.DictReader(io.StringIO(text)))
        assert sorted(float(row["resolve"]) for row in rows) == took
        assert {row["acknowledge"] for row in rows} == {"3.0"}

    def test_a_reopened_one_counts_once_for_each_cycle(self, critical, tienda, carol, as_):
        critical.accept(carol)
        critical.resolve(carol, None)
        critical.reopen(carol, "No.")
        critical.resolve(carol, None)
        page = as_(carol).get(reverse("incidents:times", args=[tienda.slug]))
        assert page.context["whole"][3]["spread"].n == 2

    @pytest.mark.parametrize("query", ["?days=x&by=;drop&of=%00", "?days=99999999999999999999", "?by=month&of=tell"])
    def test_odd_addresses_show_the_page(self, critical, tienda, carol, as_, query):
        assert as_(carol).get(reverse("incidents:times", args=[tienda.slug]) + query).status_code == 200

    def test_the_queue_finds_what_is_late(self, critical, tienda, carol, as_):
        Incident.objects.filter(pk=critical.pk).update(due_at=timezone.now(), risk_at=timezone.now())
        other = make.incident(tienda, "In time", by=carol)
        other.set_severity(carol, "low")
        page = as_(carol).get(reverse("incidents:index", args=[tienda.slug]) + "?q=is:late")
        assert [i.number for g in page.context["page"].groups for i in g.incidents] == [critical.number]
        page = as_(carol).get(reverse("incidents:index", args=[tienda.slug]) + "?q=sort:due&as=list")
        assert [i.number for g in page.context["page"].groups for i in g.incidents] == [critical.number, other.number]
