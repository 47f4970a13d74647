from django.apps import AppConfig


class ProductopsConfig(AppConfig):
    name = "productops"

    def ready(self) -> None:
        from productops import api  # noqa: F401  registers the bearer scheme of the OpenAPI document
