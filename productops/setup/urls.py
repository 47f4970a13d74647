from django.urls import path

from productops.setup import views

app_name = "setup"
urlpatterns = [
    path("welcome/", views.welcome, name="welcome"),
    path("w/<slug:slug>/products/new/", views.new_product, name="new_product"),
    path("w/<slug:slug>/start/<int:product>/", views.start, name="start"),
    path("w/<slug:slug>/start/<int:product>/waiting/", views.waiting, name="waiting"),
    path("w/<slug:slug>/start/<int:product>/deploy/", views.deploy, name="deploy"),
]
