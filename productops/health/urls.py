from django.urls import path

from productops.health import backtest, confusion, fault, history, tune, views, watch_room

app_name = "releases"

_ONE = "w/<slug:slug>/releases/<int:pk>/"
_SIGNAL = f"{_ONE}signals/<int:signal>/<slug:measure>"

urlpatterns = [
    path("w/<slug:slug>/releases/", views.index, name="index"),
    path("w/<slug:slug>/releases/new/", views.create, name="create"),
    path("w/<slug:slug>/releases/backtest/", backtest.backtest, name="backtest"),
    path("w/<slug:slug>/releases/backtest/run/", backtest.run, name="run_backtest"),
    path("w/<slug:slug>/releases/backtest/<int:pk>.csv", backtest.backtest_csv, name="backtest_csv"),
    path("w/<slug:slug>/releases/errors/<int:pk>/", fault.fault, name="fault"),
    path("w/<slug:slug>/releases/signals/<int:pk>/tune/", tune.tune, name="tune"),
    path("w/<slug:slug>/releases/signals/<int:pk>/preview/", tune.preview, name="preview"),
    path("w/<slug:slug>/releases/confusion/<int:pk>/", confusion.answer, name="answer_confusion"),
    path(f"{_ONE}confusion/", confusion.confusion, name="confusion"),
    path(_ONE, views.health, name="health"),
    path(f"{_ONE}watch/", watch_room.watch, name="watch"),
    path(f"{_ONE}watch/call/", watch_room.call, name="call"),
    path(f"{_ONE}watch/follow/", watch_room.follow, name="follow"),
    path(f"{_ONE}history/", history.history, name="history"),
    path(f"{_ONE}history/<int:judgement>.json", history.questions, name="questions"),
    path(f"{_ONE}touch/", views.touch, name="touch"),
    path(f"{_ONE}deploy/", views.deploy, name="deploy"),
    path(f"{_ONE}adoption.json", views.adoption_data, name="adoption_data"),
    path(f"{_SIGNAL}/", views.signal, name="signal"),
    path(f"{_SIGNAL}.csv", views.signal_csv, name="signal_csv"),
    path(f"{_SIGNAL}.json", views.signal_data, name="signal_data"),
]
