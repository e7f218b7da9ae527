"""Who is in the demonstration: the vendor's people, its customers and what becomes of them. Data only.

The vendor, Brightwater, sells an API by subscription. Every domain ends in ``.example``: no mail can reach anybody.
"""

from dataclasses import dataclass
from decimal import Decimal

from gtm.shared.models import Role

PASSWORD = "tandem-demo-2026"  # noqa: S105 -- public on purpose; refused off loopback
DOMAIN = "brightwater.example"
FEATURE = "api_calls"
METER = "api_calls"
EVENT = "api.call"
PORTAL_CUSTOMER, PORTAL_EMAIL = "Quarry Analytics", "mira@quarry.example"


@dataclass(frozen=True, slots=True)
class Staff:
    key: str
    name: str
    title: str
    roles: tuple[str, ...]

    @property
    def email(self) -> str:
        return f"{self.key}@{DOMAIN}"


STAFF = (
    Staff("founder", "Dana Whitlock", "Founder", (Role.FOUNDER,)),
    Staff("manager", "Marcus Hale", "Sales manager", (Role.SALES_MANAGER,)),
    Staff("ana", "Ana Ferreira", "Account executive", (Role.AE,)),
    Staff("ben", "Ben Okoro", "Account executive", (Role.AE,)),
    Staff("csm", "Clara Jensen", "Customer success manager", (Role.CSM,)),
    Staff("sdr", "Sam Patel", "Sales development rep", (Role.SDR,)),
)
SIGN_INS = (
    *((person.title, person.email, PASSWORD) for person in STAFF),
    (f"Customer, {PORTAL_CUSTOMER}", PORTAL_EMAIL, PASSWORD),
)


@dataclass(frozen=True, slots=True)
class Offer:
    """A plan. Amounts in minor units of USD; ``seats`` sells by seat; ``calls`` a month and seat, None: no limit."""

    code: str
    name: str
    description: str
    mode: str
    monthly: int | None
    yearly: int | None
    calls: int | None
    features: tuple[str, ...] = ()
    seats: bool = False
    talk_to_us: bool = False
    included: int = 0
    overage: Decimal | None = None
    trial_days: int = 0
    for_sale: bool = True


FEATURES = (
    ("sso", "Single sign-on"),
    ("audit_log", "Audit log"),
    ("priority_support", "Priority support"),
)
OFFERS = (
    Offer("starter", "Starter", "For a first integration.", "self_serve", 2900, 29000, 1_000),
    Offer(
        "pro", "Pro", "For a product in daily use.", "self_serve", 9900, 99000, 10_000, ("audit_log",), trial_days=14
    ),
    Offer(
        "business",
        "Business",
        "For teams: seats, single sign-on and calls beyond the limit at a price.",
        "sales_assisted",
        4900,
        49000,
        5_000,
        ("audit_log", "sso"),
        seats=True,
        talk_to_us=True,
        included=100_000,
        overage=Decimal("0.2"),
    ),
    Offer(
        "enterprise",
        "Enterprise",
        "Your contract, your limits, a person to call.",
        "quote_only",
        None,
        4_800_000,
        None,
        ("audit_log", "sso", "priority_support"),
        talk_to_us=True,
        for_sale=False,
    ),
)


@dataclass(frozen=True, slots=True)
class Buyer:
    """A customer who joined so many days ago and has used ``share`` of the month's limit by now."""

    name: str
    domain: str
    country: str
    employees: int
    plan: str
    joined: int
    share: float
    interval: str = "month"
    seats: int = 1
    by_invoice: bool = False
    story: str = ""

    @property
    def email(self) -> str:
        return f"billing@{self.domain}.example"


