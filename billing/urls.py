from django.urls import path

from billing.views import checkout, hosted, mail_preferences, portal, portal_documents, pricing

urlpatterns = [
    path("pricing/", pricing.show, name="pricing"),
    path("checkout/<slug:plan>/", checkout.show, name="checkout"),
    path("portal/<str:customer>/", portal.overview, name="portal_overview"),
    path("portal/<str:customer>/usage/", portal.usage, name="portal_usage"),
    path("portal/<str:customer>/plan/", portal.plan, name="portal_plan"),
    path("portal/<str:customer>/invoices/", portal.invoices, name="portal_invoices"),
    path("portal/<str:customer>/invoices/<str:invoice>/", portal.invoice, name="portal_invoice"),
    path("portal/<str:customer>/invoices/<str:invoice>/pdf/", portal_documents.pdf, name="portal_invoice_pdf"),
    path("portal/<str:customer>/invoices/<str:invoice>/xml/", portal_documents.ubl, name="portal_invoice_xml"),
    path("portal/<str:customer>/payments/<str:payment>/receipt/", portal_documents.receipt, name="portal_receipt"),
    path("portal/<str:customer>/credit-notes/<str:note>/pdf/", portal_documents.credit_note, name="portal_credit_note"),
    path("portal/<str:customer>/invoices/<str:invoice>/pay/", portal.pay, name="portal_pay"),
    path("portal/<str:customer>/card/", portal.card, name="portal_card"),
    path("portal/<str:customer>/subscriptions/<str:subscription>/cancellation/", portal.cancel, name="portal_cancel"),
    path("portal/<str:customer>/subscriptions/<str:subscription>/resumption/", portal.resume, name="portal_resume"),
    path("portal/<str:customer>/details/", portal.details, name="portal_details"),
    path("portal/<str:customer>/prompts/<uuid:prompt>/dismissal/", portal.dismiss, name="portal_dismiss"),
    path("portal/<str:customer>/mail/", mail_preferences.of_member, name="portal_mail"),
    path("i/<str:token>/", hosted.show, name="hosted_invoice"),
    path("i/<str:token>/pdf/", hosted.pdf, name="hosted_invoice_pdf"),
    path("i/<str:token>/xml/", hosted.xml, name="hosted_invoice_xml"),
    path("i/<str:token>/receipts/<str:payment>/", hosted.receipt, name="hosted_receipt"),
    path("i/<str:token>/credit-notes/<str:note>/", hosted.credit_note, name="hosted_credit_note"),
    path("i/<str:token>/payment/", hosted.pay, name="hosted_pay"),
    path("i/<str:token>/po-number/", hosted.purchase_order, name="hosted_purchase_order"),
    path("i/<str:token>/link/", hosted.fresh, name="hosted_fresh"),
    path("mail/<str:token>/", mail_preferences.preferences, name="mail_preferences"),
    path("mail/<str:token>/unsubscription/", mail_preferences.unsubscription, name="mail_unsubscription"),
]
