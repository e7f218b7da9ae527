from django.contrib.admin.apps import SimpleAdminConfig


class TandemAdminConfig(SimpleAdminConfig):
    """The back office, whose pages are read with the addresses: workers and commands do without them."""

    default_site = "gtm.shared.admin_site.TandemAdminSite"
