from django.apps import AppConfig


class AdmitConfig(AppConfig):
    name = "config"
    label = "admit"
    verbose_name = "Admit"

    def ready(self) -> None:
        from config import checks  # noqa: F401 - registers itself
