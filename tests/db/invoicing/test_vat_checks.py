"""Checks of VAT numbers: the register is asked at the door and every night, and its answer kept for its number."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from milo_billing.adapters.folder_blobs import FolderBlobs
from milo_billing.adapters.typst_documents import TypstDocuments
from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import build_application
from milo_billing.infra.clock import SimulatedClock
from milo_billing.infra.jobs import Periodic
from milo_billing.invoicing.jobs.vat_numbers import vat_tasks
from milo_billing.invoicing.routes import routes
from milo_billing.kernel.errors import Unavailable
from milo_billing.kernel.taxes import VatAnswer, VatNumber
from tests.db.invoicing.ground import ACME, NOVEMBER, Ground
from tests.serving import client_of, serving

FRENCH = "FR40303265045"


@dataclass
class Register:
    """Knows which numbers are valid; of others it says nothing while it is `away`."""

    valid: set[str]
    away: bool = False
    asked: list[str] = field(default_factory=list[str])

    def check(self, number: VatNumber) -> VatAnswer:
        self.asked.append(number.text)
        if self.away:
            raise Unavailable("VIES cannot say whether a number of FR is valid: MS_UNAVAILABLE")
        return VatAnswer(number.text in self.valid, "VIES", "WAPI1")


@pytest.fixture
def register() -> Register:
    return Register({FRENCH})


@pytest.fixture
def http(ground: Ground, register: Register, tmp_path: Path) -> Iterator[httpx.Client]:
    door = Door(ground.databases.app, ground.engine.authorizer, SimulatedClock(NOVEMBER))
    office = replace(ground.office, register=register)
    application = build_application(routes(door, office, TypstDocuments(), FolderBlobs(tmp_path / "archive")))
    with (
        serving(application) as url,
        client_of(url, token="ann") as client,
    ):
        yield client


def checked(http: httpx.Client, **body: object) -> httpx.Response:
    return http.post("/v1/invoicing/vat-checks", json={"account": f"{ACME}/main", **body})


def kept(ground: Ground) -> list[tuple[bool, str, str]]:
    return [
        (valid, source, reference)
        for valid, source, reference in ground.read(
            "select valid, source, reference from invoicing.vat_checks order by checked_at"
        )
    ]


def test_the_register_is_asked_and_its_answer_kept_without_the_number_in_clear(
    ground: Ground, http: httpx.Client
) -> None:
    ground.declare_account()
    answer = checked(http)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found.pop("checkedAt").startswith("2026-11-02T09:30:0")
    assert found == {"account": f"{ACME}/main", "valid": True, "source": "VIES", "reference": "WAPI1"}
    assert kept(ground) == [(True, "VIES", "WAPI1")]
    assert FRENCH not in str(ground.read("select sealed from invoicing.vat_checks"))


def test_staff_note_what_they_were_told(ground: Ground, http: httpx.Client, register: Register) -> None:
    ground.declare_account()
    assert checked(http, valid=False, source="VIES web page", reference="7").json()["valid"] is False
    assert (kept(ground), register.asked) == ([(False, "VIES web page", "7")], [])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"account": "main"}, "namespace/name"),
        ({"source": "me"}, "belong to an answer"),
        ({"valid": 1, "source": "me"}, "must be true or false"),
        ({"valid": True}, "say who answered"),
        ({"number": "DE1"}, "unknown field 'number'"),
    ],
)
def test_what_is_no_check_is_refused(
    ground: Ground, http: httpx.Client, body: dict[str, object], message: str
) -> None:
    ground.declare_account()
    answer = checked(http, **body)
    assert (answer.status_code, message in answer.text) == (400, True), answer.text


def test_an_account_without_a_number_cannot_be_checked(ground: Ground, http: httpx.Client) -> None:
    ground.declare_account(taxIds=None)
    answer = checked(http)
    assert (answer.status_code, "spec.taxIds" in answer.text) == (400, True)


def test_a_register_that_is_away_leaves_everything_as_it_was(
    ground: Ground, http: httpx.Client, register: Register
) -> None:
    ground.declare_account()
    register.away = True
    assert checked(http).status_code == 503
    assert kept(ground) == []


def night(ground: Ground, register: Register, *, days: int = 0) -> None:
    (periodic,) = vat_tasks(
        office=replace(ground.office, register=register),
        database=ground.databases.app,
        clock=SimulatedClock(NOVEMBER + timedelta(days=days)),
    )
    assert isinstance(periodic, Periodic)
    periodic.task.run(0)


def test_every_night_new_and_old_numbers_are_asked_for(ground: Ground, register: Register) -> None:
    ground.declare_account()
    ground.declare_account("other", taxIds=[{"type": "eu_vat", "value": "DE 123456789"}])
    ground.declare_account("american", taxIds=[{"type": "us_ein", "value": "12-3456789"}])
    night(ground, register)
    night(ground, register, days=1)
    assert sorted(register.asked) == ["DE123456789", FRENCH]
    register.away = True
    night(ground, register, days=31)  # nothing is lost by a register that is away
    register.away = False
    register.valid.clear()
    night(ground, register, days=32)
    assert sorted(valid for valid, _, _ in kept(ground)) == [False, False, False, True]


def test_without_a_register_nobody_is_asked(ground: Ground) -> None:
    assert (
        vat_tasks(office=ground.office, database=ground.databases.app, clock=SimulatedClock(NOVEMBER)) == ()
    )
