"""Which network addresses lie outside: what a server may call when somebody else says where to.

Standard library only, and no look-up of names: whoever calls resolves, and asks about every address found.
"""

import ipaddress
from typing import Final, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_TRANSLATED: Final = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 that stands for an IPv4 address, which may be an inner one."""


def is_outside(address: Address) -> bool:
    """Whether the address is one of the public network, and no disguise of another one."""
    if isinstance(address, ipaddress.IPv6Address) and (
        address.ipv4_mapped is not None
        or address.sixtofour is not None
        or address.teredo is not None
        or address in _TRANSLATED
    ):
        return False
    return address.is_global and not address.is_multicast


def is_outside_or_loopback(address: Address) -> bool:
    """The same, and this machine itself: for tests and development, never for a server that others use."""
    return address.is_loopback or is_outside(address)
