"""The tables Django cannot describe: day partitions and composite keys."""

from django.db import migrations

FORWARD = """
CREATE TABLE metrics_event (
    product_id bigint NOT NULL, at timestamptz NOT NULL, event_id uuid NOT NULL, kind text NOT NULL,
    signal_id bigint NOT NULL, release_id bigint NOT NULL, environment text NOT NULL, user_name text NOT NULL,
    customer text NOT NULL, session text NOT NULL, platform text NOT NULL, plan text NOT NULL, country text NOT NULL,
    n integer NOT NULL, bad integer NOT NULL, value double precision, flags smallint NOT NULL, props jsonb NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX metrics_event_signal ON metrics_event (product_id, signal_id, at);
CREATE INDEX metrics_event_customer ON metrics_event (product_id, customer, at) WHERE customer <> '';

CREATE TABLE metrics_event_seen (
    product_id bigint NOT NULL, event_id uuid NOT NULL, day date NOT NULL,
    PRIMARY KEY (product_id, event_id, day)
) PARTITION BY RANGE (day);

CREATE TABLE metrics_rollup_minute (
    product_id bigint NOT NULL, signal_id bigint NOT NULL, environment text NOT NULL, release_id bigint NOT NULL,
    slice text NOT NULL, bucket timestamptz NOT NULL, n bigint NOT NULL, bad bigint NOT NULL,
    bad_sq double precision NOT NULL, users integer NOT NULL, bad_users integer NOT NULL, timed bigint NOT NULL,
    total double precision NOT NULL, hist bytea,
    PRIMARY KEY (product_id, signal_id, environment, release_id, slice, bucket)
) PARTITION BY RANGE (bucket);
CREATE TABLE metrics_rollup_hour (
    product_id bigint NOT NULL, signal_id bigint NOT NULL, environment text NOT NULL, release_id bigint NOT NULL,
    slice text NOT NULL, bucket timestamptz NOT NULL, n bigint NOT NULL, bad bigint NOT NULL,
    bad_sq double precision NOT NULL, users integer NOT NULL, bad_users integer NOT NULL, timed bigint NOT NULL,
    total double precision NOT NULL, hist bytea,
    PRIMARY KEY (product_id, signal_id, environment, release_id, slice, bucket)
);
CREATE INDEX metrics_rollup_minute_bucket ON metrics_rollup_minute (product_id, bucket);
CREATE INDEX metrics_rollup_hour_bucket ON metrics_rollup_hour (product_id, bucket);

CREATE TABLE metrics_customer_day (
    product_id bigint NOT NULL, customer text NOT NULL, day date NOT NULL, signal_id bigint NOT NULL,
    release_id bigint NOT NULL, environment text NOT NULL, uses bigint NOT NULL, failures bigint NOT NULL,
    struggles bigint NOT NULL, last_at timestamptz NOT NULL,
    PRIMARY KEY (product_id, customer, day, signal_id, release_id, environment)
) WITH (fillfactor = 60);
CREATE INDEX metrics_customer_day_signal ON metrics_customer_day (product_id, signal_id, release_id, day);

CREATE TABLE metrics_user_day (
    product_id bigint NOT NULL, day date NOT NULL, signal_id bigint NOT NULL, release_id bigint NOT NULL,
    environment text NOT NULL, user_hash bigint NOT NULL, bad bigint NOT NULL,
    mark bigint NOT NULL,
    PRIMARY KEY (product_id, day, signal_id, release_id, environment, user_hash)
) PARTITION BY RANGE (day);

CREATE TABLE metrics_counter (
    product_id bigint NOT NULL, series uuid NOT NULL, start double precision NOT NULL, at double precision NOT NULL,
    count double precision NOT NULL, timed jsonb NOT NULL,
    PRIMARY KEY (product_id, series)
) WITH (fillfactor = 60);

ALTER TABLE metrics_inbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
"""

BACKWARD = """
DROP TABLE metrics_event, metrics_event_seen, metrics_rollup_minute, metrics_rollup_hour,
    metrics_customer_day, metrics_user_day, metrics_counter;
"""


class Migration(migrations.Migration):
    dependencies = [("metrics", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
