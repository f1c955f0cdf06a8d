"""Where the server is and who we are to it.

Owns: finding the connection (options, then the environment, then a kubeconfig). Not: speaking over it (http).
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import yaml

from milo_billing.client.errors import UnableToFindServer
from milo_billing.client.settings import ClientSettings

GATEWAY_PORT = 8444
GATEWAY_EXTENSION = (
    "gateway.billing.miloapis.com"  # a cluster extension in the kubeconfig that the server writes
)


@dataclass(frozen=True, slots=True)
class Connection:
    """One server: `api_url` for objects and reports, `gateway_url` for usage, both without a trailing slash.

    `ca_pem` is the certificate authority to trust (None: the system's), `token` a bearer token (empty:
    anonymous), `source` says in words where this was found, for messages.
    """

    api_url: str
    gateway_url: str
    ca_pem: str | None
    token: str
    source: str


def find_connection(
    *,
    server: str | None = None,
    gateway: str | None = None,
    token: str | None = None,
    ca_file: Path | None = None,
    kubeconfig: Path | None = None,
    settings: ClientSettings | None = None,
) -> Connection:
    """The connection that options, environment and kubeconfig describe, in this order.

    A server named explicitly never receives the token or the certificate authority of a kubeconfig: they
    belong to another server. Raises UnableToFindServer, saying where it looked.
    """
    settings = settings or ClientSettings()
    token = token or settings.token
    gateway = gateway or settings.gateway
    ca_file = ca_file or settings.ca_file
    if kubeconfig is None and (named := server or settings.server):
        api_url = _address(named, where="--server or MILO_BILLING_SERVER")
        return Connection(
            api_url=api_url,
            gateway_url=_address(gateway, where="--gateway") if gateway else _beside(api_url),
            ca_pem=_read_text(ca_file, what="certificate authority") if ca_file else None,
            token=token or "",
            source="--server" if server else "MILO_BILLING_SERVER",
        )
    path, source = find_kubeconfig(explicit=kubeconfig, settings=settings)
    found = read_kubeconfig(path, source=source)
    return Connection(
        api_url=found.api_url,
        gateway_url=_address(gateway, where="--gateway") if gateway else found.gateway_url,
        ca_pem=_read_text(ca_file, what="certificate authority") if ca_file else found.ca_pem,
        token=token or found.token,
        source=source,
    )


def read_kubeconfig(path: Path, *, source: str) -> Connection:
    """The current context of a kubeconfig: server, certificate authority, and a bearer token if it holds one.

    Raises UnableToFindServer when the file cannot be read, is no kubeconfig, or names things it does not
    contain.
    """
    text = _read_text(path, what="kubeconfig")
    try:
        loaded: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UnableToFindServer(f"The kubeconfig is not YAML: {error}", where=str(path)) from error
    config = _mapping(loaded)
    context = _mapping(
        _named(config, "contexts", str(config.get("current-context", "")), path).get("context")
    )
    cluster = _mapping(_named(config, "clusters", str(context.get("cluster", "")), path).get("cluster"))
    user = _mapping(_named(config, "users", str(context.get("user", "")), path).get("user"))
    api_url = _address(str(cluster.get("server", "")), where=str(path))
    return Connection(
        api_url=api_url,
        gateway_url=_gateway_of(cluster, path) or _beside(api_url),
        ca_pem=_authority_of(cluster, path),
        token=_token_of(user, path),
        source=source,
    )


def find_kubeconfig(
    *, explicit: Path | None = None, settings: ClientSettings | None = None
) -> tuple[Path, str]:
    """The kubeconfig to use, and in words why this one. Raises UnableToFindServer when there is none."""
    settings = settings or ClientSettings()
    own = settings.server_kubeconfig()
    for path, source in (
        (explicit, f"--kubeconfig {explicit}"),
        (settings.kubeconfig, f"MILO_BILLING_KUBECONFIG {settings.kubeconfig}"),
        (settings.kubectl_kubeconfig, f"KUBECONFIG {settings.kubectl_kubeconfig}"),
    ):
        if path is not None:
            return path, source
    if not own.exists():
        raise UnableToFindServer(
            "No server is named, and none has been started on this machine by this user.",
            where=str(own),
            next_step="Start one with `milo-billing serve`, or say where it is: --kubeconfig FILE, or "
            "--server URL with --token and --ca-file.",
        )
    return own, str(own)


def _gateway_of(cluster: Mapping[str, Any], path: Path) -> str | None:
    for extension in cast("list[object]", cluster.get("extensions") or []):
        entry = _mapping(extension)
        if entry.get("name") == GATEWAY_EXTENSION:
            return _address(str(_mapping(entry.get("extension")).get("server", "")), where=str(path))
    return None


def _authority_of(cluster: Mapping[str, Any], path: Path) -> str | None:
    if data := cluster.get("certificate-authority-data"):
        try:
            return base64.b64decode(str(data), validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise UnableToFindServer(
                "certificate-authority-data is not base64 of a PEM.", where=str(path)
            ) from error
    if file := cluster.get("certificate-authority"):
        return _read_text(path.parent / str(file), what="certificate authority")
    return None


def _token_of(user: Mapping[str, Any], path: Path) -> str:
    if file := user.get("tokenFile"):
        return _read_text(path.parent / str(file), what="token").strip()
    return str(user.get("token") or "")


def _named(config: Mapping[str, Any], section: str, name: str, path: Path) -> Mapping[str, Any]:
    entries = [_mapping(entry) for entry in cast("list[object]", config.get(section) or [])]
    for entry in entries:
        if entry.get("name") == name:
            return entry
    raise UnableToFindServer(
        f"The kubeconfig has no entry named {name!r} under {section}.",
        where=str(path),
        next_step="Set its current-context (`kubectl config use-context NAME`), or give another file.",
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _read_text(path: Path, *, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise UnableToFindServer(f"The {what} file cannot be read: {reason}.", where=str(path)) from error


def _address(url: str, *, where: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.netloc:
        raise UnableToFindServer(
            f"{url!r} is no server address.", where=where, next_step="Write it as https://host:port."
        )
    return url.rstrip("/")


def _beside(api_url: str) -> str:
    parts = urlsplit(api_url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return urlunsplit((parts.scheme, f"{host}:{GATEWAY_PORT}", "", "", ""))
