"""HTTP: how a commitment stands at this moment."""

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from milo_billing.commitments import operations, reads
from milo_billing.commitments.rules.representations import summary_body
from milo_billing.commitments.types import GROUP
from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.kinds import rfc3339

READ: Final = f"{GROUP}/commitments.get"
COMMITMENT_PATH: Final = f"/apis/{GROUP}/v1alpha1/namespaces/{{namespace}}/commitments/{{name}}"


def routes(door: Door) -> list[Route]:
    """`GET …/commitments/{name}/summary`, which needs READ."""

    def show_summary(request: Request) -> Response:
        namespace, name = request.path_params["namespace"], request.path_params["name"]
        with door.open(request, permission=READ) as call:
            commitment, accepted = reads.get_commitment(call.tx, namespace=namespace, name=name)
            found = operations.show_progress(call.tx, commitment=commitment, now=call.now) if accepted else ()
        return JSONResponse(summary_body(commitment, found, accepted=accepted, at=rfc3339(call.now)))

    return [Route(f"{COMMITMENT_PATH}/summary", show_summary, methods=["GET"])]
