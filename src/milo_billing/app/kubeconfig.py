"""The files that tell clients on this machine where the server is: the administrator's kubeconfig, and server.json."""

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import yaml

GATEWAY_EXTENSION = "gateway.billing.miloapis.com"
"""Where the kubeconfig carries the address of the gateway, which kubectl does not need."""

_NAME = "milo-billing"
_ADMIN = "milo-billing-admin"


def render_kubeconfig(*, api_url: str, gateway_url: str, authority_pem: bytes, token: str) -> str:
    """A kubeconfig with one context, for the holder of `token`."""
    cluster = {
        "server": api_url,
        "certificate-authority-data": base64.b64encode(authority_pem).decode(),
        "extensions": [{"name": GATEWAY_EXTENSION, "extension": {"server": gateway_url}}],
    }
    content: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": _NAME, "cluster": cluster}],
        "users": [{"name": _ADMIN, "user": {"token": token}}],
        "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": _ADMIN}}],
        "current-context": _NAME,
    }
    return yaml.safe_dump(content, sort_keys=False)


def find_token(path: Path) -> str | None:
    """The token in a kubeconfig that we wrote; None if there is no such file."""
    try:
        content = yaml.safe_load(path.read_text())
        return content["users"][0]["user"]["token"]
    except (FileNotFoundError, yaml.YAMLError, KeyError, IndexError, TypeError):
        return None


def write_private(path: Path, text: str) -> None:
    """Write the whole file or nothing, readable by its owner alone."""
    staging = path.with_name(f"{path.name}.new")
    staging.unlink(missing_ok=True)
    with os.fdopen(os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    staging.rename(path)


def write_server_file(path: Path, content: Mapping[str, Any]) -> None:
    """server.json: the addresses of a server that runs, for whoever works on this machine. It holds no secret."""
    write_private(path, orjson.dumps(content, option=orjson.OPT_INDENT_2).decode() + "\n")
    path.chmod(0o644)


def read_server_file(path: Path) -> dict[str, Any] | None:
    """What a running server wrote, or one that was killed; None if there is no such file."""
    try:
        return orjson.loads(path.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
