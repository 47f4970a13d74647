from django.urls import path

from productops.health import views

app_name = "releases"

_ONE = "w/<slug:slug>/releases/<int:pk>/"
_SIGNAL = f"{_ONE}signals/<int:signal>/<slug:measure>"

urlpatterns = [
    path("w/<slug:slug>/releases/", views.index, name="index"),
    path("w/<slug:slug>/releases/new/", views.create, name="create"),
    path(_ONE, views.health, name="health"),
    path(f"{_ONE}deploy/", views.deploy, name="deploy"),
    path(f"{_ONE}adoption.json", views.adoption_data, name="adoption_data"),
    path(f"{_SIGNAL}/", views.signal, name="signal"),
    path(f"{_SIGNAL}.csv", views.signal_csv, name="signal_csv"),
    path(f"{_SIGNAL}.json", views.signal_data, name="signal_data"),
]
