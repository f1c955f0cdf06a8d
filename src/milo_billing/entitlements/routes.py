"""HTTP: reviews. Offers and entitlements are served by the control plane, as every kind."""

from typing import Final

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import BODY_BYTES_MAX, read_body
from milo_billing.controlplane.questions import answered, read_question
from milo_billing.entitlements import operations
from milo_billing.entitlements.resources.reviews import (
    EntitlementReview,
    EntitlementReviewSpec,
    review_status,
)
from milo_billing.entitlements.types import GROUP

REVIEW: Final = f"{GROUP}/entitlementreviews.create"

_KIND: Final = EntitlementReview()


def routes(door: Door) -> list[Route]:
    """`POST …/entitlementreviews`."""

    async def review(request: Request) -> Response:
        body = await read_body(request, bytes_max=BODY_BYTES_MAX)
        return await to_thread.run_sync(answer, request, body)

    def answer(request: Request, body: bytes) -> Response:
        with door.open(request, permission=REVIEW) as call:
            asked = read_question(_KIND, body, request.headers.get("content-type", ""))
            assert isinstance(asked, EntitlementReviewSpec), "it is the kind's own model"
            verdict, account = operations.review(
                call.tx, project=asked.project_ref.name, service=asked.service_ref.name, now=call.now
            )
        payer = None if account is None else f"{account.namespace}/{account.name}"
        return JSONResponse(answered(_KIND, asked, review_status(verdict, account=payer)), 201)

    path = f"/apis/{_KIND.group}/{_KIND.version}/{_KIND.plural}"
    return [Route(path, review, methods=["POST"])]
