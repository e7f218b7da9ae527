from django.urls import path

from crm.views import account, bulk_edits, contact, lead_forms, leads, lists, opportunities, pipeline, search, today

urlpatterns = [
    path("contact-sales/", contact.contact_sales, name="contact_sales"),
    path("contact-sales/thanks/", contact.thanks, name="contact_thanks"),
    path("f/<slug:code>/", lead_forms.form, name="lead_form"),
    path("f/<slug:code>/thanks/", lead_forms.thanks, name="lead_form_thanks"),
    path("today/", today.today, name="today"),
    path("today/leads/<str:lead>/", today.answer_lead, name="today_lead"),
    path("crm/alerts/<str:alert>/transition/", today.transition, name="crm_alert_transition"),
    path("crm/accounts/", lists.page, {"entity": "account"}, name="crm_accounts"),
    path("crm/accounts/<str:account>/", account.show, name="crm_account"),
    path("crm/accounts/<str:account>/edit/", account.edit, name="crm_account_edit"),
    path("crm/accounts/<str:account>/take/", account.take, name="crm_account_take"),
    path("crm/bulk/<str:job>/", bulk_edits.show, name="crm_bulk"),
    path("crm/bulk/<str:job>/undo/", bulk_edits.undo, name="crm_bulk_undo"),
    path("crm/lists/<str:entity>/export/", lists.export, name="crm_list_export"),
    path("crm/lists/<str:entity>/bulk/", bulk_edits.draft, name="crm_list_bulk"),
    path("crm/lists/<str:entity>/views/", lists.save_view, name="crm_list_views"),
    path("crm/lists/<str:entity>/<str:row>/<str:column>/", lists.cell, name="crm_list_cell"),
    path("crm/views/<str:view>/", lists.change_view, name="crm_view"),
    path("crm/accounts/<str:account>/opportunities/new/", opportunities.create, name="crm_opportunity_new"),
    path("crm/pipeline/", pipeline.board, name="crm_pipeline"),
    path("crm/opportunities/<str:opportunity>/", opportunities.show, name="crm_opportunity"),
    path("crm/opportunities/<str:opportunity>/edit/", opportunities.edit, name="crm_opportunity_edit"),
    path("crm/opportunities/<str:opportunity>/move/", opportunities.move, name="crm_opportunity_move"),
    path(
        "crm/opportunities/<str:opportunity>/criteria/<str:requirement>/", opportunities.confirm, name="crm_criterion"
    ),
    path(
        "crm/opportunities/<str:opportunity>/stakeholders/", opportunities.add_stakeholder, name="crm_stakeholder_add"
    ),
    path(
        "crm/opportunities/<str:opportunity>/stakeholders/<str:stakeholder>/remove/",
        opportunities.remove_stakeholder,
        name="crm_stakeholder_remove",
    ),
    path("crm/opportunities/<str:opportunity>/risks/", opportunities.add_risk, name="crm_risk_add"),
    path(
        "crm/opportunities/<str:opportunity>/risks/<str:risk>/resolve/",
        opportunities.resolve_risk,
        name="crm_risk_resolve",
    ),
    path("crm/leads/", leads.listed, name="crm_leads"),
    path("crm/leads/<str:lead>/", leads.show, name="crm_lead"),
    path("crm/leads/<str:lead>/transition/", leads.transition, name="crm_lead_transition"),
    path("crm/search/", search.page, name="crm_search"),
    path("crm/search/palette/", search.palette, name="crm_palette"),
]
