from django.apps import AppConfig


class ProductopsConfig(AppConfig):
    name = "productops"
