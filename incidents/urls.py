from django.urls import path

from incidents import acting_views, bulk_views, known_views, saved_views, views

app_name = "incidents"

_ALL = "w/<slug:slug>/triage/"
_ONE = f"{_ALL}<int:number>/"

urlpatterns = [
    path("w/<slug:slug>/known/", known_views.known_problems, name="known"),
    path(_ALL, views.index, name="index"),
    path(f"{_ALL}counts/", views.counts, name="counts"),
    path(f"{_ALL}complete/", views.complete, name="complete"),
    path(f"{_ALL}numbers/", views.numbers, name="numbers"),
    path(f"{_ALL}incidents.csv", views.export, name="export"),
    path(f"{_ALL}report/", acting_views.report, name="report"),
    path(f"{_ALL}many/", bulk_views.act, name="act_on_many"),
    path(f"{_ALL}many/<uuid:batch>/undo/", bulk_views.undo, name="undo_many"),
    path(f"{_ALL}views/", saved_views.save_view, name="save_view"),
    path(f"{_ALL}views/<int:pk>/", saved_views.change_view, name="change_view"),
    path(f"{_ALL}views/<int:pk>/remove/", saved_views.remove_view, name="remove_view"),
    path(_ONE, views.detail, name="detail"),
    path(f"{_ONE}impact/", views.impact, name="impact"),
    path(f"{_ONE}proof/", views.proof, name="proof"),
    path(f"{_ONE}customers/", views.customers, name="customers"),
    path(f"{_ONE}accept/", acting_views.accept, name="accept"),
    path(f"{_ONE}start/", acting_views.start, name="start"),
    path(f"{_ONE}mitigate/", acting_views.mitigate, name="mitigate"),
    path(f"{_ONE}resolve/", acting_views.resolve, name="resolve"),
    path(f"{_ONE}close/", acting_views.close, name="close"),
    path(f"{_ONE}decline/", acting_views.decline, name="decline"),
    path(f"{_ONE}duplicate/", acting_views.duplicate, name="duplicate"),
    path(f"{_ONE}snooze/", acting_views.snooze, name="snooze"),
    path(f"{_ONE}wake/", acting_views.wake, name="wake"),
    path(f"{_ONE}reopen/", acting_views.reopen, name="reopen"),
    path(f"{_ONE}assign/", acting_views.assign, name="assign"),
    path(f"{_ONE}severity/", acting_views.set_severity, name="set_severity"),
    path(f"{_ONE}inform/", acting_views.inform, name="inform"),
    path(f"{_ONE}move/", acting_views.move, name="move"),
    path(f"{_ONE}comment/", acting_views.comment, name="comment"),
    path(f"{_ONE}undo/<int:event>/", acting_views.undo, name="undo"),
]
