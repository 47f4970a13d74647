"""Two years of a busy company's triage in a database of its own, which `bin/bench pages` measures afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from itertools import product

import psycopg2

from feedback import similar
from productops.bench.figures import Figure
from productops.bench.hub import Hub
from productops.lib.text import fold, grams

DATABASE = "productops_bench_seed"
CUSTOMERS, RELEASES, TEXTS = 20_000, 200, 2_000
#: status -> of a hundred incidents.
STATUSES = {
    "new": 0.5, "triaged": 0.8, "in_progress": 0.4, "mitigated": 0.1, "snoozed": 0.4, "resolved": 3, "verified": 3,
    "declined": 12, "duplicate": 8, "closed": 71.8,
}  # fmt: skip

_WHAT = ("Checkout", "Search", "Invoices", "Login", "El pago", "A busca", "Filters", "Export", "Correo", "Notificações")
_DOES = ("fails", "is slow", "shows nothing", "falla", "não carrega", "tarda mucho", "loses data", "is not understood")
_WHERE = ("on Android", "after the update", "in Safari", "for large shops", "con tarjeta", "no plano Free", "at night")


def run(server: str, incidents: int, complaints: int) -> Iterator[Figure]:
    began = time.monotonic()
    remove(server)
    with closing(psycopg2.connect(server)) as link:
        link.autocommit = True
        link.cursor().execute(f'CREATE DATABASE "{DATABASE}"')
    with Hub(server, database=DATABASE, has_redis=False) as hub:
        with closing(psycopg2.connect(hub.env["DATABASE_URL"])) as link:
            link.autocommit = True
            _fill(link.cursor(), hub.product_id, incidents, complaints)
        size = hub.value("SELECT pg_database_size(current_database())") / 1e6
    note = f"{incidents} incidents, {complaints} complaints; {size:.0f} MB; database {DATABASE}"
    yield Figure("seed", "filled", time.monotonic() - began, "s", note=note)


def exists(server: str) -> bool:
    with closing(psycopg2.connect(server)) as link, link.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
        return cursor.fetchone() is not None


def remove(server: str) -> None:
    with closing(psycopg2.connect(server)) as link:
        link.autocommit = True
        link.cursor().execute(f'DROP DATABASE IF EXISTS "{DATABASE}" WITH (FORCE)')


def _fill(cursor: psycopg2.extensions.cursor, product_id: int, incidents: int, complaints: int) -> None:
    cursor.execute("SELECT workspace_id FROM releases_product WHERE id = %s", [product_id])
    row = cursor.fetchone()
    assert row
    values = {"w": row[0], "p": product_id, "i": incidents, "c": complaints, "customers": CUSTOMERS, "r": RELEASES}
    cursor.execute("SELECT setseed(0.5)")
    cursor.execute(_TEXTS_TABLES)
    titles = [" ".join(parts) for parts in product(_WHAT, _DOES, _WHERE)]
    more = ("Please help!", "Es urgente.", "Desde ontem.", "")
    texts = [f"{title}. {extra}" for title in titles for extra in more][:TEXTS]
    for table, lines, keys in (
        ("titles", titles, lambda text: sorted(grams(fold(text)))),
        ("texts", texts, similar.key),
    ):
        rows = [(n, line, fold(line), keys(line)) for n, line in enumerate(lines)]
        cursor.executemany(f"INSERT INTO pg_temp.{table} VALUES (%s, %s, %s, %s)", rows)
    values |= {"titles": len(titles), "texts": len(texts), "statuses": _statuses()}
    for statement in _STATEMENTS:
        cursor.execute(statement, values)


def _statuses() -> list[str]:
    """A thousand of them, in their shares."""
    found = [status for status, share in STATUSES.items() for _n in range(round(share * 10))]
    assert len(found) == 1_000
    return found


_TEXTS_TABLES = """
CREATE TEMP TABLE titles (n int, said text, folded text, grams varchar(3)[]);
CREATE TEMP TABLE texts (n int, said text, folded text, grams varchar(3)[]);
"""

# ruff: noqa: E501
_STATEMENTS = (
    """INSERT INTO releases_feature (product_id, name, created_at)
       SELECT %(p)s, 'feature-' || n, now() FROM generate_series(1, 20) n""",
    """INSERT INTO releases_release (product_id, version, url, source, created_at, shipped_at)
       SELECT %(p)s, n / 10 || '.' || n %% 10, '', 'api', at, at FROM (
         SELECT n, now() - (%(r)s - n) * interval '3.6 days' AS at FROM generate_series(1, %(r)s) n) x""",
    """INSERT INTO metrics_signal (product_id, kind, name, created_at, volume_worse, part, feature_id)
       SELECT %(p)s, 'use', 'signal_' || n, now(), 0, '', (SELECT min(id) FROM releases_feature WHERE product_id = %(p)s) + n - 1
       FROM generate_series(1, 20) n""",
    """INSERT INTO feedback_customer (workspace_id, external_id, name, domain, plan, revenue, currency, language, is_edited,
         created_at, folded, grams)
       SELECT %(w)s, 'c' || n, 'Customer ' || n, '', (ARRAY['free', 'team', 'business'])[1 + n %% 3], n %% 900, 'EUR', '', false,
         now(), 'customer ' || n || ' c' || n, ARRAY['cus', 'ust', 'sto', 'tom', 'ome', 'mer', left(n::text, 3)]
       FROM generate_series(1, %(customers)s) n""",
    """INSERT INTO incidents_incident (workspace_id, product_id, number, title, kind, status, severity, is_severity_forced,
         grouping_key, environment, wakes_on_release, opened_at, impact_started_at, acknowledged_at, resolved_at, cycle_started_at,
         wording, workaround, slept, past_cycles, due_kind, due_at, warned, cycle, pain,
         impact, heard, silent, revenue, weighed_at, compared_at, proof, cause, version, folded, grams, feature_id, signal_id, release_id,
         assignee_id, snoozed_until)
       SELECT %(w)s, %(p)s, x.n, t.said, (ARRAY['bug', 'outage', 'regression', 'not_understood'])[1 + x.n %% 4], status,
         (ARRAY['unset', 'low', 'medium', 'high', 'critical'])[1 + x.n %% 5], false, '', 'production', false, at, at,
         at + interval '20 minutes', CASE WHEN status IN ('resolved', 'verified', 'closed') THEN at + interval '2 days' END, at,
         '', '', '[]', '[]', 'resolve', at + interval '1 day', '[]', 1,
         round((random() * 80)::numeric, 1), jsonb_build_object('heard', x.n %% 7, 'silent', x.n %% 90, 'revenue', x.n %% 9000),
         x.n %% 7, x.n %% 90, x.n %% 9000, at, at, '{}', '{}', 3, t.folded, t.grams,
         (SELECT min(id) FROM releases_feature WHERE product_id = %(p)s) + x.n %% 20,
         (SELECT min(id) FROM metrics_signal WHERE product_id = %(p)s) + x.n %% 20,
         (SELECT min(id) FROM releases_release WHERE product_id = %(p)s) + least(%(r)s - 1, x.n * %(r)s / %(i)s),
         CASE WHEN x.n %% 3 = 0 THEN (SELECT min(user_id) FROM accounts_membership WHERE workspace_id = %(w)s) END,
         CASE WHEN status = 'snoozed' THEN now() + interval '9 days' END
       FROM (SELECT n, (%(statuses)s::text[])[1 + (n * 7919::bigint) %% 1000] AS status,
               now() - (%(i)s - n) * interval '730 days' / %(i)s AS at FROM generate_series(1, %(i)s) n) x
       JOIN pg_temp.titles t ON t.n = x.n %% %(titles)s""",
    """INSERT INTO feedback_complaint (workspace_id, product_id, text, kind, is_churn_risk, contact_name, contact_email, plan,
         revenue, source, created_at, grams, customer_id, feature_id)
       SELECT %(w)s, %(p)s, t.said, (ARRAY['bug', 'not_understood', 'improvement', 'question', 'praise'])[1 + x.n %% 5],
         x.n %% 40 = 0, '', '', 'team', x.n %% 900, 'api', now() - (%(c)s - x.n) * interval '730 days' / %(c)s, t.grams,
         (SELECT min(id) FROM feedback_customer WHERE workspace_id = %(w)s) + (x.n * 7919::bigint) %% %(customers)s,
         (SELECT min(id) FROM releases_feature WHERE product_id = %(p)s) + x.n %% 20
       FROM generate_series(1, %(c)s) x(n) JOIN pg_temp.texts t ON t.n = x.n %% %(texts)s""",
    """INSERT INTO incidents_report (incident_id, complaint_id, joined_at)
       SELECT (SELECT min(id) FROM incidents_incident WHERE workspace_id = %(w)s) + (n * 104729::bigint) %% %(i)s,
         (SELECT min(id) FROM feedback_complaint WHERE workspace_id = %(w)s) + n, now()
       FROM generate_series(0, %(c)s / 2 - 1) n""",
    """INSERT INTO activity_event (workspace_id, verb, subject_type, subject_id, at, recorded_at, is_untold, detail, by_id)
       SELECT %(w)s, e.verb, 'incidents.incident', i.id, i.opened_at + e.n * interval '3 hours', i.opened_at, false, e.detail::jsonb,
         (SELECT min(user_id) FROM accounts_membership WHERE workspace_id = %(w)s)
       FROM incidents_incident i CROSS JOIN (VALUES
         (0, 'incident.opened', '{}'), (1, 'incident.severity_set', '{"before": {"severity": "low"}, "after": {"severity": "high"}}'),
         (2, 'incident.accepted', '{"before": {"status": "new"}, "after": {"status": "triaged"}}'),
         (3, 'incident.commented', '{}'), (4, 'incident.commented', '{}'), (5, 'incident.started', '{}'),
         (6, 'incident.complaint_joined', '{}'), (7, 'incident.complaint_joined', '{}')) e(n, verb, detail)
       WHERE i.workspace_id = %(w)s ORDER BY 5""",
    """INSERT INTO incidents_update (incident_id, kind, mentioned, text, html, created_at)
       SELECT id, 'comment', '{}', 'Looked at it.', '<p>Looked at it.</p>', opened_at FROM incidents_incident WHERE workspace_id = %(w)s""",
    """INSERT INTO incidents_impact (incident_id, at, numbers, pain, severity)
       SELECT i.id, i.opened_at + n * interval '1 hour', i.impact, i.pain, i.severity
       FROM incidents_incident i CROSS JOIN generate_series(0, 2) n WHERE i.workspace_id = %(w)s""",
    """INSERT INTO metrics_customer_day (product_id, customer, day, signal_id, release_id, environment, uses, failures,
         struggles, last_at)
       SELECT %(p)s, 'c' || (1 + (i.id * 31 + n * 997) %% %(customers)s), i.opened_at::date + n %% 3, i.signal_id, i.release_id,
         'production', 20, 1 + n %% 4, 0, i.opened_at + interval '1 hour'
       FROM incidents_incident i CROSS JOIN generate_series(1, 100) n
       WHERE i.workspace_id = %(w)s AND i.status IN ('new', 'triaged', 'in_progress', 'mitigated', 'snoozed')
       ON CONFLICT DO NOTHING""",
    "VACUUM ANALYZE",
)


