"""Amounts as Stripe counts them: in minor units too, but with its own idea of them for some currencies."""

from gtm.shared import money

_EXPONENTS = {
    **dict.fromkeys(("ISK", "UGX"), 2),  # have no minor unit (any more), and are sent with two decimals of zero
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA"), 0),
    **dict.fromkeys(("PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "JOD", "KWD", "OMR", "TND"), 3),
}
_LAST_DIGIT_IS_ZERO = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})


class NotChargeable(ValueError):
    """Stripe can't take exactly this amount in this currency."""


def outward(amount: int, currency: str) -> int:
    """The amount for Stripe. Raises NotChargeable for one finer than the banks of that currency take."""
    shift = _shift(currency)
    scaled, rest = (amount * _power(shift), 0) if shift >= 0 else divmod(amount, _power(-shift))
    if rest or (currency.upper() in _LAST_DIGIT_IS_ZERO and scaled % 10):
        raise NotChargeable(f"{amount} {currency} (minor units) is finer than can be charged")
    return scaled


def is_chargeable(amount: int, currency: str) -> bool:
    """Whether Stripe can take exactly this amount, if it isn't too small."""
    try:
        outward(amount, currency)
    except NotChargeable:
        return False
    return True


def inward(amount: int, currency: str) -> int:
    """What Stripe says, in our minor units; it says nothing finer than they are."""
    shift = _shift(currency)
    return amount * _power(-shift) if shift < 0 else amount // _power(shift)


def _shift(currency: str) -> int:
    """How many decimals more than ours Stripe counts."""
    code = currency.upper()
    ours = money.exponent(code)
    return _EXPONENTS.get(code, 2) - ours


def _power(places: int) -> int:
    return int(10**places)
