"""Puts the door's own endpoint, which is not a Django view, into the OpenAPI document; and the bearer scheme."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from metrics.intake import own


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[misc, no-untyped-call]
    target_class = "accounts.api_auth.BearerToken"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "po_pat_…"}


_PAGING = [
    {"name": name, "in": "query", "schema": {"type": "integer", "minimum": least}, "description": meaning}
    for name, least, meaning in (("limit", 1, "rows of a page, 500 at most"), ("offset", 0, "rows before it"))
]
#: Lists that come whole.
_WHOLE = {"deploys_list"}


def say_pages_and_problems(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """A drf-spectacular post-processing hook: how lists are paged, and how anything may be refused."""
    told = {"schema": {"$ref": "#/components/schemas/Problem"}}
    problem = {"description": "It was refused; why.", "content": {"application/problem+json": told}}
    for operation in [each for path in result["paths"].values() for each in path.values()]:
        operation["responses"]["default"] = problem
        name = operation["operationId"]
        if name.endswith("_list") and name not in _WHOLE:
            media = operation["responses"]["200"]["content"]["application/json"]
            media["schema"] = _page(media["schema"])
            operation.setdefault("parameters", []).extend(_PAGING)
    return result


def _page(rows: dict[str, Any]) -> dict[str, Any]:
    address = {"type": "string", "format": "uri", "nullable": True}
    return {
        "type": "object",
        "required": ["count", "results"],
        "properties": {"count": {"type": "integer"}, "next": address, "previous": address, "results": rows},
    }


def add_events_door(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """A drf-spectacular post-processing hook."""
    schemas = result["components"].setdefault("schemas", {})
    schemas["Event"] = {
        "type": "object",
        "required": [field.name for field in own.FIELDS if field.required],
        "properties": {
            field.name: {**_schema(field.type), "description": field.meaning} for field in own.FIELDS
        },
    }
    schemas["Problem"] = {
        "type": "object",
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
        },
    }
    events = {"type": "array", "items": {"$ref": "#/components/schemas/Event"}}
    problem = {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    result["paths"]["/api/v1/events"] = {
        "post": {
            "operationId": "events_send",
            "description": "Usage facts as a JSON list, {\"events\": [...]} or NDJSON. All are taken or none."
            " Authorize with the product's ingest key, or with a personal token and ?product=.",
            "tags": ["events"],
            "security": [{"bearer": []}],
            "parameters": [
                {"name": "product", "in": "query", "schema": {"type": "string"}},
                {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}},
            ],
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": events},
                    "application/x-ndjson": {"schema": {"type": "string"}},
                },
            },
            "responses": {
                "200": {
                    "description": "Stored.",
                    "content": {
                        "application/json": {
                            "schema": {"type": "object", "properties": {"accepted": {"type": "integer"}}}
                        }
                    },
                },
                "400": {"description": "Broken; says where. Nothing was stored.", **problem},
                "401": {"description": "Unknown or revoked key.", **problem},
                "413": {"description": "Too large.", **problem},
            },
        }
    }
    return result


def _schema(type_: str) -> dict[str, Any]:
    """own.FIELDS names JSON types, "string|number" for either."""
    names = type_.split("|")
    return {"type": names[0]} if len(names) == 1 else {"oneOf": [{"type": name} for name in names]}
