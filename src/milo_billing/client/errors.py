"""What a caller of this client can meet: each error says what was wrong, where, and what to do next.

Owns: the errors of the client. Not: how they are printed (cli) or which answers the server gives
(controlplane).
"""

import re
from dataclasses import dataclass
from typing import Final


class ClientError(Exception):
    """Base of everything expected that this client raises.

    `what` is one sentence, `where` a file, address or field path (may be empty), `next_step` what would mend
    it.
    """

    def __init__(self, what: str, *, where: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.next_step = next_step


@dataclass(frozen=True, slots=True)
class Cause:
    """One field that the server refused: its path, a machine-readable reason and a whole sentence."""

    field: str
    reason: str
    message: str


class ApiError(ClientError):
    """The server answered with an error.

    `code` is the HTTP status, `reason` the Kubernetes reason (`NotFound`, `Invalid`, …) or the gateway's
    code, `causes` every field error of the answer, `audit_id` what the operator finds the request by in logs
    and audit.
    """

    def __init__(
        self,
        what: str,
        *,
        code: int,
        reason: str,
        causes: tuple[Cause, ...] = (),
        where: str = "",
        audit_id: str = "",
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(what, where=where, next_step=next_step_for(code, reason, what=what))
        self.code = code
        self.reason = reason
        self.causes = causes
        self.audit_id = audit_id
        self.retry_after_s = retry_after_s


class UnableToConnect(ClientError):
    """No server answered at the address."""


class UnableToFindServer(ClientError):
    """Nothing says where the server is: no option, no setting, no kubeconfig."""


class UnableToReadManifest(ClientError):
    """A manifest is not YAML or lacks apiVersion, kind or a name."""


class UnableToFindKind(ClientError):
    """The server serves no kind of this name."""


class UnableToImport(ClientError):
    """A usage file cannot be imported: a column is missing, a row is bad, or the file changed meanwhile."""


_NAMED: Final = re.compile(r'([a-z]+)(?:\.[a-z]+)+ "')
"""How an answer names an object: the plural of its kind, with the group, and its name."""


def next_step_for(code: int, reason: str, *, what: str = "") -> str:
    """What usually mends an answer of this kind; empty where only the message can say."""
    match code:
        case 401:
            return (
                "Give a valid token: --token, MILO_BILLING_TOKEN, or the server's kubeconfig (--kubeconfig)."
            )
        case 403:
            return "Ask an administrator for a role with this permission (a PolicyBinding for your user)."
        case 404 if not what or what.endswith(" not found"):
            kind = found[1] if (found := _NAMED.match(what)) else "KIND"
            return f"Check the name and the namespace; `milo-billing get {kind}` lists what exists."
        case 409 if reason == "AlreadyExists":
            return "Use `milo-billing apply` to change an object that exists, or choose another name."
        case 409:
            return "Mend what stands against it, or read the newest version, and try again."
        case 413:
            return "Send less in one request: at most 5,000 events a batch."
        case 422:
            return "Correct the named fields and apply again; nothing was written."
        case 429 | 503 | 504:
            return "Try again in a moment; sending the same thing twice does no harm."
        case _ if code >= 500:
            return "See the server's log for the audit id; nothing was written by this request."
        case _:
            return ""
