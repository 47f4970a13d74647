from django.urls import path

from metrics import views

app_name = "metrics"
urlpatterns = [
    path("w/<slug:slug>/data/", views.data, name="data"),
    path("w/<slug:slug>/data/live/", views.watch, name="watch"),
    path("w/<slug:slug>/data/limit/<int:pk>/", views.limit, name="limit"),
    path("w/<slug:slug>/data/keys/<int:pk>/rotate/", views.rotate, name="rotate"),
    path("w/<slug:slug>/data/quarantine/<uuid:batch>/replay/", views.replay, name="replay"),
]
