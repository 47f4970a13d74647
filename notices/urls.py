from django.urls import path

from notices import views

app_name = "notices"

_ALL = "w/<slug:slug>/notices/"

urlpatterns = [
    path(_ALL, views.index, name="index"),
    path(f"{_ALL}read/", views.read, name="read"),
    path(f"{_ALL}settings/", views.settings_of, name="settings"),
]
