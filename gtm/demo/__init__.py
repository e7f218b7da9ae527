"""A living demonstration company, made by running the real engine through time.

Nearly four months pass in seconds: customers join, are billed on their days, use the product, are noticed and called.
What is left is what the engine itself has written, so that every screen shows what it would show.
"""

from datetime import datetime

from django.conf import settings
from django.core.management import call_command

from billing import gateways
from billing.models import Customer, Plan
from gtm import env
from gtm.demo.company import SIGN_INS
from gtm.demo.story import Summary, tell
from gtm.shared import pulse
from gtm.shared.models import Pulse, User

__all__ = ["SIGN_INS", "Summary", "is_empty", "load", "refusal"]
MARK = "demonstration"


def refusal() -> str:
    """Why the demonstration must not be loaded here, in a sentence; nothing where it may. Its sign-ins are public."""
    if not env.is_loopback(settings.BASE_URL):
        return f"The demonstration's sign-ins are public, and BASE_URL is {settings.BASE_URL}; set DEMO=0."
    if gateways.is_live():
        return "The demonstration is not loaded where a live gateway key is set; set DEMO=0."
    if gateways.has_key():
        return "The demonstration pays by the sandbox, and a gateway key is set; set DEMO=0."
    return ""


def is_empty() -> bool:
    """Whether nobody uses this installation yet; a demonstration that was killed half-way counts for nothing."""
    if _is_unfinished():
        return True
    return not (User.objects.exists() or Plan.objects.exists() or Customer.objects.exists())


def load(*, at: datetime) -> Summary:
    """Make the company as it stands at ``at``; the database is empty but for a demonstration that was killed."""
    if _is_unfinished():
        call_command("flush", interactive=False, verbosity=0)
    pulse.beat(MARK, finished=False)
    summary = tell(now=at)
    pulse.beat(MARK, finished=True)
    return summary


def _is_unfinished() -> bool:
    mark = Pulse.objects.filter(name=MARK).first()
    return mark is not None and not mark.detail.get("finished")
