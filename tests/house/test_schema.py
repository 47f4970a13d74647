"""The OpenAPI document is complete, free of warnings, and says of each operation what it takes."""

from __future__ import annotations

import io
from contextlib import redirect_stderr

import pytest
from django.test import Client
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator

from metrics.intake import own

PROMISED = {
    ("/api/v1/events", "post"),
    ("/api/v1/releases", "get"),
    ("/api/v1/releases", "post"),
    ("/api/v1/releases/{version}/deploys", "get"),
    ("/api/v1/releases/{version}/deploys", "post"),
    ("/api/v1/releases/{version}/health", "get"),
    ("/api/v1/releases/{version}/confusion", "get"),
    ("/api/v1/silent-customers", "get"),
    ("/api/v1/silent-customers/{id}", "patch"),
    ("/api/v1/backtests", "get"),
    ("/api/v1/backtests", "post"),
    ("/api/v1/backtests/{id}", "get"),
    ("/api/v1/rollups", "get"),
    ("/api/v1/regressions", "get"),
    ("/api/v1/incidents", "get"),
    ("/api/v1/incidents/{number}", "get"),
    ("/api/v1/incidents/{number}", "patch"),
    ("/api/v1/incidents/bulk", "post"),
    ("/api/v1/incidents/bulk/{batch}/undo", "post"),
    ("/api/v1/incidents/{number}/updates", "get"),
    ("/api/v1/incidents/{number}/updates", "post"),
    ("/api/v1/incidents/{number}/links", "get"),
    ("/api/v1/incidents/{number}/links", "post"),
    ("/api/v1/incidents/{number}/links/{id}", "delete"),
    ("/api/v1/incidents/{number}/review", "get"),
    ("/api/v1/incidents/{number}/review/items", "post"),
    ("/api/v1/incidents/{number}/review/items/{id}", "patch"),
    ("/api/v1/notices", "get"),
    ("/api/v1/notices/read", "post"),
    ("/api/v1/views", "get"),
    ("/api/v1/views", "post"),
    ("/api/v1/views/{id}", "get"),
    ("/api/v1/views/{id}", "patch"),
    ("/api/v1/views/{id}", "delete"),
    ("/api/v1/complaints", "get"),
    ("/api/v1/complaints", "post"),
    ("/api/v1/complaints/{id}", "get"),
    ("/api/v1/complaints/{id}", "patch"),
    ("/api/v1/customers", "get"),
    ("/api/v1/customers", "post"),
    ("/api/v1/outcomes", "get"),
    ("/api/v1/signals", "get"),
    ("/api/v1/signals/{id}", "get"),
    ("/api/v1/signals/{id}", "patch"),
    ("/api/v1/limits", "get"),
    ("/api/v1/limits", "put"),
}


@pytest.fixture(scope="module")
def schema():
    return SchemaGenerator(api_version="v1").get_schema(request=None, public=True)


def operations(schema):
    return {(path, method) for path, item in schema["paths"].items() for method in item if method != "parameters"}


def test_no_warnings():
    GENERATOR_STATS.reset()
    told = io.StringIO()
    with redirect_stderr(told):
        SchemaGenerator(api_version="v1").get_schema(request=None, public=True)
    assert told.getvalue() == ""
    assert not GENERATOR_STATS


def test_what_was_promised_is_there(schema):
    assert operations(schema) >= PROMISED


def test_nothing_else_is_there(schema):
    """A new operation is added to the list above, and to the route matrix."""
    assert operations(schema) == PROMISED


def test_every_operation_needs_a_token(schema):
    for path, method in PROMISED:
        assert {"bearer": []} in schema["paths"][path][method]["security"], (path, method)
    assert schema["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_operation_ids_are_unique(schema):
    ids = [schema["paths"][path][method]["operationId"] for path, method in PROMISED]
    assert len(set(ids)) == len(ids)


def test_the_events_door_tells_its_fields(schema):
    event = schema["components"]["schemas"]["Event"]
    assert set(event["properties"]) == {field.name for field in own.FIELDS}
    assert event["required"] == ["name"]


def test_references_lead_somewhere(schema):
    def walk(node):
        if isinstance(node, dict):
            if "$ref" in node:
                yield node["$ref"]
            for value in node.values():
                yield from walk(value)
        elif isinstance(node, list):
            for value in node:
                yield from walk(value)

    found = set(walk(schema))
    assert found
    for ref in found:
        name = ref.removeprefix("#/components/schemas/")
        assert name in schema["components"]["schemas"], ref


@pytest.mark.django_db
def test_the_document_is_served_without_a_token():
    response = Client().get("/api/v1/schema/")
    assert response.status_code == 200
    assert b"/api/v1/incidents" in response.content


def test_lists_are_told_as_the_pages_they_are(schema):
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            assert "application/problem+json" in operation["responses"]["default"]["content"], (path, method)
            if method == "get" and operation["operationId"].endswith("_list") and "deploys" not in path:
                shape = operation["responses"]["200"]["content"]["application/json"]["schema"]
                assert set(shape["properties"]) == {"count", "next", "previous", "results"}, path
                assert {"limit", "offset"} <= {each["name"] for each in operation["parameters"]}, path
