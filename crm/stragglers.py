"""Rows that somebody wrote for an account at the very moment of its merge, and that it therefore left behind."""

from collections.abc import Mapping
from uuid import UUID

from django.db import transaction

from crm import merges, owners
from crm.models import Account, AccountCustomer, AccountDomain, MergeLog


@transaction.atomic
def gather() -> int:
    """Let rows go over that somebody wrote for an account at the very moment of its merge; how many.

    They stand in the logs of the merges afterwards, so that an undo takes them back, and have the account's owner.
    """
    late = {name: _late(name) for name in merges.GOES_OVER}
    return sum(_carry(key, late) for key in sorted({key for rows in late.values() for key in rows}))


def _late(name: str) -> dict[UUID, list[UUID]]:
    """The rows of one table that name a merged account, by that account."""
    relation = merges.relations()[name]
    model, column = relation.related_model, relation.field.name
    if model in (Account, AccountCustomer, AccountDomain):
        return {}  # written under the account's lock
    found: dict[UUID, list[UUID]] = {}
    rows = model._base_manager.filter(**{f"{column}__in": Account.everything.exclude(merged_into=None)})
    for key, account in rows.values_list("pk", column):
        found.setdefault(account, []).append(key)
    return found


def _carry(merged_id: UUID, late: Mapping[str, Mapping[UUID, list[UUID]]]) -> int:
    """Take one merged account's rows to where it stands now; how many."""
    logs = _way(merged_id)
    if not logs:
        return 0  # undone meanwhile: they are where they belong
    source, target, found, moved = logs[0].merged, logs[-1].survivor, merges.relations(), 0
    for name, rows in late.items():
        keys = merges.move(found[name], source, target, [str(key) for key in rows.get(merged_id, ())])
        moved += len(keys)
        for log in logs if keys else ():
            log.moved[name] = [*log.moved.get(name, ()), *keys]
    for log in logs:
        log.save(update_fields=["moved"])
    owners.bring_along([target.pk])
    return moved


def _way(account_id: UUID) -> list[MergeLog]:
    """The merges from an account to the one that it is now, each locked."""
    logs: list[MergeLog] = []
    standing = MergeLog.objects.select_for_update(of=("self",)).filter(undone_at=None)
    while log := standing.filter(merged=account_id).first():
        logs.append(log)
        account_id = log.survivor_id
    return logs
