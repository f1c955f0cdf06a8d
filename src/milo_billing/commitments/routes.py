"""HTTP: how a commitment stands at this moment; what usage would cost under other prices and promises."""

from typing import Final

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import AccountNotFound
from milo_billing.commitments import operations, reads
from milo_billing.commitments.resources import simulations
from milo_billing.commitments.rules.representations import summary_body
from milo_billing.commitments.rules.simulation_bodies import simulation_body
from milo_billing.commitments.types import GROUP, Simulation
from milo_billing.controlplane.doors import Call, Door
from milo_billing.controlplane.edge import BODY_BYTES_MAX, read_body
from milo_billing.controlplane.identity import reaches
from milo_billing.controlplane.kinds import Registry, rfc3339
from milo_billing.directory import reads as directory
from milo_billing.infra.database import forbid_writes
from milo_billing.kernel.errors import Forbidden

READ: Final = f"{GROUP}/commitments.get"
READ_ACCOUNT: Final = f"{GROUP}/billingaccounts.get"
READ_PRICES: Final = f"{GROUP}/prices.get"
COMMITMENT_PATH: Final = f"/apis/{GROUP}/v1alpha1/namespaces/{{namespace}}/commitments/{{name}}"
SIMULATIONS_PATH: Final = "/v1/simulations"


def routes(door: Door, registry: Registry) -> list[Route]:
    """`GET …/commitments/{name}/summary`, which needs READ, and `POST /v1/simulations`.

    A simulation needs READ_ACCOUNT and, in the account's organization, READ_PRICES.
    """

    def show_summary(request: Request) -> Response:
        namespace, name = request.path_params["namespace"], request.path_params["name"]
        with door.open(request, permission=READ) as call:
            commitment, accepted = reads.get_commitment(call.tx, namespace=namespace, name=name)
            found = operations.show_progress(call.tx, commitment=commitment, now=call.now) if accepted else ()
        return JSONResponse(summary_body(commitment, found, accepted=accepted, at=rfc3339(call.now)))

    async def simulate(request: Request) -> Response:
        body = await read_body(request, bytes_max=BODY_BYTES_MAX)
        return await to_thread.run_sync(answer, request, body)

    def answer(request: Request, body: bytes) -> Response:
        with door.open(request, permission=READ_ACCOUNT) as call:
            return _simulate(door, call, registry, body, request.headers.get("content-type", ""))

    return [
        Route(f"{COMMITMENT_PATH}/summary", show_summary, methods=["GET"]),
        Route(SIMULATIONS_PATH, simulate, methods=["POST"]),
    ]


def _simulate(door: Door, call: Call, registry: Registry, body: bytes, content_type: str) -> Response:
    forbid_writes(call.tx)
    asked = simulations.read_simulation(body, content_type)
    namespace, name = asked.billing_account_ref.namespace, asked.billing_account_ref.name
    account = account_reads.find_account(call.tx, namespace=namespace, name=name)
    if account is None:
        raise AccountNotFound(f'billing account "{namespace}/{name}" not found')
    if not reaches(door.authorizer.reach(call.tx, call.identity, READ_PRICES), account.owner_org):
        raise Forbidden(f'forbidden: User "{call.identity.user}" lacks the permission {READ_PRICES}')
    book_kind = registry.find(GROUP, "v1alpha1", "pricebooks")
    assert book_kind is not None, "price books are served"
    periods, what_if = simulations.resolve(call.tx, asked, account=account, book_kind=book_kind)
    found = operations.simulate(
        call.tx, account=account.number, periods=periods, now=call.now, what_if=what_if
    )
    names = {one.number: one.name for one in directory.list_projects(call.tx, numbers=_projects(found))}
    shown = simulation_body(
        found, account=f"{namespace}/{name}", zone=account.time_zone, projects=names, at=call.now
    )
    return JSONResponse(shown)


def _projects(found: Simulation) -> set[int]:
    """The projects that the answer names."""
    unpriced = {one.project for side in found.unpriced for one in side}
    return unpriced | {one.of for one in found.projects if one.of is not None}
