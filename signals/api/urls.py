from gtm.shared.api.resources import Router
from signals.api.resources import SignalViewSet, TriggerRuleViewSet

router = Router()
router.register("signals", SignalViewSet)
router.register("trigger_rules", TriggerRuleViewSet)
urlpatterns = router.urls
