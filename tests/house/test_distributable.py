"""The rules that let the tables be spread over nodes by product, on whatever PostgreSQL the tests run."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from metrics.distributing import KNOWN, TABLES
from metrics.models import Limit
from tests.conftest import BEYOND_DJANGO

pytestmark = pytest.mark.django_db


def rows(sql: str, *params: object) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


def test_every_intake_and_measure_table_is_named():
    assert set(TABLES) | set(KNOWN) == set(BEYOND_DJANGO)


@pytest.mark.parametrize("table", TABLES)
def test_every_key_begins_with_the_product(table):
    """And partitions inherit them."""
    keys = rows(
        "SELECT i.indexrelid::regclass::text, (SELECT attname FROM pg_attribute WHERE attrelid = i.indrelid"
        " AND attnum = i.indkey[0]) FROM pg_index i WHERE i.indrelid = %s::regclass AND i.indisunique",
        table,
    )
    assert all(first == "product_id" for _index, first in keys), keys
    assert keys


@pytest.mark.parametrize("table", TABLES)
def test_nothing_ties_it_to_another_table(table):
    ties = "SELECT conname FROM pg_constraint WHERE contype = 'f' AND (conrelid = %s::regclass OR confrelid = %s::regclass)"
    assert rows(ties, table, table) == []
    assert rows("SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal", table) == []
    assert rows("SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attidentity <> ''", table) == []


def test_a_database_without_the_extension_says_so():
    if rows("SELECT 1 FROM pg_extension WHERE extname = 'citus'"):
        pytest.skip("this database has it")
    with pytest.raises(CommandError, match="no extension `citus`"):
        call_command("distribute")


@pytest.mark.parametrize("shards", ["0", "-1", "99999"])
def test_odd_numbers_of_shards(shards):
    with pytest.raises(CommandError, match="1 to 1024"):
        call_command("distribute", "--shards", shards)


def test_limits_stay_on_the_coordinator():
    """They point to products, which are not distributed."""
    assert Limit._meta.db_table not in TABLES
