"""Which company a domain, an address or an e-mail address belongs to, as far as its name can tell."""

import re
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from publicsuffixlist import PublicSuffixList

from gtm.shared.free_mail import ACCESS_PROVIDERS, FREE_MAIL

_HOST_LENGTH = 253
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

_EDUCATION = re.compile(r"\.(edu|(edu|ac|sch|k12|school)\.[a-z]{2}|k12\.[a-z]{2}\.us)$")

# Names that mean something else on every network (RFC 6761, RFC 9476 and habit) identify nobody.
_LOCAL = frozenset({"arpa", "corp", "home", "internal", "invalid", "lan", "local", "localhost", "onion"})


def registrable_domain(text: str) -> str | None:
    """The domain that was registered, in lower-case ASCII (IDNA): `a@eu.acme.co.uk` gives `acme.co.uk`.

    Takes a domain, a URL or an e-mail address. None where there is no such domain: public suffixes (with the private
    ones, so that two shops on one platform are two companies), IP addresses, local names, and what is no host at all.
    """
    trimmed = text.strip()
    for candidate in _host_candidates(trimmed):
        host = _ascii_host(candidate)
        if host and (found := _suffixes().privatesuffix(host)):
            return str(found)
    return None


def is_free_mail(domain: str) -> bool:
    """Whether anybody can get an address there, so that it says nothing about an employer."""
    return registrable_domain(domain) in FREE_MAIL


def is_access_provider(domain: str) -> bool:
    """Whether it is among the free ones as an access provider's, which is a company with staff of its own."""
    return registrable_domain(domain) in ACCESS_PROVIDERS


def is_education(domain: str) -> bool:
    """Whether schools or universities have their addresses under it: many people, no common purse."""
    found = registrable_domain(domain) or ""
    return bool(_EDUCATION.search(f".{found}"))


def business_domain(email: str) -> str | None:
    """The registrable domain of an address, unless it is a free or a disposable one."""
    found = registrable_domain(email)
    return None if found in FREE_MAIL else found


def _host_candidates(text: str) -> list[str]:
    """The host read as an e-mail address first, then as a URL whose scheme may be missing."""
    after_at = text.rpartition("@")[2]
    url = text if "://" in text else f"//{text}"
    candidates = [after_at] if "://" not in text else []
    try:
        candidates.append(urlsplit(url).hostname or "")
    except ValueError:
        return candidates
    return candidates


def _ascii_host(host: str) -> str | None:
    if len(host) > _HOST_LENGTH:  # before the codec, whose cost grows with the square of the length
        return None
    try:
        name = host.lower().removesuffix(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    labels = name.split(".")
    well_formed = all(_LABEL.fullmatch(label) for label in labels)
    if len(name) > _HOST_LENGTH or not well_formed or labels[-1] in _LOCAL or _is_address(name):
        return None
    return name


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return name.rpartition(".")[2].isdigit()
    return True


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()
