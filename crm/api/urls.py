from crm.api.accounts import AccountViewSet
from crm.api.alerts import AlertViewSet
from crm.api.consolidation import SuggestionViewSet
from crm.api.contacts import ContactViewSet
from crm.api.leads import LeadViewSet
from crm.api.opportunities import OpportunityViewSet, StageViewSet
from crm.api.teams import StaffViewSet, TeamViewSet
from crm.api.work import CallViewSet, EmailViewSet, NoteViewSet, TaskViewSet
from gtm.shared.api.resources import Router

router = Router()
router.register("users", StaffViewSet)
router.register("teams", TeamViewSet)
router.register("accounts", AccountViewSet)
router.register("contacts", ContactViewSet)
router.register("suggestions", SuggestionViewSet)
router.register("leads", LeadViewSet)
router.register("stages", StageViewSet)
router.register("opportunities", OpportunityViewSet)
router.register("alerts", AlertViewSet)
router.register("tasks", TaskViewSet)
router.register("notes", NoteViewSet)
router.register("calls", CallViewSet)
router.register("emails", EmailViewSet)

urlpatterns = router.urls