BUYERS = (
    Buyer("Paper Lantern Studio", "paperlantern", "US", 6, "starter", 106, 0.42),
    Buyer("Fern & Fable", "fernandfable", "GB", 3, "starter", 100, 0.91),
    Buyer("Kite Logistics", "kitelogistics", "DE", 38, "pro", 97, 0.63),
    Buyer("Saltmarsh Supplies", "saltmarsh", "US", 12, "starter", 92, 0.18, interval="year"),
    Buyer("Northgate Credit Union", "northgate", "US", 240, "pro", 90, 0.842),
    Buyer("Holm Dental", "holmdental", "DK", 9, "starter", 87, 0.77),
    Buyer("Meridian Bank", "meridian", "US", 4200, "enterprise", 85, 0.8, interval="year", by_invoice=True),
    Buyer("Quarry Analytics", "quarry", "US", 22, "pro", 83, 0.86),
    Buyer("Vantage Wholesale", "vantage", "US", 410, "business", 80, 0.93, seats=25, by_invoice=True),
    Buyer("Blue Heron Books", "blueheron", "CA", 5, "starter", 77, 0.05, story="cancels"),
    Buyer("Tidewater Realty", "tidewater", "US", 17, "starter", 73, 0.55),
    Buyer("Brambleton Schools", "brambleton", "GB", 620, "business", 71, 0.58, "year", seats=40, by_invoice=True),
    Buyer("Cedar Ridge Clinic", "cedarridge", "US", 44, "pro", 68, 0.31, story="card declines"),
    Buyer("Lisbon Type Foundry", "lisbontype", "PT", 4, "starter", 62, 0.62, interval="year"),
    Buyer("Marigold Events", "marigold", "FR", 11, "starter", 53, 0.97),
    Buyer("Riverstone Health", "riverstone", "US", 310, "pro", 50, 1.06),
    Buyer("Osprey Freight", "osprey", "NL", 61, "pro", 45, 0.48),
    Buyer("Atlas Courier", "atlascourier", "DE", 180, "business", 38, 0.71, seats=12),
    Buyer("Solace Airlines", "solace", "SG", 11800, "enterprise", 33, 0.5, "year", by_invoice=True, story="pays late"),
    Buyer("Juniper Tax", "junipertax", "US", 8, "starter", 29, 0.83),
    Buyer("Halcyon Robotics", "halcyon", "JP", 29, "pro", 33, 0.22),
    Buyer("Pinecrest Hotels", "pinecrest", "FR", 530, "business", 27, 0.88, seats=30, by_invoice=True),
    Buyer("Copper Kettle Coffee", "copperkettle", "US", 15, "starter", 19, 0.36),
    Buyer("Castellan Energy", "castellan", "NO", 2600, "enterprise", 12, 0.3, interval="year", by_invoice=True),
    Buyer("Sundial Brokers", "sundial", "IE", 34, "pro", 6, 0.12, story="trial"),
)


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody who wrote to sales, so many days ago, and how far the lead has come."""

    name: str
    company: str
    domain: str
    employees: int
    country: str
    days_ago: float
    message: str
    needs: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    reason: str = ""


QUALIFIED = {
    "months_to_project": 6,
    "good_fit": True,
    "compelling_event": "The contract with today's supplier ends",
    "pain": "Checks take days and are done by hand",
    "connects_with_power": True,
}
REQUESTS = (
    Request(
        "Helen Marsh",
        "Meridian Bank",
        "meridian",
        4200,
        "US",
        108,
        "We look for a partner for document checks in all branches.",
        ("msa", "security_review"),
        ("mql", "sql", "sal"),
    ),
    Request(
        "Wei Ling Tan",
        "Solace Airlines",
        "solace",
        11800,
        "SG",
        56,
        "Can you handle 5 million calls a month in the summer?",
        ("sla", "sso"),
        ("mql", "sql", "sal"),
    ),
    Request(
        "Priya Raman",
        "Orchard Mutual",
        "orchardmutual",
        850,
        "US",
        9,
        "Our insurance arm needs single sign-on and a data processing agreement.",
        ("sso", "custom_dpa"),
        ("mql", "sql"),
    ),
    Request(
        "Sam Ilves",
        "Ilves Prints",
        "ilvesprints",
        20,
        "EE",
        5,
        "Is there a discount for small shops?",
        (),
        ("rejected",),
        "Twenty people: pointed to the price page.",
    ),
    Request(
        "Tom Weller",
        "Weller Ironworks",
        "wellerironworks",
        250,
        "US",
        1.2,
        "We would like to see it with our own invoices.",
    ),
    Request(
        "Ines Duarte",
        "Porto Vaults",
        "portovaults",
        1500,
        "PT",
        0.15,
        "Please call me about a rollout to our 40 sites next spring.",
        ("msa", "po"),
    ),
)
TAX_RATES = (
    ("ie_vat", "VAT", "23", "IE"),
    ("de_vat", "USt.", "19", "DE"),
    ("fr_vat", "TVA", "20", "FR"),
    ("nl_vat", "BTW", "21", "NL"),
    ("dk_vat", "Moms", "25", "DK"),
    ("pt_vat", "IVA", "23", "PT"),
)
