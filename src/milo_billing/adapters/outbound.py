"""GET from the outside, past a guard: never an address inside, whatever a name resolves to or leads to.

The addresses of a name are looked at before any is connected to, and the one that was looked at is the one that is
connected to, so a name cannot change its meaning in between. Redirects are not followed. Bodies and times are bounded.
"""

import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import httpcore
from typing_extensions import override

from milo_billing.infra.clock import monotonic_s
from milo_billing.kernel.errors import Unavailable

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

STEP_S_MAX: Final = 20.0
"""How long connecting, and each read, may take."""

WHOLE_S_MAX: Final = 120.0
"""How long a whole answer may take, however steadily it drips."""

_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 that stands for an IPv4 address, which may be an inner one."""


class OutboundRefused(Unavailable):
    """The address is none that this server may call."""


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


class _Guard(httpcore.NetworkBackend):
    """Connects to what a name resolves to, if all of it may be called."""

    def __init__(self, may_call: Callable[[Address], bool]) -> None:
        self._may_call = may_call
        self._plain = httpcore.SyncBackend()

    @override
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(f"the name {host} cannot be resolved: {error}") from error
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        inner = next((address for address in addresses if not self._may_call(address)), None)
        if inner is not None or not addresses:
            raise OutboundRefused(
                f"{host} is at {inner}, an address inside: this server calls only public ones"
            )
        return self._plain.connect_tcp(str(addresses[0]), port, timeout, local_address, socket_options)


def fetch(
    url: str,
    *,
    bytes_max: int,
    trust: ssl.SSLContext | None = None,
    may_call: Callable[[Address], bool] = is_outside,
) -> bytes:
    """The body at an https URL.

    Raises Unavailable where it is not to be had: nobody answers, something else than 200, more than `bytes_max`, too
    slow; OutboundRefused for an address inside, or another scheme. `trust` and `may_call` are other than the public
    ones where the caller knows the host.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise OutboundRefused(f"{url} does not begin with https://")
    steps = dict.fromkeys(("connect", "read", "write", "pool"), STEP_S_MAX)
    until_s = monotonic_s() + WHOLE_S_MAX
    body = bytearray()
    try:
        with (
            httpcore.ConnectionPool(
                ssl_context=trust or ssl.create_default_context(), network_backend=_Guard(may_call)
            ) as pool,
            pool.stream(
                "GET", url, headers={"Host": parts.netloc, "Accept": "*/*"}, extensions={"timeout": steps}
            ) as answer,
        ):
            if answer.status != 200:
                raise Unavailable(f"{url} answered {answer.status}")
            for piece in answer.iter_stream():
                body += piece
                if len(body) > bytes_max:
                    raise Unavailable(f"{url} sent more than {bytes_max} bytes")
                if monotonic_s() > until_s:
                    raise Unavailable(f"{url} took longer than {WHOLE_S_MAX:.0f} seconds")
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
        raise Unavailable(f"{url} does not answer: {error or type(error).__name__}") from error
    return bytes(body)
