from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from activity.models import Event
from releases.models import DISCOVERED_PER_DAY, Release
from tests import make

NOW = timezone.now().replace(microsecond=0)


def test_a_release_is_made_once(shop) -> None:
    first, is_new = Release.objects.create_version(shop, "2.0", "api")
    again, is_newer = Release.objects.create_version(shop, "2.0", "cli")
    assert (is_new, is_newer, first.pk) == (True, False, again.pk)
    assert Event.objects.filter(verb="release.created").count() == 1


def test_the_first_deploy_is_when_it_shipped(shop) -> None:
    release = make.release(shop, "2.0")
    release.deploy("production", 50, at=NOW)
    release.deploy("staging", 100, at=NOW - timedelta(hours=2))
    release.refresh_from_db()
    assert release.shipped_at == NOW - timedelta(hours=2)


def test_telling_the_same_deploy_twice_records_it_once(shop) -> None:
    release = make.release(shop, "2.0")
    assert release.deploy("production", 50, at=NOW) == release.deploy("production", 50, at=NOW)
    assert Event.objects.filter(verb="release.deployed").count() == 1


@pytest.mark.parametrize("percentage", [-1, 101])
def test_a_percentage_lies_between_0_and_100(percentage, shop) -> None:
    with pytest.raises(ValidationError):
        make.release(shop, "2.0").deploy("production", percentage)


def test_previous_goes_by_time_not_by_name(shop) -> None:
    old = make.release(shop, "9.0", at=NOW - timedelta(days=2))
    new = make.release(shop, "1.0", at=NOW)
    assert new.previous() == old
    assert old.previous() is None


def test_events_make_a_release_with_its_arrival(shop) -> None:
    at = NOW - timedelta(minutes=10)
    make.counted(shop, [make.event(release="3.0", at=at.timestamp())])
    release = Release.objects.get(version="3.0")
    assert (release.source, release.shipped_at) == ("events", at)
    make.counted(shop, [make.event(release="3.0", at=(at - timedelta(hours=1)).timestamp())])
    release.refresh_from_db()
    assert release.shipped_at == at - timedelta(hours=1)


def test_announced_deploys_are_not_moved_by_events(shop) -> None:
    make.release(shop, "3.0", at=NOW)
    make.counted(shop, [make.event(release="3.0", at=(NOW - timedelta(hours=1)).timestamp())])
    assert Release.objects.get(version="3.0").shipped_at == NOW


def test_made_up_versions_are_bounded(shop) -> None:
    make.counted(shop, [make.event(release=f"x{n}") for n in range(DISCOVERED_PER_DAY + 30)])
    assert Release.objects.filter(product=shop).count() == DISCOVERED_PER_DAY
