"""What the demonstration knows of companies beside what they buy."""

from datetime import datetime, timedelta

from crm import accounts, contacts, custom_fields, hierarchy, target_list


def know(*, now: datetime) -> None:
    """A field of the founders' own, a group of companies, somebody of one company at another account, a target list."""
    at = now - timedelta(days=9)
    words = ["Likely", "Open", "In doubt"]
    custom_fields.create(at=at, entity="account", code="renewal", label="Renewal", kind="choice", choices=words)
    bank = accounts.for_domain(domain="meridian.example", at=at)
    accounts.change(account=bank, at=at, custom={"renewal": "Likely"}, is_referenceable=True)
    trust = accounts.create(name="Meridian Trust", domain="meridian-trust.example", at=at)
    group = accounts.create(name="Meridian Group", domain="meridian-group.example", at=at)
    hierarchy.place(account=bank, parent=group, at=at)
    for account, name, role in ((bank, "Otis Grant", "economic_buyer"), (trust, "Lena Ortiz", "champion")):
        address = f"{name.split()[0].lower()}@meridian.example"
        contacts.create(account=account, at=at, name=name, email=address, buying_role=role)
    target_list.upload(lines=["vantage.example", "northgate.example", "harborline.example"], at=at)
