"""What may be asked of printings, and how long they rest."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from milo_billing.invoicing.rules.printings import (
    REST_S_MAX,
    Failure,
    Printing,
    PrintingRequest,
    parse_printing,
    pause_s,
    printing_body,
)
from milo_billing.kernel.errors import BadRequest

AT = datetime(2026, 11, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        (b"", PrintingRequest(None, None)),
        (b"{}", PrintingRequest(None, None)),
        (b'{"month": "2026-10"}', PrintingRequest((2026, 10), None)),
        (b'{"namespace": "organization-acme"}', PrintingRequest(None, "organization-acme")),
    ],
)
def test_what_is_asked_for(body: bytes, asked: PrintingRequest) -> None:
    assert parse_printing(body) == asked


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[", "not JSON"),
        (b"[]", "must be a JSON object"),
        (b'{"months": "2026-10"}', "unknown field 'months'"),
        (b'{"month": "2026-13"}', "month: "),
        (b'{"month": 10}', "month: "),
        (b'{"namespace": ""}', "namespace must be"),
    ],
)
def test_what_cannot_be_asked_for(body: bytes, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        parse_printing(body)


@pytest.mark.parametrize(
    ("spent_s", "percent", "rest_s"),
    [
        (0.1, 100, 0),
        (0.1, 50, 0.1),
        (0.1, 10, 0.9),
        (0.05, 1, 4.95),
        (30, 1, REST_S_MAX),  # a worker that stops waits for it
    ],
)
def test_work_is_its_part_of_the_time(spent_s: float, percent: int, rest_s: float) -> None:
    assert pause_s(spent_s, percent=percent) == pytest.approx(rest_s)


def test_a_printing_is_told_with_what_became_of_it() -> None:
    printing = Printing(UUID(int=1), None, UUID(int=2), "ann", AT, 3, None, {"printed": 1, "failed": 1})
    body = printing_body(printing, failures=(Failure("KC-1", "no font"),))
    assert (body["state"], body["total"], body["done"], body["printed"], body["failed"]) == (
        "running",
        3,
        2,
        1,
        1,
    )
    assert (body["run"], body["finishedAt"]) == (str(UUID(int=2)), None)
    assert body["failures"] == [{"number": "KC-1", "reason": "no font"}]
    ended = Printing(UUID(int=1), None, None, "ann", AT, 0, AT)
    assert (printing_body(ended, failures=())["state"], printing_body(ended, failures=())["run"]) == (
        "finished",
        None,
    )
