"""What may be declared as a target: addresses of mail, URLs that are not inside, headers that are not ours."""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from milo_billing.kernel.addresses import is_outside
from milo_billing.kernel.errors import FieldError
from milo_billing.notices.rules.catalogue import EVENTS, FAMILIES

_EMAIL: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@"
    r"(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+"
)
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,1022}[\x21-\x7e])?")
_OURS: Final = frozenset(
    (
        *("host", "content-type", "content-length", "content-encoding", "transfer-encoding", "connection"),
        *("upgrade", "te", "trailer", "expect", "user-agent"),
        *("webhook-id", "webhook-timestamp", "webhook-signature"),
    )
)
_INNER_NAMES: Final = ("localhost", "local", "internal", "localdomain", "home.arpa")
"""Names, and ends of names, that public name servers never answer for."""

_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A last label that resolvers read as part of an IPv4 address in some other notation."""


def email_errors(field: str, addresses: Sequence[str]) -> Iterator[FieldError]:
    """Addresses that are none, and those that stand twice."""
    seen: set[str] = set()
    for index, address in enumerate(addresses):
        at = f"{field}[{index}]"
        if _EMAIL.fullmatch(address) is None:
            yield _invalid(at, address, "must be a valid email address")
        elif address.lower() in seen:
            yield FieldError(at, "FieldValueDuplicate", f'Duplicate value: "{address}"')
        seen.add(address.lower())


def url_errors(field: str, url: str, *, loopback: bool) -> Iterator[FieldError]:
    """A URL that cannot be called from here, as far as it shows without looking up its name.

    `loopback` allows this machine itself, over http too: for tests and development.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        yield _invalid(field, url, f"must be a URL ({error})")
        return
    if not url.isascii() or any(character <= " " for character in url):
        yield _invalid(
            field, url, "must be a URL in ASCII: write other characters as %XX, and names in punycode"
        )
        return
    if parts.scheme != "https" and not (loopback and parts.scheme == "http"):
        yield _invalid(field, _shown(url), "must begin with https://")
    if not host or port == 0:
        yield _invalid(field, _shown(url), "must name a host")
        return
    if parts.username is not None or parts.password is not None:
        yield _invalid(
            field, f"{parts.scheme}://…@{host}", "must not hold a user or a password: use a header"
        )
    if parts.fragment:
        yield _invalid(field, _shown(url), "must not have a fragment")
    if (problem := _inner_host(host, loopback=loopback)) is not None:
        yield _invalid(field, host, problem)


def header_errors(field: str, headers: Mapping[str, str]) -> Iterator[FieldError]:
    """Headers that HTTP cannot carry, and those that the server sets itself."""
    for name, value in headers.items():
        at = f"{field}[{name}]"
        if _HEADER_NAME.fullmatch(name) is None:
            yield _invalid(field, name, "must be the name of an HTTP header")
        elif name.lower() in _OURS:
            yield FieldError(at, "FieldValueForbidden", f"Forbidden: the server sets {name} itself")
        if _HEADER_VALUE.fullmatch(value) is None:
            # the value may be a password: it is not repeated
            yield FieldError(
                at, "FieldValueInvalid", "Invalid value: must be 1 to 1024 printable ASCII characters"
            )


def event_errors(field: str, events: Iterable[str]) -> Iterator[FieldError]:
    """Events that there are not; `invoice.*` stands for all of a family."""
    known = {*(event.type for event in EVENTS), *FAMILIES}
    for index, event in enumerate(events):
        if event not in known:
            yield FieldError(
                f"{field}[{index}]",
                "FieldValueNotSupported",
                f'Unsupported value: "{event}": supported values: '
                + ", ".join(f'"{one}"' for one in sorted(known)),
            )


def _inner_host(host: str, *, loopback: bool) -> str | None:
    """Why a host is not to be called, if its name alone says so."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        address = None
    if address is not None:
        allowed = is_outside(address) or (loopback and address.is_loopback)
        return None if allowed else "is an address inside: webhooks go to public ones only"
    name = host.rstrip(".").lower()
    if loopback and (name == "localhost" or name.endswith(".localhost")):
        return None
    if any(name == inner or name.endswith(f".{inner}") for inner in _INNER_NAMES):
        return "is a name inside: webhooks go to public ones only"
    if "." not in name or _NUMBER.fullmatch(name.rpartition(".")[2]):
        return "must be a full name such as hooks.example.com"
    return None


def _shown(url: str) -> str:
    """The URL without what may be a secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}"


def _invalid(field: str, value: str, why: str) -> FieldError:
    return FieldError(field, "FieldValueInvalid", f'Invalid value: "{value[:200]}": {why}')
