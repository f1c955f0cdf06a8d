"""HTTP: who pays for a project at an instant."""

from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from milo_billing.accounts import reads, rules
from milo_billing.controlplane.doors import Door
from milo_billing.directory import reads as directory
from milo_billing.kernel.errors import BadRequest, NotFound

READ = "billing.miloapis.com/billingaccounts.get"


def routes(door: Door) -> list[Route]:
    """`GET /v1/projects/{project}/payer?at=RFC3339`; without `at`, now."""

    def show_payer(request: Request) -> Response:
        name: str = request.path_params["project"]
        wanted = _instant_of(request)
        with door.open(request, permission=READ) as call:
            at = wanted or call.now
            if directory.find_project(call.tx, name=name, at=at) is None:
                raise NotFound(f'project "{name}" not found at {rules.format_instant(at)}')
            payer = reads.who_pays(call.tx, project_name=name, at=at)
        if payer is None:
            return JSONResponse(_answer(name, at=at))
        account = {"namespace": payer.namespace, "name": payer.name}
        return JSONResponse(_answer(name, at=at, account=account, since=payer.since, until=payer.until))

    return [Route("/v1/projects/{project}/payer", show_payer, methods=["GET"])]


def _instant_of(request: Request) -> datetime | None:
    text = request.query_params.get("at")
    if text is None:
        return None
    instant = rules.parse_instant(text)
    if instant is None:
        raise BadRequest(
            f'parameter "at": {text!r} is not an RFC 3339 timestamp such as 2026-10-01T00:00:00Z'
        )
    return instant


def _answer(
    project: str,
    *,
    at: datetime,
    account: dict[str, str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> dict[str, object]:
    return {
        "project": project,
        "at": rules.format_instant(at),
        "account": account,
        "since": None if since is None else rules.format_instant(since),
        "until": None if until is None else rules.format_instant(until),
    }
