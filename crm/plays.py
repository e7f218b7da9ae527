"""What to do about what, and with which words to begin: the installed plays. Pure."""

LETTERS = {
    "large_upgrade": "thank_you",
    "usage_over_80": "expansion_offer",
    "usage_80": "expansion_offer",
    "feature_viewed": "demo_invitation",
    "renewal": "renewal",
}
BEFORE_RENEWAL = {
    90: "Ask what has worked and what they plan, and find out who decides.",
    60: "Make the offer for the next term, with the figures of this one.",
    30: "Ask for the decision, and settle what is still open.",
}
PROCUREMENT_FROM = 50_000  # ARR in major units of the vendor's currency, from which a purchasing department renews
PROCUREMENT = (
    "Find out who in purchasing decides, and by when they need the offer",
    "Ask for their vendor form, and whether the order number changes",
    "Have security and data protection papers of this year at hand",
    "Settle the terms that legal wants to change",
    "Agree on the day of the signature and on who signs",
)
NEXT_STEPS = {
    "pipeline": ("Meet whoever feels the problem", "Write down what it costs them today", "Find who holds the budget"),
    "best_case": ("Confirm the plan with the economic buyer", "Agree on the date and why it matters to them"),
    "commit": ("Send the contract to whoever signs", "Settle the last open point of the redlines"),
}


def letter(code: str) -> str:
    """The code of the template that goes with a rule or a kind of task; nothing where there is none."""
    return LETTERS.get(code, "")


def checklist_of_renewal(arr: int | None, *, threshold: int) -> str:
    """What to see to with purchasing, line by line, where the ARR (both in minor units) reaches the threshold."""
    if arr is None or arr < threshold:
        return ""
    return "\n".join(f"- {line}" for line in PROCUREMENT)


def next_steps(category: str) -> tuple[str, ...]:
    """What raises the number of a deal in that forecast category."""
    return NEXT_STEPS.get(category, NEXT_STEPS["pipeline"])


def stage_of_renewal(days_left: int) -> int | None:
    """Which of 90, 60 and 30 days before its end a term has reached; None before the first, and after the end."""
    if days_left < 0:
        return None
    return min((days for days in BEFORE_RENEWAL if days_left <= days), default=None)
