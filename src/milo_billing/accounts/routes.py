"""HTTP: who pays for a project, now and ever; what an account pays for; what stands below it.

Pages: `limit` (100 unless said, 1000 at most) and `continue`, as in lists of resources. The `continue` of an answer is
empty at the end.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.reads import payers as payer_reads
from milo_billing.accounts.reads import tree as tree_reads
from milo_billing.accounts.rules import timeline, tree
from milo_billing.accounts.types import (
    Account,
    AccountNode,
    AccountNotFound,
    PaidProject,
    Payer,
    ProjectPayer,
    TreeNode,
)
from milo_billing.controlplane.doors import Door
from milo_billing.directory import reads as directory
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import BadRequest, NotFound

READ = "billing.miloapis.com/billingaccounts.get"
LIMIT_DEFAULT, LIMIT_MAX = 100, 1000
"""Entries of one page: unless the client says so, and at most."""


def routes(door: Door) -> list[Route]:
    """The time line of a project, the projects of an account, the tree below an account; all need READ."""
    return [
        Route("/v1/projects/{project}/payer", partial(_show_payer, door), methods=["GET"]),
        Route("/v1/projects/{project}/payers", partial(_list_payers, door), methods=["GET"]),
        Route("/v1/accounts/{namespace}/{account}/projects", partial(_list_projects, door), methods=["GET"]),
        Route("/v1/accounts/{namespace}/{account}/tree", partial(_show_tree, door), methods=["GET"]),
    ]


# ---------------------------------------------------------------------------------------------------- the doors


def _show_payer(door: Door, request: Request) -> Response:
    name: str = request.path_params["project"]
    wanted = _instant_of(request)
    with door.open(request, permission=READ) as call:
        at = wanted or call.now
        if directory.find_project(call.tx, name=name, at=at) is None:
            raise NotFound(f'project "{name}" not found at {timeline.format_instant(at)}')
        payer = payer_reads.who_pays(call.tx, project_name=name, at=at)
    shown = {"project": name, "at": timeline.format_instant(at)}
    return JSONResponse({**shown, **_shown_payer(payer)})


def _list_payers(door: Door, request: Request) -> Response:
    name: str = request.path_params["project"]
    limit, after = _limit_of(request), _continued_at(request)
    with door.open(request, permission=READ) as call:
        found = payer_reads.list_payers(call.tx, project_name=name, after=after, limit=limit + 1)
        if not found and directory.find_project(call.tx, name=name, at=call.now) is None:
            raise NotFound(f'project "{name}" not found')
        uids = {p.number: p.uid for p in directory.list_projects(call.tx, numbers=_projects(found))}
    page = found[:limit]
    items = [
        {
            "projectUID": str(uids[one.project]),
            "binding": {"name": one.binding_name, "uid": str(one.binding)},
            **_shown_payer(one.payer),
        }
        for one in page
    ]
    more = timeline.format_instant(page[-1].payer.since) if len(found) > limit else ""
    return JSONResponse({"project": name, "items": items, "continue": more})


def _list_projects(door: Door, request: Request) -> Response:
    wanted, limit = _instant_of(request), _limit_of(request)
    after = request.query_params.get("continue", "")
    with door.open(request, permission=READ) as call:
        at = wanted or call.now
        account = _account_of(call.tx, request, at)
        found = payer_reads.list_paid_projects(
            call.tx, account=account.number, at=at, after=after, limit=limit + 1
        )
    shown = [_shown_project(project) for project in found[:limit]]
    return JSONResponse(
        {
            "account": _named(account),
            "at": timeline.format_instant(at),
            "items": shown,
            "continue": found[limit - 1].name if len(found) > limit else "",
        }
    )


def _show_tree(door: Door, request: Request) -> Response:
    limit = _limit_of(request)
    after = tuple(part for part in request.query_params.get("continue", "").split("/") if part)
    namespace, name = request.path_params["namespace"], request.path_params["account"]
    with door.open(request, permission=READ) as call:
        node = tree_reads.find_node(call.tx, namespace=namespace, name=name)
        if node is None:
            raise _no_account(namespace, name)
        _, *above = tree_reads.list_ancestors(call.tx, account=node.number)
        below = tree_reads.list_tree(call.tx, account=node.number, after=after, limit=limit + 1)
    invoiced = tree.invoiced([*above]) if node.mode == "Parent" else node
    return JSONResponse(
        {
            "account": _named(node),
            "invoicedAccount": _named(invoiced),
            "ancestors": [_named(one) for one in above],
            "items": [_shown_node(one) for one in below[:limit]],
            "continue": "/".join(below[limit - 1].path) if len(below) > limit else "",
        }
    )


# ---------------------------------------------------------------------------------------------------- asked


def _instant_of(request: Request) -> datetime | None:
    return _parsed_instant(request, "at")


def _continued_at(request: Request) -> datetime | None:
    return _parsed_instant(request, "continue")


def _parsed_instant(request: Request, parameter: str) -> datetime | None:
    text = request.query_params.get(parameter, "")
    if not text:
        return None
    instant = timeline.parse_instant(text)
    if instant is None:
        raise BadRequest(
            f'parameter "{parameter}": {text!r} is not an RFC 3339 timestamp such as 2026-10-01T00:00:00Z'
        )
    return instant


def _limit_of(request: Request) -> int:
    text = request.query_params.get("limit", "")
    if not text:
        return LIMIT_DEFAULT
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= LIMIT_MAX and len(text) < 9):
        raise BadRequest(f'parameter "limit": {text!r} is not a number from 1 to {LIMIT_MAX}')
    return int(text)


def _account_of(tx: Tx, request: Request, at: datetime) -> Account:
    """The account that bore the name at that instant. Raises AccountNotFound."""
    namespace, name = request.path_params["namespace"], request.path_params["account"]
    account = account_reads.find_account_at(tx, namespace=namespace, name=name, at=at)
    if account is None:
        raise _no_account(namespace, name)
    return account


def _no_account(namespace: str, name: str) -> AccountNotFound:
    return AccountNotFound(f'billing account "{namespace}/{name}" not found')


# ---------------------------------------------------------------------------------------------------- shown


def _named(account: Account | AccountNode | Payer) -> dict[str, str]:
    return {"namespace": account.namespace, "name": account.name}


def _projects(payers: Sequence[ProjectPayer]) -> list[int]:
    return [one.project for one in payers]


def _shown_payer(payer: Payer | None) -> dict[str, Any]:
    if payer is None:
        return {"account": None, "since": None, "until": None}
    return {"account": _named(payer), **_shown_interval(payer.since, payer.until)}


def _shown_interval(since: datetime, until: datetime | None) -> dict[str, str | None]:
    return {
        "since": timeline.format_instant(since),
        "until": None if until is None else timeline.format_instant(until),
    }


def _shown_project(project: PaidProject) -> dict[str, Any]:
    return {
        "project": project.name,
        "binding": {"name": project.binding_name, "uid": str(project.binding)},
        **_shown_interval(project.since, project.until),
    }


def _shown_node(node: TreeNode) -> dict[str, Any]:
    account = node.account
    return {
        "account": _named(account),
        "path": list(node.path),
        "phase": account.phase,
        "billingMode": account.mode,
        "currencyCode": account.currency,
        "projects": node.projects,
        "projectsBelow": node.projects_below,
    }
