"""Calls to the outside, past a guard: never an address inside, whatever a name resolves to or leads to.

The addresses of a name are looked at before any is connected to, and the one that was looked at is the one that is
connected to, so a name cannot change its meaning in between. Redirects are not followed. Bodies and times are bounded.
"""

import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore
from typing_extensions import override

from milo_billing.infra.clock import monotonic_s
from milo_billing.kernel.addresses import Address, is_outside
from milo_billing.kernel.errors import Unavailable

STEP_S_MAX: Final = 20.0
"""How long connecting, and each read, may take."""

POST_STEP_S_MAX: Final = 10.0
POST_WHOLE_S_MAX: Final = 20.0
"""The same two bounds for a call whose answer is a few bytes."""

WHOLE_S_MAX: Final = 120.0
"""How long a whole answer may take, however steadily it drips."""


class OutboundRefused(Unavailable):
    """The address is none that this server may call."""


class _Timed(httpcore.NetworkStream):
    """A stream that ends at an instant, however steadily it drips: also while the head of an answer is read."""

    def __init__(self, stream: httpcore.NetworkStream, until_s: float) -> None:
        self._stream = stream
        self._until_s = until_s

    def _left(self, timeout: float | None) -> float:
        left = self._until_s - monotonic_s()
        if left <= 0:
            raise httpcore.ReadTimeout("it took too long altogether")
        return left if timeout is None else min(left, timeout)

    @override
    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left(timeout))

    @override
    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._left(timeout))

    @override
    def close(self) -> None:
        self._stream.close()

    @override
    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, self._left(timeout))
        return _Timed(secured, self._until_s)

    @override
    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Guard(httpcore.NetworkBackend):
    """Connects to what a name resolves to, if all of it may be called; what it connects ends at `until_s`."""

    def __init__(self, may_call: Callable[[Address], bool], *, until_s: float) -> None:
        self._may_call = may_call
        self._until_s = until_s
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
        connected = self._plain.connect_tcp(str(addresses[0]), port, timeout, local_address, socket_options)
        return _Timed(connected, self._until_s)


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
                ssl_context=trust or ssl.create_default_context(),
                network_backend=_Guard(may_call, until_s=until_s),
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


@dataclass(frozen=True, slots=True)
class Posted:
    """What the other side answered: the status, and the first bytes of the body."""

    status: int
    head: bytes


def post(
    url: str,
    body: bytes,
    *,
    headers: Mapping[str, str],
    head_bytes: int,
    trust: ssl.SSLContext | None = None,
    may_call: Callable[[Address], bool] = is_outside,
    plain: bool = False,
    step_s: float = POST_STEP_S_MAX,
    whole_s: float = POST_WHOLE_S_MAX,
) -> Posted:
    """Send `body` to an https URL, and read at most `head_bytes` of the answer, whatever its status.

    Raises Unavailable where no answer comes, or none in time: then nobody knows whether the other side has read what
    was sent. Raises OutboundRefused, before anything is sent, for an address inside, or another scheme; `plain`
    allows http as well.
    """
    parts = urlsplit(url)
    if parts.scheme not in (("https", "http") if plain else ("https",)) or not parts.hostname:
        raise OutboundRefused(f"{parts.scheme}://{parts.hostname} does not begin with https://")
    steps = dict.fromkeys(("connect", "read", "write", "pool"), step_s)
    until_s = monotonic_s() + whole_s
    head = bytearray()
    try:
        with (
            httpcore.ConnectionPool(
                ssl_context=trust or ssl.create_default_context(),
                network_backend=_Guard(may_call, until_s=until_s),
            ) as pool,
            pool.stream(
                "POST",
                url,
                headers={**headers, "Host": parts.netloc, "Content-Length": str(len(body))},
                content=body,
                extensions={"timeout": steps},
            ) as answer,
        ):
            for piece in answer.iter_stream():
                head += piece[: head_bytes - len(head)]
                if len(head) >= head_bytes or monotonic_s() > until_s:
                    break
            return Posted(answer.status, bytes(head))
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
        raise Unavailable(f"{parts.hostname} does not answer: {error or type(error).__name__}") from error
