"""Addresses of single accounts, of the people there, and of merges."""

from django.urls import path

from crm.views import account, contacts, decisions, merges

urlpatterns = [
    path("crm/accounts/new/", account.create, name="crm_account_new"),
    path("crm/accounts/<str:account>/", account.show, name="crm_account"),
    path("crm/accounts/<str:account>/edit/", account.edit, name="crm_account_edit"),
    path("crm/accounts/<str:account>/take/", account.take, name="crm_account_take"),
    path("crm/accounts/<str:account>/override/", decisions.override, name="crm_account_override"),
    path("crm/accounts/<str:account>/lock/", decisions.lock, name="crm_account_lock"),
    path("crm/dead-zones/", decisions.in_dead_zones, name="crm_dead_zones"),
    path("crm/accounts/<str:account>/history/", account.history, name="crm_account_history"),
    path("crm/accounts/<str:account>/domains/", account.add_domain, name="crm_account_domains"),
    path("crm/accounts/<str:account>/domains/<str:domain>/", account.change_domain, name="crm_account_domain"),
    path("crm/accounts/<str:account>/parent/", account.place, name="crm_account_parent"),
    path("crm/accounts/<str:account>/contacts/", contacts.create, name="crm_contact_new"),
    path("crm/accounts/<str:account>/merge/", merges.merge, name="crm_account_merge"),
    path("crm/accounts/<str:account>/merges/<str:merge>/undo/", merges.undo, name="crm_merge_undo"),
    path("crm/contacts/<str:contact>/", contacts.show, name="crm_contact"),
    path("crm/contacts/<str:contact>/edit/", contacts.edit, name="crm_contact_edit"),
    path("crm/suggestions/<str:suggestion>/dismiss/", merges.dismiss, name="crm_suggestion_dismiss"),
]
