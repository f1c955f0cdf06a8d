"""The doors of the books: chart, trial balance, entries, statements, aged receivables, closings, export, verify.

The books need `ledger.read`, which no viewer has by itself: they show what a customer's contract costs the provider.
What a customer owes, its statement and how old it is, needs what reading its invoices needs.
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from milo_billing.controlplane.doors import Call, Door
from milo_billing.controlplane.edge import read_body
from milo_billing.controlplane.identity import EVERYWHERE, reaches
from milo_billing.controlplane.kinds import PROVIDER_ORG
from milo_billing.infra.clock import monotonic_s
from milo_billing.infra.database import Tx, forbid_writes
from milo_billing.kernel.errors import Forbidden, MiloError, NotFound
from milo_billing.ledger import operations, reads
from milo_billing.ledger.ports import Accruals, BillingAccounts, Receivables, Subledger
from milo_billing.ledger.rules import representations, requests
from milo_billing.ledger.rules.exports import EXPORTERS
from milo_billing.ledger.types import BookFilter, Position, PostedTransaction

READ: Final = "billing.miloapis.com/ledger.read"
CLOSE: Final = "billing.miloapis.com/ledger.close"
READ_OWED: Final = "billing.miloapis.com/invoices.get"
PATH: Final = "/v1/ledger"
STATEMENT_PATH: Final = f"{PATH}/accounts/{{namespace}}/{{name}}/statement"
CLOSINGS_MAX: Final = 1_000
EXPORTED_AT_ONCE: Final = 500
"""Transactions that are read in one go; memory is flat however many there are."""
ACCRUED_AT_ONCE: Final = 500
ACCRUING_S: Final = 5.0
"""One request accrues so many accounts, or for so long; the next one goes on."""
BODY_BYTES_MAX: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Above:
    """What the books ask of the slices above them."""

    accounts: BillingAccounts
    receivables: Receivables
    accruals: Accruals
    others: tuple[Subledger, ...] = ()
    """Further accounts of the books that have documents, which `verify` compares."""

    @property
    def subledgers(self) -> tuple[Subledger, ...]:
        """Every account of the books that has documents."""
        return (self.receivables, *self.others)


def routes(door: Door, above: Above) -> list[Route]:
    """Everything below `/v1/ledger`."""
    return [
        *_book_routes(door, above),
        *_owed_routes(door, above),
        *_closing_routes(door, above),
    ]


def _book_routes(door: Door, above: Above) -> list[Route]:
    def show_chart(request: Request) -> Response:
        with door.open(request, permission=READ):
            return JSONResponse(representations.chart_body())

    def show_trial_balance(request: Request) -> Response:
        query = request.query_params
        until = requests.parse_until(query, known=frozenset({"at", "entity"}))
        with _reading(door, request, READ) as call:
            rows = reads.trial_balance(call.tx, entity=requests.parse_entity(query), until=until)
        return JSONResponse(representations.trial_balance_body(rows, until=until))

    def show_entries(request: Request) -> Response:
        page, asked = requests.parse_page(request.query_params), requests.parse_filter(request.query_params)
        with _reading(door, request, READ) as call:
            wanted = _resolved(call.tx, above, asked)
            found = reads.list_transactions(call.tx, wanted=wanted, after=page.after, limit=page.limit + 1)
            names = _names(call.tx, above, found)
        items = [representations.transaction_body(one, names=names) for one in found[: page.limit]]
        more = _continued([(one.posted_on, one.number) for one in found], limit=page.limit)
        return JSONResponse({"metadata": more, "items": items})

    def verify(request: Request) -> Response:
        with _reading(door, request, READ) as call:
            found = operations.verify(
                call.tx, subledgers=above.subledgers, everything=call.reach == EVERYWHERE
            )
            numbers = {one.billing_account for one in found if one.billing_account is not None}
            names = above.accounts.list_names(call.tx, numbers=numbers)
        checked = ["transactions", "trial balance", *(one.account for one in above.subledgers)]
        return JSONResponse(representations.verification_body(found, names=names, checked=checked))

    def export(request: Request) -> Response:
        query = request.query_params
        asked = requests.parse_filter(query, also=frozenset({"format"}))
        exporter = EXPORTERS[requests.parse_format(query)]
        with _reading(
            door, request, READ
        ) as call:  # what is wrong with the request is said before the text begins
            wanted = _resolved(call.tx, above, asked)
            rows = reads.trial_balance(call.tx)
        return StreamingResponse(
            _exported(door, request, above, wanted, head=exporter.head(rows), write=exporter.transaction),
            headers={"Content-Disposition": f'attachment; filename="books.{exporter.suffix}"'},
            media_type=exporter.media_type,
        )

    return [
        Route(f"{PATH}/chart", show_chart, methods=["GET"]),
        Route(f"{PATH}/trial-balance", show_trial_balance, methods=["GET"]),
        Route(f"{PATH}/entries", show_entries, methods=["GET"]),
        Route(f"{PATH}/verify", verify, methods=["GET"]),
        Route(f"{PATH}/export", export, methods=["GET"]),
    ]


def _owed_routes(door: Door, above: Above) -> list[Route]:
    def show_statement(request: Request) -> Response:
        namespace, name = request.path_params["namespace"], request.path_params["name"]
        page = requests.parse_page(request.query_params)
        with _reading(door, request, READ_OWED) as call:
            days = requests.parse_days(request.query_params, today=call.now.date())
            number = above.accounts.get_number(call.tx, namespace=namespace, name=name)
            opening = reads.owed_before(call.tx, billing_account=number, day=days[0])
            lines = reads.list_statement(
                call.tx,
                billing_account=number,
                first=days[0],
                end=days[1],
                after=page.after,
                limit=page.limit + 1,
            )
        body = representations.statement_body(
            lines[: page.limit], account=f"{namespace}/{name}", days=days, opening=opening
        )
        more = _continued([(one.posted_on, one.number) for one in lines], limit=page.limit)
        return JSONResponse({"metadata": more, **body})

    def show_aged(request: Request) -> Response:
        query = request.query_params
        limit, after = requests.parse_limit(query), requests.parse_after(query)
        until = requests.parse_until(query, known=frozenset({"at", "limit", "continue"}))
        with _reading(door, request, READ_OWED) as call:
            on = requests.parse_day(query, "at") if until else call.now.date()
            assert on is not None, "there is a day where there is one after it"
            found = above.receivables.list_aged(call.tx, on=on, after=after, limit=limit + 1)
            names = above.accounts.list_names(call.tx, numbers={one.account for one in found})
        numbers = sorted({one.account for one in found})
        more = {"continue": str(numbers[limit - 1])} if len(numbers) > limit else {}
        last = numbers[limit - 1] if more else None
        items = [
            representations.aged_body(one, names=names)
            for one in found
            if last is None or one.account <= last
        ]
        return JSONResponse({"metadata": more, "at": on.isoformat(), "items": items})

    return [
        Route(STATEMENT_PATH, show_statement, methods=["GET"]),
        Route(f"{PATH}/aged-receivables", show_aged, methods=["GET"]),
    ]


def _closing_routes(door: Door, above: Above) -> list[Route]:
    async def close(request: Request) -> Response:
        asked = requests.parse_closing(await read_body(request, bytes_max=BODY_BYTES_MAX))
        body = await to_thread.run_sync(_close, door, request, asked)
        return JSONResponse(body)

    def show_closings(request: Request) -> Response:
        with _reading(door, request, READ) as call:
            found = reads.list_closings(call.tx, limit=CLOSINGS_MAX)
        return JSONResponse({"items": [representations.closing_body(one) for one in found]})

    async def accrue(request: Request) -> Response:
        asked = requests.parse_accrual(await read_body(request, bytes_max=BODY_BYTES_MAX))
        return JSONResponse(await to_thread.run_sync(_accrue, door, request, above, asked))

    return [
        Route(f"{PATH}/accruals", accrue, methods=["POST"]),
        Route(f"{PATH}/closings", close, methods=["POST"]),
        Route(f"{PATH}/closings", show_closings, methods=["GET"]),
    ]


def _close(door: Door, request: Request, asked: requests.ClosingRequest) -> dict[str, object]:
    with door.open(request, permission=CLOSE) as call:
        _check_staff(call, CLOSE)
        if not reads.has_books(call.tx, entity=asked.entity):
            raise NotFound(
                f"nothing stands in the books of {asked.entity!r}: name an IssuerProfile that has issued an invoice"
            )
        closed = operations.close_month(
            call.tx, entity=asked.entity, month=asked.month, by=call.identity.user, now=call.now
        )
        (last,) = reads.list_closings(call.tx, entity=asked.entity, limit=1)
    return {"closed": closed, **representations.closing_body(last)}


def _accrue(door: Door, request: Request, above: Above, asked: requests.AccrualRequest) -> dict[str, object]:
    """One account after another, each in a transaction of its own, until the time of one request is over."""
    began_s = monotonic_s()
    counts = {"posted": 0, "unchanged": 0, "nothing": 0}
    failed: list[dict[str, str]] = []
    with door.open(request, permission=CLOSE) as call:
        _check_staff(call, CLOSE)
        operations.check_open(call.tx, entity=asked.entity, month=asked.month, now=call.now)
        numbers = above.accruals.list_accounts(call.tx, after=asked.after, limit=ACCRUED_AT_ONCE + 1)
        names = above.accounts.list_names(call.tx, numbers=numbers)
    done = 0
    for number in numbers[:ACCRUED_AT_ONCE]:
        try:
            with door.open(request, permission=CLOSE) as call:
                outcome = above.accruals.accrue(
                    call.tx, entity=asked.entity, month=asked.month, account=number, now=call.now
                )
            counts[outcome] += 1
        except MiloError as error:  # what one account lacks does not stop the others
            failed.append({"account": names.get(number, ""), "reason": str(error)})
        done += 1
        if monotonic_s() - began_s > ACCRUING_S:
            break
    more = {"continue": str(numbers[done - 1])} if done < len(numbers) else {}
    return {"metadata": more, **counts, "failed": failed}


def _check_staff(call: Call, permission: str) -> None:
    if not reaches(call.reach, PROVIDER_ORG):
        raise Forbidden(
            f'forbidden: User "{call.identity.user}" lacks the permission {permission} for the provider'
        )


@contextmanager
def _reading(door: Door, request: Request, permission: str) -> Generator[Call]:
    with door.open(request, permission=permission) as call:
        forbid_writes(call.tx)
        yield call


def _resolved(tx: Tx, above: Above, asked: requests.FilterRequest) -> BookFilter:
    if asked.account is None:
        return asked.wanted
    namespace, name = asked.account
    return replace(
        asked.wanted, billing_account=above.accounts.get_number(tx, namespace=namespace, name=name)
    )


def _names(tx: Tx, above: Above, found: Iterable[PostedTransaction]) -> Mapping[int, str]:
    return above.accounts.list_names(tx, numbers={one.billing_account for one in found})


def _continued(positions: Sequence[Position], *, limit: int) -> dict[str, str]:
    if len(positions) <= limit:
        return {}
    day, number = positions[limit - 1]
    return {"continue": f"{day}/{number}"}


def _exported(
    door: Door,
    request: Request,
    above: Above,
    wanted: BookFilter,
    *,
    head: str,
    write: Callable[[PostedTransaction, Mapping[int, str]], str],
) -> Generator[str]:
    """The text in pieces, from one transaction of the database."""
    yield head
    with _reading(door, request, READ) as call:
        after: Position | None = None
        while True:
            found = reads.list_transactions(call.tx, wanted=wanted, after=after, limit=EXPORTED_AT_ONCE)
            names = _names(call.tx, above, found)
            yield "".join(write(one, names) for one in found)
            if len(found) < EXPORTED_AT_ONCE:
                return
            after = found[-1].posted_on, found[-1].number
