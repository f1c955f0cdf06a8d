"""`POST /v1/objects:apply`: many objects in, a line for each as it is done. See docs/how-to-bulk.md."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import orjson
from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from milo_billing.controlplane.api import FIELD_MANAGER_BYTES_MAX
from milo_billing.controlplane.bulk import OBJECTS_MAX, Bulk, Options
from milo_billing.controlplane.doors import Door, audit_id_of, read_credentials
from milo_billing.controlplane.edge import BODY_BYTES_MAX, read_body
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.kinds import Json
from milo_billing.controlplane.parameters import field_validation
from milo_billing.kernel.errors import BadRequest, TooLarge

PATH = "/v1/objects:apply"


@dataclass(frozen=True, slots=True)
class BulkDoor:
    """Opens bulk requests over one engine."""

    engine: Engine
    door: Door
    threads: CapacityLimiter

    def routes(self) -> list[Route]:
        return [Route(PATH, self.apply, methods=["POST"])]

    async def apply(self, request: Request) -> Response:
        """Apply every line. What is wrong with the request itself is a Status; with a line, a line of the answer."""
        options = read_options(request.query_params)
        media = request.headers.get("content-type", "").partition(";")[0].strip()
        if media not in ("application/x-ndjson", "application/jsonl"):
            raise BadRequest(
                f"the body is {media or 'of no type'}: send application/x-ndjson, an object a line"
            )
        body = await read_body(request, bytes_max=BODY_BYTES_MAX)
        lines = [line for line in body.split(b"\n") if line.strip()]
        if len(lines) > OBJECTS_MAX:
            raise TooLarge(f"{len(lines):,} objects in one request: send at most {OBJECTS_MAX:,}")
        bulk = Bulk(self.engine, self.door, read_credentials(request.headers), audit_id_of(request), options)
        batches = bulk.batches(lines)
        # the first transaction is over before the answer begins: a token that nobody knows is still a 401
        first = await to_thread.run_sync(next, batches, limiter=self.threads)
        return StreamingResponse(
            _encoded(itertools.chain([first], batches)),
            200,
            {"Cache-Control": "no-cache, private"},
            "application/x-ndjson",
        )


def read_options(query: Mapping[str, str]) -> Options:
    """What the query says. Raises BadRequest for a parameter that is not offered or says something else."""
    offered = {"fieldManager", "force", "onError", "show", "fieldValidation"}
    if unknown := sorted(set(query) - offered):
        raise BadRequest(f"no such parameter: {', '.join(unknown)}; offered are {', '.join(sorted(offered))}")
    by = query.get("fieldManager", "")
    if not 0 < len(by.encode()) <= FIELD_MANAGER_BYTES_MAX:
        raise BadRequest(f"fieldManager is required, of at most {FIELD_MANAGER_BYTES_MAX} bytes")
    on_error = query.get("onError") or "stop"
    if on_error not in ("stop", "continue"):
        raise BadRequest(f"onError {on_error!r} is not offered: stop, or continue")
    return Options(
        by=by,
        force=_flag(query, "force"),
        keep_going=on_error == "continue",
        show=_flag(query, "show"),
        validation=field_validation(query, default="Strict"),
    )


def _flag(query: Mapping[str, str], name: str) -> bool:
    value = query.get(name) or "false"
    if value not in ("true", "false"):
        raise BadRequest(f"{name} {value!r} is neither true nor false")
    return value == "true"


def _encoded(batches: Iterator[list[Json]]) -> Iterator[bytes]:
    # a chunk a transaction: each is one way through the thread pool
    for rows in batches:
        yield b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
