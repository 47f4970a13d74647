"""What a developer pastes: real address, real key. Code is the same in every language of the hub."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.utils.translation import gettext as _

from metrics.models import IngestKey
from releases.models import Product

#: In the order of the tabs.
TABS = {"sentry": "Sentry SDK", "posthog": "PostHog SDK", "segment": "Segment", "otel": "OpenTelemetry", "curl": "curl"}


@dataclass(frozen=True)
class Snippet:
    id: str
    title: str
    code: str


def snippets(tab: str, key: IngestKey) -> list[Snippet]:
    if tab == "posthog":
        return _posthog(key)
    if tab == "segment":
        return _segment(key)
    if tab == "otel":
        return _opentelemetry(key)
    return _curl(key) if tab == "curl" else _sentry(key)


def _sentry(key: IngestKey) -> list[Snippet]:
    python = f"""import sentry_sdk

sentry_sdk.init(
    dsn="{key.dsn}",
    release="1.0.0",
    environment="production",
    traces_sample_rate=1.0,
)"""
    javascript = f"""import * as Sentry from "@sentry/browser";

Sentry.init({{
  dsn: "{key.dsn}",
  release: "1.0.0",
  environment: "production",
  tracesSampleRate: 1.0,
}});"""
    return [
        Snippet("dsn", "DSN", key.dsn),
        Snippet("python", "Python", python),
        Snippet("javascript", "JavaScript", javascript),
    ]


def _posthog(key: IngestKey) -> list[Snippet]:
    javascript = f"""import posthog from "posthog-js";

posthog.init("{key.key}", {{
  api_host: "{settings.BASE_URL}",
  disable_session_recording: true,
  disable_surveys: true,
}});
posthog.register({{ release: "1.0.0" }});"""
    python = f"""from posthog import Posthog

posthog = Posthog("{key.key}", host="{settings.BASE_URL}")
posthog.capture(
    "checkout",
    distinct_id="user-1",
    properties={{"release": "1.0.0"}},
)"""
    return [Snippet("javascript", "JavaScript", javascript), Snippet("python", "Python", python)]


def _segment(key: IngestKey) -> list[Snippet]:
    javascript = f"""import {{ AnalyticsBrowser }} from "@segment/analytics-next";

const analytics = AnalyticsBrowser.load({{
  writeKey: "{key.key}",
  cdnURL: "{settings.BASE_URL}",
}});
analytics.track("checkout", {{ release: "1.0.0", ok: true }});"""
    python = f"""import segment.analytics as analytics

analytics.write_key = "{key.key}"
analytics.host = "{settings.BASE_URL}"
analytics.track("user-1", "checkout", {{"release": "1.0.0", "ok": True}})"""
    return [Snippet("javascript", "JavaScript", javascript), Snippet("python", "Python", python)]


def _opentelemetry(key: IngestKey) -> list[Snippet]:
    code = f"""export OTEL_SERVICE_NAME="my-product"
export OTEL_RESOURCE_ATTRIBUTES="service.version=1.0.0,deployment.environment.name=production"
export OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf"
export OTEL_EXPORTER_OTLP_ENDPOINT="{settings.BASE_URL}"
export OTEL_EXPORTER_OTLP_HEADERS='authorization=Bearer%20{key.key}'"""
    return [Snippet("otel", _("Environment of your service"), code)]


def _curl(key: IngestKey) -> list[Snippet]:
    code = f"""curl {settings.BASE_URL}/api/v1/events \\
  -H "Authorization: Bearer {key.key}" \\
  -H "Content-Type: application/json" \\
  -d '{{"name": "checkout", "ok": true, "duration_ms": 240,
       "user": "user-1", "release": "1.0.0"}}'"""
    return [Snippet("curl", _("One event"), code)]


def deploy_snippet(product: Product) -> Snippet:
    api = f"{settings.BASE_URL}/api/v1/releases"
    code = f"""AUTH="Authorization: Bearer $PRODUCTOPS_TOKEN"
TYPE="Content-Type: application/json"
curl {api} -H "$AUTH" -H "$TYPE" \\
  -d '{{"product": "{product.slug}", "version": "1.0.0"}}'
curl {api}/1.0.0/deploys -H "$AUTH" -H "$TYPE" \\
  -d '{{"product": "{product.slug}", "environment": "production", "percentage": 100}}'"""
    return Snippet("deploy", _("For CI"), code)
