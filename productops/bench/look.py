"""What one look at a release costs that has many signals, each in many slices, at the end of its watch."""

from __future__ import annotations

import json
from collections.abc import Iterator

from productops.bench.figures import Figure
from productops.bench.hub import Hub

SIGNALS, SLICES, HOURS, DAYS = 500, 20, 72, 8
TURNS = 5

#: Plans are the strata of every comparison.
PLANS = 5
_FILL = f"""
INSERT INTO metrics_slicevalue (product_id, dimension, value)
 SELECT {{product}}, 'plan', p FROM generate_series(1, {PLANS}) p
 UNION ALL SELECT {{product}}, 'platform', p FROM generate_series(1, {SLICES - PLANS}) p;
INSERT INTO metrics_signal (product_id, kind, name, created_at, volume_worse)
 SELECT {{product}}, 'use', 'signal ' || s, now(), -1 FROM generate_series(1, {SIGNALS}) s;
INSERT INTO metrics_rollup_hour (product_id, signal_id, environment, release_id, slice, bucket, n, bad, bad_sq, users,
  bad_users, timed, total)
 SELECT {{product}}, s.id, 'production', r.id, slice, date_trunc('hour', now()) - h * interval '1 hour',
  200, 8, 8, 50, 7, 0, 0
 FROM metrics_signal s, releases_release r, generate_series(0, {HOURS + 24 * DAYS}) h,
  LATERAL (SELECT '' AS slice
   UNION ALL SELECT 'platform=' || p FROM generate_series(1, {SLICES - PLANS}) p WHERE h <= {HOURS}
   UNION ALL SELECT 'plan=' || p FROM generate_series(1, {PLANS}) p WHERE h <= {HOURS}) slices
 WHERE s.product_id = {{product}} AND r.product_id = {{product}} AND (r.version = '1.0' OR h < {HOURS});
INSERT INTO metrics_rollup_minute (product_id, signal_id, environment, release_id, slice, bucket, n, bad, bad_sq, users,
  bad_users, timed, total)
 SELECT {{product}}, s.id, 'production', r.id, '', date_trunc('hour', now()) - m * interval '5 minutes',
  17, 1, 1, 5, 1, 0, 0
 FROM metrics_signal s, releases_release r, generate_series(0, {(HOURS // 24 + DAYS) * 288}) m
 WHERE s.product_id = {{product}} AND r.product_id = {{product}} AND r.version = '1.0';
"""

_MAKE = f"""
from datetime import timedelta
from django.utils import timezone
from metrics import partitions
from releases.models import Product, Release
now = timezone.now()
for day in range({HOURS // 24 + DAYS + 2}):
    partitions.ensure(now - timedelta(days=day))
product = Product.objects.get(pk={{product}})
for version, hours in (("1.0", 24 * 30), ("2.0", {HOURS} - 0.1)):
    release, _new = Release.objects.create_version(product, version, "api")
    release.deploy("production", 50, at=now - timedelta(hours=hours))
"""

_LOOK = """
import json, statistics, time

from datetime import timedelta
from django.db.models import F
from django.utils import timezone
from metrics import watching
from metrics.models import RollupHour
from releases.models import Release

release, took = Release.objects.get(product={product}, version="2.0"), []
fresh = RollupHour.objects.filter(release_id=release.pk)
for turn in range({TURNS} + 1):
    # Something came since, for everybody.
    fresh.filter(bucket__gt=timezone.now() - timedelta(hours=2)).update(n=F("n") + 1)
    began = time.perf_counter()
    verdict = watching.judge(release, "production", timezone.now())
    took.append(time.perf_counter() - began)
signals = len({{trace["signal"] for trace in verdict.trace}})
print(json.dumps([took[0], statistics.median(took[1:]), signals, len(verdict.trace)]))
"""


def run(server: str) -> Iterator[Figure]:
    with Hub(server, has_redis=False) as hub:
        hub.manage("shell", "-c", _MAKE.format(product=hub.product_id))
        hub.execute(_FILL.format(product=hub.product_id))
        hub.execute("VACUUM ANALYZE")
        said = hub.manage("shell", "-c", _LOOK.format(product=hub.product_id, TURNS=TURNS))
        first, took, signals, measures = json.loads(said.strip().splitlines()[-1])
        note = f"{SIGNALS} signals × {SLICES} slices over {HOURS} h; {signals} of them judged, {measures} measures"
        yield Figure("look", "one look at one release: median", took, "s", 2, is_ceiling=True, note=note)
        yield Figure("look", "the first look, which reads eight days of history", first, "s")
        yield Figure("look", "signals judged", signals, "signals", SIGNALS)
