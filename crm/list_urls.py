"""Addresses of lists, bulk edits, imports and search."""

from django.urls import path

from crm.views import bulk_edits, imports, lists, search

urlpatterns = [
    path("crm/accounts/", lists.page, {"entity": "account"}, name="crm_accounts"),
    path("crm/contacts/", lists.page, {"entity": "contact"}, name="crm_contacts"),
    path("crm/leads/", lists.page, {"entity": "lead"}, name="crm_leads"),
    path("crm/opportunities/", lists.page, {"entity": "opportunity"}, name="crm_opportunities"),
    path("crm/bulk/<str:job>/", bulk_edits.show, name="crm_bulk"),
    path("crm/bulk/<str:job>/undo/", bulk_edits.undo, name="crm_bulk_undo"),
    path("crm/imports/", imports.listed, name="crm_imports"),
    path("crm/imports/<str:job>/", imports.show, name="crm_import"),
    path("crm/imports/<str:job>/start/", imports.start, name="crm_import_start"),
    path("crm/imports/<str:job>/undo/", imports.undo, name="crm_import_undo"),
    path("crm/imports/<str:job>/discard/", imports.discard, name="crm_import_discard"),
    path("crm/imports/<str:job>/refused/", imports.refused, name="crm_import_refused"),
    path("crm/lists/<str:entity>/export/", lists.export, name="crm_list_export"),
    path("crm/lists/<str:entity>/bulk/", bulk_edits.draft, name="crm_list_bulk"),
    path("crm/lists/<str:entity>/views/", lists.save_view, name="crm_list_views"),
    path("crm/lists/<str:entity>/<str:row>/<str:column>/", lists.cell, name="crm_list_cell"),
    path("crm/search/", search.page, name="crm_search"),
    path("crm/search/palette/", search.palette, name="crm_palette"),
    path("crm/views/<str:view>/", lists.change_view, name="crm_view"),
]
