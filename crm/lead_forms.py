"""Forms by which leads come in: made and changed by founders, and what their visitors said brought to a lead."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from crm import embedding
from crm.models import LeadForm, LeadFormField
from gtm.shared import db, outbox, saving
from gtm.shared.errors import Conflict, Invalid

Kind = LeadFormField.Kind
OF_LEADS = (Kind.COMPANY, Kind.EMPLOYEE_COUNT, Kind.COUNTRY, Kind.NEEDS, Kind.MESSAGE)
RESERVED = frozenset({"name", "email", "consent", "opened", "referral_code", "language", *OF_LEADS})
MOST_FIELDS, MOST_CHOICES = 30, 30
INSTALLED_FIELDS = ((Kind.COMPANY, True), (Kind.EMPLOYEE_COUNT, True), (Kind.COUNTRY, False), (Kind.MESSAGE, False))


@dataclass(frozen=True, slots=True)
class FieldTerms:
    """One field of a form: what leads have anyway, or a question with a label; ``choices`` where one is chosen."""

    kind: str
    code: str = ""
    label: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False


# --- kept by founders --------------------------------------------------------------------------
@transaction.atomic
def create(*, at: datetime, fields: Sequence[FieldTerms] | None = None, **said: Any) -> LeadForm:
    """Publishes ``crm.lead_form.created``. Without ``fields`` it asks for company, size, country and a message.

    Raises Invalid for a code that is taken, a host that is none, a way to elsewhere after it was sent, and for fields
    that don't fit.
    """
    form = LeadForm(**_tidy(said))
    _check(form)
    saving.insert(form)
    _write_fields(
        form, [FieldTerms(kind, required=needed) for kind, needed in INSTALLED_FIELDS] if fields is None else fields
    )
    outbox.publish("crm.lead_form.created", form, at=at, data=_told(form))
    return form


@transaction.atomic
def change(*, form: LeadForm, at: datetime, fields: Sequence[FieldTerms] | None = None, **changes: Any) -> LeadForm:
    """Its code stays: it stands in pages elsewhere. ``fields`` is the whole new list. Raises as ``create`` does."""
    assert "code" not in changes, "a form keeps its code"
    form = db.lock_one(form)
    changed = {name for name, value in _tidy(changes).items() if getattr(form, name) != value}
    for name in changed:
        setattr(form, name, _tidy(changes)[name])
    _check(form)
    saving.clean(form)
    form.save(update_fields=changed)
    if fields is not None and list(fields) != terms(form):
        form.fields.all().delete()
        _write_fields(form, fields)
        changed.add("fields")
    if changed:
        outbox.publish("crm.lead_form.changed", form, at=at, data={**_told(form), "changed": sorted(changed)})
    return form


@transaction.atomic
def remove(*, form: LeadForm, at: datetime) -> None:
    """Raises Conflict when somebody has used it."""
    form = db.lock_one(form)
    if form.leads.exists() or form.held.exists():
        raise Conflict("Leads came by this form. Make it inactive instead.", code="in_use")
    outbox.publish("crm.lead_form.removed", form, at=at, data={"code": form.code})
    form.delete()


def terms(form: LeadForm) -> list[FieldTerms]:
    """Its fields, in their order."""
    rows = form.fields.order_by("position")
    return [FieldTerms(row.kind, row.code, row.label, tuple(row.choices), row.required) for row in rows]


def _tidy(said: Mapping[str, Any]) -> dict[str, Any]:
    """Hosts as browsers name them, each once. Raises Invalid for one that is none."""
    if "allowed_hosts" not in said:
        return dict(said)
    hosts = []
    for text in said["allowed_hosts"]:
        found = embedding.host(text)
        if found is None:
            raise Invalid(f"“{text}” is no host. Write it as in www.example.com.", attr="allowed_hosts")
        hosts.append(found)
    return {**said, "allowed_hosts": list(dict.fromkeys(hosts))}


def _check(form: LeadForm) -> None:
    if form.thanks_url and not embedding.admits(form.allowed_hosts, form.thanks_url):
        raise Invalid("This page has to be on one of the allowed hosts.", attr="thanks_url")


def _write_fields(form: LeadForm, fields: Sequence[FieldTerms]) -> None:
    if len(fields) > MOST_FIELDS:
        raise Invalid(f"At most {MOST_FIELDS} fields: who asks for less is told more.", attr="fields")
    rows = [_row(form, place, field) for place, field in enumerate(fields)]
    codes = [row.code for row in rows]
    if twice := next((code for code in codes if codes.count(code) > 1), None):
        raise Invalid(f"There are two fields “{twice}”.", attr="code")
    LeadFormField.objects.bulk_create(rows)


def _row(form: LeadForm, position: int, field: FieldTerms) -> LeadFormField:
    is_ours = field.kind in OF_LEADS
    code = field.kind if is_ours else field.code
    choices = [choice.strip() for choice in field.choices if choice.strip()]
    if not is_ours and (not code or code in RESERVED):
        raise Invalid("A question needs a code of its own.", attr="code")
    if not is_ours and not field.label.strip():
        raise Invalid("Write the question.", attr="label")
    if (field.kind == Kind.CHOICE) != (len(choices) > 1) or len(choices) > MOST_CHOICES:
        raise Invalid(f"Give 2 to {MOST_CHOICES} answers to choose from, and none elsewhere.", attr="choices")
    row = LeadFormField(
        form=form,
        position=position,
        kind=field.kind,
        code=code,
        label=field.label.strip(),
        choices=choices,
        required=field.required,
    )
    saving.clean(row)
    return row


def _told(form: LeadForm) -> dict[str, Any]:
    return {"code": form.code, "kind": form.kind, "active": form.active, "hosts": len(form.allowed_hosts)}


# --- what visitors said ------------------------------------------------------------------------
def as_lead(form: LeadForm, said: Mapping[str, Any], *, at: datetime) -> dict[str, Any]:
    """What a visitor said, by the codes of the fields, as ``leads.submit`` takes it and as JSON holds it."""
    answers = [
        {"code": field.code, "label": field.label, "answer": said[field.code]}
        for field in terms(form)
        if field.kind not in OF_LEADS and said.get(field.code) not in (None, "", False)
    ]
    asked = {name: said[name] for name in ("name", "email", *OF_LEADS) if said.get(name) not in (None, "", [])}
    consent = {"text": form.consent_text, "at": at.isoformat()} if form.consent_text and said.get("consent") else {}
    return {
        **{str(name): value for name, value in asked.items()},
        "kind": form.kind,
        "source": form.source or f"form:{form.code}"[:60],
        "answers": answers,
        "consent": consent,
    }
