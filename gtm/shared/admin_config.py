from django.contrib.admin.apps import AdminConfig


class TandemAdminConfig(AdminConfig):
    default_site = "gtm.shared.admin_site.TandemAdminSite"
