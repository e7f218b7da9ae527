"""What founders decide about leads: the forms by which they come, how they are accepted, why they are rejected."""

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from billing.models import Plan
from gtm.shared.models import Row


class LeadForm(Row):
    """A form at ``/f/<code>/`` and on the pages of ``allowed_hosts``. It always asks for name and address."""

    PREFIX = "form"

    class Kind(models.TextChoices):  # those of a lead
        CONTACT_SALES = "contact_sales", "Contact sales"
        DEMO = "demo", "Demo"
        TRIAL = "trial", "Trial"
        INBOUND = "inbound", "Inbound"

    code = models.SlugField(max_length=60, unique=True)
    kind = models.CharField(max_length=20, choices=Kind.choices, default=Kind.DEMO)
    title = models.CharField(max_length=200)
    intro = models.TextField(blank=True, max_length=2000)
    button = models.CharField(max_length=60, blank=True, help_text="Empty: “Send”, in the reader's language.")
    consent_text = models.TextField(
        blank=True, max_length=2000, help_text="Shown beside a box that has to be ticked. Empty: no box."
    )
    thank_you_text = models.TextField(blank=True, max_length=2000)
    thanks_url = models.URLField(
        blank=True, help_text="Where a form of your own page leads after it was sent, on one of the allowed hosts."
    )
    allowed_hosts = ArrayField(
        models.CharField(max_length=260),
        default=list,
        blank=True,
        help_text="Hosts whose pages may show it, such as www.example.com. Empty: only its own page.",
    )
    source = models.CharField(max_length=60, blank=True, help_text="The source of its leads. Empty: form:CODE.")
    active = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.title


class LeadFormField(Row):
    """A field of a form, in its place: one that leads have anyway, or a question of the vendor's own."""

    class Kind(models.TextChoices):
        COMPANY = "company", "Company"
        EMPLOYEE_COUNT = "employee_count", "Number of employees"
        COUNTRY = "country", "Country"
        NEEDS = "needs", "Stated needs"
        MESSAGE = "message", "Message"
        TEXT = "text", "Question: one line"
        LONG_TEXT = "long_text", "Question: several lines"
        CHOICE = "choice", "Question: one of several answers"
        YES_NO = "yes_no", "Question: a box to tick"

    form = models.ForeignKey(LeadForm, on_delete=models.CASCADE, related_name="fields")
    position = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=20, choices=Kind.choices)
    code = models.SlugField(max_length=60, help_text="Names the answer. Of a field that leads have anyway: its kind.")
    label = models.CharField(max_length=200, blank=True, help_text="Empty: ours, in the reader's language.")
    choices = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    required = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["form", "code"], name="crm_leadformfield_once"),
            models.UniqueConstraint(
                fields=["form", "position"],
                name="crm_leadformfield_one_place",
                deferrable=models.Deferrable.DEFERRED,
            ),
        ]

    def __str__(self) -> str:
        return self.label or self.get_kind_display()


class RejectReason(Row):
    """Why a lead is not accepted, and what becomes of it then."""

    PREFIX = "rej"

    class ReturnsTo(models.TextChoices):
        SDR = "sdr", "Back to who qualified it"
        NURTURE = "nurture", "Worth another look later"
        NOBODY = "nobody", "Nobody: it is finished with"

    code = models.SlugField(max_length=60, unique=True)
    label = models.CharField(max_length=200)
    returns_to = models.CharField(max_length=10, choices=ReturnsTo.choices, default=ReturnsTo.NURTURE)
    nurture_days = models.PositiveSmallIntegerField(
        default=90, validators=[MinValueValidator(1), MaxValueValidator(1000)], help_text="Until another look."
    )
    position = models.PositiveSmallIntegerField(default=0)
    active = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.label


class AcceptanceTerms(Row):
    """What a lead of a segment needs to be accepted. The row without a segment holds for those that have none."""

    PREFIX = "acc"

    segment = models.CharField(max_length=40, blank=True, unique=True, help_text="Empty: every other segment.")
    within_months = models.PositiveSmallIntegerField(
        default=12,
        validators=[MinValueValidator(1), MaxValueValidator(60)],
        help_text="By when a path to a funded project has to lead there.",
    )
    needs_pain = models.BooleanField(default=False, help_text="The pain has to be named, also with a compelling event.")
    needs_power = models.BooleanField(
        default=True, help_text="The person has the power to buy, or commits to connect us with it."
    )
    trial_plan = models.ForeignKey(
        Plan, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", help_text="A free trial to offer."
    )

    class Meta:
        verbose_name_plural = "acceptance terms"

    def __str__(self) -> str:
        return self.segment or "Every other segment"
