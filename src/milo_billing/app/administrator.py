"""What a server needs so that somebody can log in: the built-in roles, and the administrator's kubeconfig."""

from collections.abc import Mapping
from typing import Any

import structlog

from milo_billing.access.operations import ensure_admin_token
from milo_billing.app import wiring
from milo_billing.app.kubeconfig import find_token, render_kubeconfig, write_private
from milo_billing.infra.certificates import Certificates
from milo_billing.infra.database import EVERYWHERE, Tx
from milo_billing.infra.runtime import Runtime

_log = structlog.get_logger(__name__)


def ensure_administrator(
    runtime: Runtime, *, announcement: Mapping[str, Any], certificates: Certificates, renew_token: bool
) -> None:
    """Have the roles, the administrator and the kubeconfig in the data folder, whose token is stored nowhere else.

    Where that file is gone, a new token is made with `renew_token` (which ends the old one); without it the log says
    so, for other servers over the same database may still have the file. Closes the databases of `runtime`.
    """
    try:
        wiring.prepare(runtime)
        with runtime.databases.app.transaction(reach=EVERYWHERE) as tx:
            _write_kubeconfig(tx, runtime, announcement, certificates, renew_token=renew_token)
    finally:
        runtime.databases.close()


def _write_kubeconfig(
    tx: Tx,
    runtime: Runtime,
    announcement: Mapping[str, Any],
    certificates: Certificates,
    *,
    renew_token: bool,
) -> None:
    path = runtime.settings.data_dir / "kubeconfig"
    kept = find_token(path)
    token = ensure_admin_token(tx, now=runtime.clock.now(), renew=renew_token and kept is None) or kept
    if token is None:
        _log.warning(
            "no kubeconfig was written: its token is known elsewhere; serve --new-admin-token replaces it"
        )
        return
    # inside the transaction: a token that was committed but written nowhere would be lost
    write_private(
        path,
        render_kubeconfig(
            api_url=announcement["api"],
            gateway_url=announcement.get("gateway", announcement["api"]),
            authority_pem=certificates.authority.read_bytes(),
            token=token,
        ),
    )
