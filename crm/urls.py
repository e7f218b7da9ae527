from django.urls import path

from crm import account_urls, list_urls, work_urls
from crm.views import contact, hand_overs, lead_forms, leads, opportunities, pipeline, team

urlpatterns = [
    path("contact-sales/", contact.contact_sales, name="contact_sales"),
    path("contact-sales/thanks/", contact.thanks, name="contact_thanks"),
    path("f/<slug:code>/", lead_forms.form, name="lead_form"),
    path("f/<slug:code>/thanks/", lead_forms.thanks, name="lead_form_thanks"),
    path("crm/accounts/<str:account>/opportunities/new/", opportunities.create, name="crm_opportunity_new"),
    path("crm/pipeline/", pipeline.board, name="crm_pipeline"),
    path("crm/pipeline/blocked/", pipeline.blocked, name="crm_blocked"),
    path("crm/pipeline/steps-back/", pipeline.steps_back, name="crm_steps_back"),
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
    path("crm/leads/queue/", leads.queue, name="crm_lead_queue"),
    path("crm/leads/held/", leads.held, name="crm_held_leads"),
    path("crm/leads/held/<str:held>/<slug:decision>/", leads.decide_held, name="crm_held_lead"),
    path("crm/leads/<str:lead>/", leads.show, name="crm_lead"),
    path("crm/leads/<str:lead>/accept/", leads.accept, name="crm_lead_accept"),
    path("crm/leads/<str:lead>/reject/", leads.reject, name="crm_lead_reject"),
    path("crm/leads/<str:lead>/give/", leads.give, name="crm_lead_give"),
    path("crm/leads/<str:lead>/transition/", leads.transition, name="crm_lead_transition"),
    path("crm/team/", team.show, name="crm_team"),
    path("crm/team/leave/<str:leave>/end/", team.end_leave, name="crm_leave_end"),
    path("crm/hand-overs/", hand_overs.listed, name="crm_hand_overs"),
    path("crm/hand-overs/of/<str:leaver>/", hand_overs.prepare, name="crm_hand_over_new"),
    path("crm/hand-overs/<str:hand_over>/", hand_overs.show, name="crm_hand_over"),
    path("crm/hand-overs/<str:hand_over>/undo/", hand_overs.undo, name="crm_hand_over_undo"),
    *account_urls.urlpatterns,
    *list_urls.urlpatterns,
    *work_urls.urlpatterns,
]
