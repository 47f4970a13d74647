from django.urls import path

from incidents import views

app_name = "incidents"

_ONE = "w/<slug:slug>/triage/<int:number>/"

urlpatterns = [
    path("w/<slug:slug>/triage/", views.index, name="index"),
    path("w/<slug:slug>/triage/report/", views.report, name="report"),
    path(_ONE, views.detail, name="detail"),
    path(f"{_ONE}impact/", views.impact, name="impact"),
    path(f"{_ONE}proof/", views.proof, name="proof"),
    path(f"{_ONE}customers/", views.customers, name="customers"),
    path(f"{_ONE}accept/", views.accept, name="accept"),
    path(f"{_ONE}start/", views.start, name="start"),
    path(f"{_ONE}mitigate/", views.mitigate, name="mitigate"),
    path(f"{_ONE}resolve/", views.resolve, name="resolve"),
    path(f"{_ONE}close/", views.close, name="close"),
    path(f"{_ONE}decline/", views.decline, name="decline"),
    path(f"{_ONE}duplicate/", views.duplicate, name="duplicate"),
    path(f"{_ONE}snooze/", views.snooze, name="snooze"),
    path(f"{_ONE}wake/", views.wake, name="wake"),
    path(f"{_ONE}reopen/", views.reopen, name="reopen"),
    path(f"{_ONE}assign/", views.assign, name="assign"),
    path(f"{_ONE}severity/", views.set_severity, name="set_severity"),
    path(f"{_ONE}comment/", views.comment, name="comment"),
    path(f"{_ONE}undo/<int:event>/", views.undo, name="undo"),
]
