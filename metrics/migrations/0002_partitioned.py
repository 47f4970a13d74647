"""The tables Django cannot describe: day partitions and composite keys."""

from django.db import migrations

FORWARD = """
CREATE TABLE metrics_event (
    product_id bigint NOT NULL, signal_id bigint NOT NULL, first_at timestamptz NOT NULL,
    chunk_id bigserial NOT NULL, last_at timestamptz NOT NULL, n integer NOT NULL, bad integer NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (product_id, signal_id, first_at, chunk_id)
) PARTITION BY RANGE (first_at);
ALTER TABLE metrics_event ALTER body SET STORAGE EXTERNAL;

CREATE TABLE metrics_event_seen (
    product_id bigint NOT NULL, event bigint NOT NULL, day date NOT NULL,
    PRIMARY KEY (product_id, event, day)
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
CREATE INDEX metrics_rollup_minute_whole ON metrics_rollup_minute (product_id, bucket) WHERE slice = '';
CREATE INDEX metrics_rollup_hour_whole ON metrics_rollup_hour (product_id, bucket) WHERE slice = '';

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

CREATE TABLE metrics_inbox (
    product_id bigint NOT NULL, batch_id uuid NOT NULL, seq bigserial NOT NULL, protocol text NOT NULL,
    events integer NOT NULL, body bytea NOT NULL, digest bytea, received_at timestamptz NOT NULL,
    attempts smallint NOT NULL DEFAULT 0, lease uuid, lease_until timestamptz, error text NOT NULL DEFAULT '',
    PRIMARY KEY (product_id, batch_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
ALTER TABLE metrics_inbox ALTER body SET STORAGE EXTERNAL;
CREATE INDEX metrics_inbox_order ON metrics_inbox (product_id, seq);

CREATE TABLE metrics_processed_batch (
    product_id bigint NOT NULL, batch_id uuid NOT NULL, digest bytea NOT NULL, at timestamptz NOT NULL,
    PRIMARY KEY (product_id, batch_id)
);
CREATE INDEX metrics_processed_batch_at ON metrics_processed_batch (at);

CREATE TABLE metrics_quarantine (
    product_id bigint NOT NULL, batch_id uuid NOT NULL, protocol text NOT NULL, events integer NOT NULL,
    body bytea NOT NULL, digest bytea, received_at timestamptz NOT NULL, error text NOT NULL, at timestamptz NOT NULL,
    PRIMARY KEY (product_id, batch_id)
);

CREATE TABLE metrics_outcome (
    product_id bigint NOT NULL, hour timestamptz NOT NULL, protocol text NOT NULL, category text NOT NULL,
    outcome text NOT NULL, reason text NOT NULL DEFAULT '', n bigint NOT NULL,
    PRIMARY KEY (product_id, hour, protocol, category, outcome, reason)
) WITH (fillfactor = 60);

CREATE TABLE metrics_arrival (
    product_id bigint NOT NULL, id bigserial NOT NULL, received_at timestamptz NOT NULL, protocol text NOT NULL,
    kind text NOT NULL, outcome text NOT NULL, flags smallint NOT NULL, event jsonb NOT NULL,
    PRIMARY KEY (product_id, id)
);

CREATE TABLE metrics_refusal (
    product_id bigint NOT NULL, id bigserial NOT NULL, at timestamptz NOT NULL, protocol text NOT NULL,
    status smallint NOT NULL, reason text NOT NULL, detail text NOT NULL, client text NOT NULL,
    PRIMARY KEY (product_id, id)
);
CREATE INDEX metrics_refusal_at ON metrics_refusal (product_id, at);
"""

BACKWARD = """
DROP TABLE metrics_event, metrics_event_seen, metrics_rollup_minute, metrics_rollup_hour,
    metrics_customer_day, metrics_user_day, metrics_counter, metrics_inbox, metrics_processed_batch,
    metrics_quarantine, metrics_outcome, metrics_arrival, metrics_refusal;
"""


class Migration(migrations.Migration):
    dependencies = [("metrics", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
