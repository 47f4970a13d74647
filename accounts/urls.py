from django.urls import path, re_path

from accounts import views

app_name = "accounts"
urlpatterns = [
    path("me/", views.me, name="me"),
    path("me/password/", views.change_password, name="change_password"),
    path("me/tokens/", views.issue_token, name="issue_token"),
    path("me/tokens/<int:pk>/revoke/", views.revoke_token, name="revoke_token"),
    path("w/<slug:slug>/people/", views.people, name="people"),
    path("w/<slug:slug>/people/invite/", views.invite, name="invite"),
    path("w/<slug:slug>/people/<int:pk>/", views.member, name="member"),
    path("w/<slug:slug>/people/<int:pk>/role/", views.change_role, name="change_role"),
    path("w/<slug:slug>/people/<int:pk>/remove/", views.remove, name="remove"),
    path("w/<slug:slug>/invitations/<int:pk>/revoke/", views.revoke_invitation, name="revoke_invitation"),
    path("invitation/<str:token>/", views.invitation, name="invitation"),
]

#: The names django-allauth looks up, without a namespace.
auth_urlpatterns = [
    path("sign-in/", views.sign_in, name="account_login"),
    path("sign-out/", views.sign_out, name="account_logout"),
    path("sign-up/", views.sign_up, name="account_signup"),
    path("inactive/", views.inactive, name="account_inactive"),
    path("password/change/", views.to_me, name="account_change_password"),
    path("password/set/", views.to_me, name="account_set_password"),
    path("password/reset/", views.reset_password, name="account_reset_password"),
    path("password/reset/done/", views.reset_password_done, name="account_reset_password_done"),
    path(
        "password/reset/key/done/",
        views.reset_password_from_key_done,
        name="account_reset_password_from_key_done",
    ),
    re_path(
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        views.reset_password_from_key,
        name="account_reset_password_from_key",
    ),
]
