"""Which addresses of the internet protocol are somebody else's, out there, and may be sent to.

Python's own ``is_global`` knows most of the special ranges, though not the same ones in every version, and takes it to
be fine that an address wraps another: those that a gateway translates are refused here whatever they wrap.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_REFUSED = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared between carriers and, in clouds, between machines
        "127.0.0.0/8",
        "168.63.129.16/32",  # answers inside Azure alone
        "169.254.0.0/16",  # link-local: the metadata services of clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast and reserved
        "2001::/23",  # Teredo, ORCHID and other protocols
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
    )
)
_UNICAST = ip_network("2000::/3")  # outside of it lie mapped, translated (NAT64), local and link-local addresses


def is_public(text: str) -> bool:
    """Whether the address is a public one. What isn't an address is none; nor is one with a zone (``fe80::1%eth0``)."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and (address.scope_id or address not in _UNICAST):
        return False
    return address.is_global and not any(address in network for network in _REFUSED)


def literal(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host of a URL is written as; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None
