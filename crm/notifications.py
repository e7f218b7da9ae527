"""What members of staff are told: in the bell for everybody, by mail for who asks for it.

Reading them is nobody else's business: no facts are published of that.
"""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.urls import reverse

from crm.models import Account, Notification, NotificationSetting
from gtm.shared import mail
from gtm.shared.errors import Invalid
from gtm.shared.models import User

MORNING = 8
KINDS = tuple(Notification.Kind.values)


def tell(found: Iterable[Notification]) -> list[Notification]:
    """Write them down, but for kinds that their readers have muted, and mail those who want mail; two queries."""
    rows = list(found)
    kept = (
        NotificationSetting.objects.filter(user__in={row.user_id for row in rows}).in_bulk(field_name="user_id")
        if rows
        else {}
    )
    wanted = [row for row in rows if row.user_id not in kept or row.kind not in kept[row.user_id].muted]
    Notification.objects.bulk_create(wanted, ignore_conflicts=True)
    for row in wanted:
        if row.user_id in kept and row.kind in kept[row.user_id].mailed:
            _mail(row)
    return wanted


def _mail(row: Notification) -> None:
    """Only that there is something: what it says is read by whoever may see the account when they look."""
    mail.queue(
        event=None,
        recipient=row.user.email,
        template="notification",
        context={"heading": row.get_kind_display(), "address": settings.BASE_URL + reverse("crm_notifications")},
        locale=row.user.locale,
        account_id=row.account_id,
        test_clock_id=row.test_clock_id,
    )


def of(user: User) -> QuerySet[Notification]:
    """Newest first, with what they are about."""
    related = Notification.objects.of(user).select_related("account", "note", "task", "email", "email__contact")
    return related.order_by("-told_at", "-id")


def unread(user: User) -> int:
    return Notification.objects.of(user).filter(read_at=None).count()


def read(*, user: User, at: datetime, ids: Collection[UUID] | None = None) -> int:
    """Mark the user's own as read: those named, or all; how many were unread."""
    found = Notification.objects.filter(user=user, read_at=None)
    return (found if ids is None else found.filter(pk__in=ids)).update(read_at=at)


# --- how ---------------------------------------------------------------------------------------
def setting_of(user: User) -> NotificationSetting:
    return NotificationSetting.objects.filter(user=user).first() or NotificationSetting(user=user)


@transaction.atomic
def choose(*, user: User, muted: Collection[str], mailed: Collection[str], digest: bool) -> NotificationSetting:
    """What to be told, what of that by mail at once, and whether by one mail each morning. Raises Invalid."""
    if unknown := (set(muted) | set(mailed)) - set(KINDS):
        raise Invalid(f"There is no kind {sorted(unknown)[0]!r}.", attr="muted")
    if both := set(muted) & set(mailed):
        raise Invalid(f"What is muted can't be mailed: {', '.join(sorted(both))}.", attr="mailed")
    chosen: dict[str, Any] = {"muted": sorted(muted), "mailed": sorted(mailed), "digest": digest}
    return NotificationSetting.objects.update_or_create(user=user, defaults=chosen)[0]


@transaction.atomic
def send_digests(*, at: datetime) -> int:
    """One mail each morning to who asked for it and has something unread; how many were written.

    The day is noted with the mail, so that a second run on the same morning writes nothing.
    """
    found = NotificationSetting.objects.filter(digest=True, user__is_active=True).select_related("user")
    due = [one for one in found.select_for_update(of=("self",), skip_locked=True) if _is_morning(one, at)]
    unread = Count("notifications", filter=Q(notifications__read_at=None, notifications__test_clock=None))
    counts = dict(User.objects.filter(pk__in=[one.user_id for one in due]).annotate(n=unread).values_list("pk", "n"))
    for one in due:
        if count := counts[one.user_id]:
            _mail_digest(one.user, count)
        one.digest_on = _day(one.user, at).date()
    NotificationSetting.objects.bulk_update(due, ["digest_on"])
    return sum(1 for count in counts.values() if count)


def _day(user: User, at: datetime) -> datetime:
    return at.astimezone(ZoneInfo(user.timezone))


def _is_morning(setting: NotificationSetting, at: datetime) -> bool:
    here = _day(setting.user, at)
    return here.hour >= MORNING and (setting.digest_on is None or setting.digest_on < here.date())


def _mail_digest(user: User, count: int) -> None:
    address = settings.BASE_URL + reverse("crm_notifications")
    context = {"count": count, "address": address}
    mail.queue(event=None, recipient=user.email, template="digest", context=context, locale=user.locale)


def sweep(*, at: datetime, keep: timedelta = timedelta(days=90)) -> int:
    """Forget what was read long ago."""
    return Notification.objects.filter(read_at__lt=at - keep).delete()[0]


def owns(*, account: Account, at: datetime, actor: str) -> None:
    """The account is theirs from now on, by somebody else's doing."""
    if account.owner_id is not None:
        about = {"account_id": account.pk, "test_clock_id": account.test_clock_id}
        tell([new(user_id=account.owner_id, kind=Notification.Kind.ACCOUNT, at=at, actor=actor, **about)])


def new(*, user_id: UUID, kind: str, at: datetime, actor: str, **about: Any) -> Notification:
    """A notification that is not yet written; ``about`` names account, note, task or email, and the test clock."""
    return Notification(user_id=user_id, kind=kind, told_at=at, actor=actor, **about)
