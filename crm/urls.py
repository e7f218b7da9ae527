from django.urls import path

from crm.views import account, accounts, contact, leads, today

urlpatterns = [
    path("contact-sales/", contact.contact_sales, name="contact_sales"),
    path("contact-sales/thanks/", contact.thanks, name="contact_thanks"),
    path("today/", today.today, name="today"),
    path("today/leads/<str:lead>/", today.answer_lead, name="today_lead"),
    path("crm/alerts/<str:alert>/transition/", today.transition, name="crm_alert_transition"),
    path("crm/accounts/", accounts.listed, name="crm_accounts"),
    path("crm/accounts/<str:account>/", account.show, name="crm_account"),
    path("crm/accounts/<str:account>/edit/", account.edit, name="crm_account_edit"),
    path("crm/accounts/<str:account>/take/", account.take, name="crm_account_take"),
    path("crm/leads/", leads.listed, name="crm_leads"),
    path("crm/leads/<str:lead>/", leads.show, name="crm_lead"),
    path("crm/leads/<str:lead>/transition/", leads.transition, name="crm_lead_transition"),
]
