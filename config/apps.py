from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class AdmitConfig(AppConfig):
    name = "config"
    label = "admit"
    verbose_name = "Admit"

    def ready(self) -> None:
        from config import checks  # noqa: F401 - registers itself
        from config.admin import registry  # noqa: F401 - the same; the last app is ready last


class AdmitAdminConfig(AdminConfig):
    """The stock admin with our site in place of its own."""

    default_site = "config.admin.site.AdmitSite"
