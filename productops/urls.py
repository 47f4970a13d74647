"""Every address. What is under /api/v1/events, /api/<id>/envelope/, /batch/ … is the door's (asgi.py)."""

from django.urls import include, path
from django.views.decorators.cache import cache_control
from drf_spectacular.views import SpectacularAPIView

from accounts.access import anyone
from accounts.urls import auth_urlpatterns
from feedback.api import Customers, OneSilence, Silences
from feedback.urls import urlpatterns as feedback_patterns
from incidents import quicklog_views
from incidents.api import Incidents, OneIncident
from incidents.bulk_api import ManyIncidents, UndoMany
from incidents.quicklog_api import Complaints, OneComplaint
from incidents.saved_views_api import OneSavedView, SavedViews
from incidents.story_api import Actions, Links, OneAction, OneLink, OneReview, Updates
from metrics.api import Limits, Outcomes, Regressions, Rollups
from metrics.backtests_api import Backtests, OneBacktest
from metrics.signals_api import OneSignal, Signals
from productops import views
from productops.health.api import Health, ReleaseConfusion
from productops.inbox_api import Notices, ReadNotices
from releases import sentry_cli as cli
from releases.api import Deploys, Releases

handler400 = "productops.errors.bad_request"
handler403 = "productops.errors.forbidden"
handler404 = "productops.errors.not_found"
handler500 = "productops.errors.server_error"

# The quick log looks at incidents too, so its views live above feedback; its address does not.
_log = [
    path("w/<slug:slug>/log/", quicklog_views.log, name="log"),
    path("w/<slug:slug>/log/matches/", quicklog_views.matches, name="matches"),
    path("w/<slug:slug>/complaints/<int:pk>/edit/", quicklog_views.correct, name="correct"),
    path("w/<slug:slug>/complaints/<int:pk>/retract/", quicklog_views.retract, name="retract"),
    path("w/<slug:slug>/log/customers/", quicklog_views.customers, name="who"),
]

api = [
    path("releases", Releases.as_view(), name="releases"),
    path("releases/<path:version>/deploys", Deploys.as_view(), name="deploys"),
    path("releases/<path:version>/confusion", ReleaseConfusion.as_view(), name="confusion"),
    path("releases/<path:version>/health", Health.as_view(), name="health"),
    path("rollups", Rollups.as_view(), name="rollups"),
    path("signals", Signals.as_view(), name="signals"),
    path("signals/<int:pk>", OneSignal.as_view(), name="signal"),
    path("regressions", Regressions.as_view(), name="regressions"),
    path("incidents", Incidents.as_view(), name="incidents"),
    path("incidents/bulk", ManyIncidents.as_view(), name="incidents_bulk"),
    path("incidents/bulk/<uuid:batch>/undo", UndoMany.as_view(), name="incidents_bulk_undo"),
    path("incidents/<int:number>", OneIncident.as_view(), name="incident"),
    path("incidents/<int:number>/updates", Updates.as_view(), name="updates"),
    path("incidents/<int:number>/links", Links.as_view(), name="links"),
    path("incidents/<int:number>/links/<int:pk>", OneLink.as_view(), name="link"),
    path("incidents/<int:number>/review", OneReview.as_view(), name="review"),
    path("incidents/<int:number>/review/items", Actions.as_view(), name="actions"),
    path("incidents/<int:number>/review/items/<int:pk>", OneAction.as_view(), name="action"),
    path("notices", Notices.as_view(), name="notices"),
    path("notices/read", ReadNotices.as_view(), name="notices_read"),
    path("views", SavedViews.as_view(), name="views"),
    path("views/<int:pk>", OneSavedView.as_view(), name="view"),
    path("complaints", Complaints.as_view(), name="complaints"),
    path("complaints/<int:pk>", OneComplaint.as_view(), name="complaint"),
    path("customers", Customers.as_view(), name="customers"),
    path("silent-customers", Silences.as_view(), name="silences"),
    path("silent-customers/<int:pk>", OneSilence.as_view(), name="silence"),
    path("backtests", Backtests.as_view(), name="backtests"),
    path("backtests/<int:pk>", OneBacktest.as_view(), name="backtest"),
    path("limits", Limits.as_view(), name="limits"),
    path("outcomes", Outcomes.as_view(), name="outcomes"),
    path("schema/", cache_control(max_age=300)(anyone(SpectacularAPIView.as_view(api_version="v1"))), name="schema"),
]

_org = "organizations/<str:org>/"

sentry_cli = [
    path("", cli.Info.as_view(), name="info"),
    path(f"{_org}repos/", cli.Nothing.as_view(), name="repos"),
    path(f"{_org}releases/", cli.CliReleases.as_view(), name="releases"),
    path(f"{_org}releases/<path:version>/deploys/", cli.CliDeploys.as_view(), name="deploys"),
    path(f"{_org}releases/<path:version>/previous-with-commits/", cli.Nothing.as_view(empty={}), name="previous"),
    path(f"{_org}releases/<path:version>/", cli.CliRelease.as_view(), name="release"),
    path("projects/<str:org>/<str:project>/releases/", cli.CliReleases.as_view(http_method_names=["get"]), name="of"),
]

urlpatterns = [
    path("", views.home, name="home"),
    path("live", views.live, name="live"),
    path("ready", views.ready, name="ready"),
    path("version", views.version, name="version"),
    path("styleguide/", views.styleguide, name="styleguide"),
    path("w/<slug:slug>/", views.workspace, name="workspace"),
    path("w/<slug:slug>/palette/", views.palette, name="palette"),
    path("", include("accounts.urls")),
    path("", include(auth_urlpatterns)),
    path("", include("productops.setup.urls")),
    path("", include("incidents.urls")),
    path("", include("notices.urls")),
    path("", include((_log + feedback_patterns, "feedback"))),
    path("", include("productops.health.urls")),
    path("", include("metrics.urls")),
    path("api/v1/", include((api, "api"))),
    path("api/0/", include((sentry_cli, "sentry_cli"))),
]
