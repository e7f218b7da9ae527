"""Addresses of Today and of the work at accounts."""

from django.urls import path

from crm.views import emails, inbound_mail, lists, notifications, today, work

urlpatterns = [
    path("today/", today.today, name="today"),
    path("today/step/", today.step, name="today_step"),
    path("today/undo/", today.undo, name="today_undo"),
    path("today/next-step/<str:opportunity>/", today.next_step, name="today_next_step"),
    path("webhooks/inbound-mail/", inbound_mail.receive, name="inbound_mail"),
    path("crm/tasks/", lists.page, {"entity": "task"}, name="crm_tasks"),
    path("crm/tasks/new/", work.new_task, name="crm_task_new"),
    path("crm/tasks/<str:task>/", work.task, name="crm_task"),
    path("crm/tasks/<str:task>/close/", work.close_task, name="crm_task_close"),
    path("crm/accounts/<str:account>/notes/", work.write_note, name="crm_note_new"),
    path("crm/accounts/<str:account>/calls/", work.log_call, name="crm_call_new"),
    path("crm/accounts/<str:account>/mail/", emails.write, name="crm_email_new"),
    path("crm/mail/", emails.unmatched, name="crm_unmatched_mail"),
    path("crm/mail/address/", emails.address, name="crm_logging_address"),
    path("crm/mail/<str:email>/", emails.show, name="crm_email"),
    path("crm/mail/<str:email>/close/", emails.close, name="crm_email_close"),
    path("crm/mail/<str:email>/match/", emails.match, name="crm_email_match"),
    path("crm/notifications/", notifications.listed, name="crm_notifications"),
    path("crm/notifications/read/", notifications.read_all, name="crm_notifications_read"),
    path("crm/notifications/settings/", notifications.choose, name="crm_notifications_choose"),
    path("crm/notifications/<str:notification>/", notifications.read, name="crm_notification_read"),
]
