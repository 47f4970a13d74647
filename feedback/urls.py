from django.urls import path

from feedback import outreach, views

urlpatterns = [
    path("w/<slug:slug>/complaints/", views.complaints, name="complaints"),
    path("w/<slug:slug>/complaints/<int:pk>/", views.complaint, name="complaint"),
    path("w/<slug:slug>/customers/", views.customers, name="customers"),
    path("w/<slug:slug>/customers/new/", views.edit_customer, name="create_customer"),
    path("w/<slug:slug>/customers/silent/", outreach.silent, name="silent"),
    path("w/<slug:slug>/customers/silent/<int:pk>/", outreach.answer, name="answer_silent"),
    path("w/<slug:slug>/customers/<int:pk>/", views.customer, name="customer"),
    path("w/<slug:slug>/customers/<int:pk>/edit/", views.edit_customer, name="edit_customer"),
]
