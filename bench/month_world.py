"""A provider whose month is over: accounts with ten projects each, five meters, thirty days of rolled-up usage.

What is sold is declared through the real engine, once; accounts, projects and usage go straight into their tables:
declaring a hundred thousand objects is not what is measured. Addressees are sealed under a key each.
"""

import random
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from milo_billing.app.wiring import build_registry
from milo_billing.controlplane.decoding import Draft
from milo_billing.controlplane.engine import Engine
from milo_billing.controlplane.identity import Authorizer, Identity
from milo_billing.controlplane.store import SEALED, Store
from milo_billing.controlplane.work import Work
from milo_billing.directory.operations import OrganizationNamespaces
from milo_billing.infra.clock import SimulatedClock, new_uid
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import EVERYWHERE, Databases, Reach, Tx, connect, open_databases
from milo_billing.invoicing.operations.office import Office

PROJECTS_AN_ACCOUNT: Final = 10
ACCOUNTS_AN_ORGANIZATION: Final = 10
DAYS: Final = 30
METERS: Final = ("requests", "tokens", "egress", "calls", "storage")
LINES_AN_ACCOUNT: Final = len(METERS)
YEAR, MONTH = 2026, 11

_ZONES: Final = ("Etc/UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata")
_REGIONS: Final = ("us-east-1", "us-west-2", "eu-west-1", "ap-south-1")
_AGGREGATIONS: Final = {"calls": "Count", "storage": "Max"}
_UNITS: Final = {
    "requests": "{request}",
    "tokens": "{token}",
    "egress": "By",
    "calls": "{call}",
    "storage": "By",
}
_PRICING_UNITS: Final = {**_UNITS, "requests": "10*3.{request}", "tokens": "10*6.{token}", "egress": "GBy"}
_PRICES: Final[tuple[dict[str, Any], ...]] = (
    {
        "skuRef": {"name": "requests"},
        "model": "Graduated",
        "tiers": [
            {"upTo": "1000", "unitPrice": "0.10"},
            {"upTo": "10000", "unitPrice": "0.08"},
            {"upTo": "100000", "unitPrice": "0.05"},
            {"unitPrice": "0.0225"},
        ],
    },
    {"skuRef": {"name": "tokens"}, "model": "PerUnit", "unitPrice": "2.50"},
    {"skuRef": {"name": "egress"}, "model": "PerUnit", "unitPrice": "0.09", "includedQuantity": "0.001"},
    {"skuRef": {"name": "calls"}, "model": "Package", "unitPrice": "0.40", "packageSize": "1000"},
    {
        "skuRef": {"name": "storage"},
        "model": "Volume",
        "tiers": [{"upTo": "10000", "unitPrice": "0.000031"}, {"unitPrice": "0.000024"}],
    },
)
_ISSUER: Final[dict[str, Any]] = {
    "legalName": "Kestrel Cloud Ltd.",
    "address": {"country": "IE", "line1": "3 Grand Canal Plaza", "city": "Dublin", "postalCode": "D04 EE70"},
    "numberSeries": {"prefix": "KC-"},
    "timeZone": "Europe/Dublin",
    "isDefault": True,
}
_CONTACT: Final[dict[str, Any]] = {
    "email": "zoe@example.com",
    "name": "Zoé Lefèvre",
    "businessName": "Acme Robotics SARL",
    "address": {"country": "FR", "line1": "12 rue de l’Université", "city": "Paris", "postalCode": "75007"},
}


class _Anybody(Authorizer):
    def authenticate(self, tx: Tx, token: str, now: datetime) -> Identity:
        return Identity(token)

    def reach(self, tx: Tx, identity: Identity, permission: str) -> Reach:
        return EVERYWHERE


def declare_month(conninfo: str, keyfile: Path, *, accounts: int, now: datetime) -> None:
    """Have the world in the database: `accounts` of them, a multiple of ten. `now` is when all of it was declared.

    `conninfo` is of a user who is a member of every role; `keyfile` the installation's.
    """
    office = open_office(keyfile, now=now)
    databases = open_databases(conninfo, pool_max=1)
    try:
        with connect(conninfo, role="milo_owner") as owner:
            _declare_organizations(owner, accounts=accounts, now=now)
        _declare_catalog(databases, office.engine, now=now)
        with connect(conninfo, role="milo_owner") as owner:
            _declare_accounts(owner, office.vault, accounts=accounts, now=now)
            _declare_projects(owner, now=now)
            _use(owner, now=now)
    finally:
        databases.close()
    with connect(conninfo, role="milo_owner", autocommit=True) as owner:
        owner.execute(
            "vacuum analyze usage.rollups, accounts.accounts, accounts.payer_intervals, directory.projects"
        )
        owner.execute("analyze controlplane.objects, infra.subject_keys")


def _declare_organizations(owner: Tx, *, accounts: int, now: datetime) -> None:
    owner.execute(
        "insert into directory.organizations select nextval('directory.organization_numbers'), gen_random_uuid(), "
        "'org-' || g, %s from generate_series(1, %s) g",
        (now, accounts // ACCOUNTS_AN_ORGANIZATION),
    )


def open_office(keyfile: Path, *, now: datetime) -> Office:
    """Where a process issues that month's invoices."""
    vault = Vault(keyfile)
    engine = Engine(
        registry=build_registry(),
        store=Store(vault),
        namespaces=OrganizationNamespaces(),
        authorizer=_Anybody(),
        clock=SimulatedClock(now),
    )
    return Office(engine, vault)


def _declare_catalog(databases: Databases, engine: Engine, *, now: datetime) -> None:
    for meter in METERS:
        named = f"example.com/{meter}"
        measured = {
            "aggregation": _AGGREGATIONS.get(meter, "Sum"),
            "unit": _UNITS[meter],
            "dimensions": ["region"],
        }
        _declare(
            engine,
            databases,
            "meterdefinitions",
            meter,
            now=now,
            meterName=named,
            phase="Published",
            measurement=measured,
        )
        _declare(
            engine,
            databases,
            "skus",
            meter,
            now=now,
            chargeType="Usage",
            meter={"meterName": named},
            pricingUnit=_PRICING_UNITS[meter],
            displayName=meter.capitalize(),
        )
    _declare(
        engine,
        databases,
        "pricebooks",
        "list",
        now=now,
        bookName="list",
        effectiveFrom="2026-01-01",
        currencyCode="USD",
        phase="Published",
        prices=list(_PRICES),
    )
    _declare(engine, databases, "issuerprofiles", "kestrel", now=now, **_ISSUER)
    _declare(
        engine,
        databases,
        "billingaccounts",
        "a-0",
        namespace="organization-org-1",
        now=now,
        currencyCode="USD",
        paymentProfile={"type": "BankTransfer"},
        timeZone=_ZONES[0],
        contactInfo=_CONTACT,
    )


def _declare(
    engine: Engine,
    databases: Databases,
    plural: str,
    name: str,
    *,
    now: datetime,
    namespace: str = "",
    **spec: Any,
) -> None:
    kind = next(kind for kind in engine.registry.kinds if kind.plural == plural)
    with databases.app.transaction(reach=EVERYWHERE) as tx:
        work = Work(tx, Identity("bench"), EVERYWHERE, new_uid(), now)
        engine.create(work, kind, namespace=namespace, draft=Draft(name, "", "", "", "", {}, {}, spec, {}))
        engine.commit(work)


def _declare_accounts(owner: Tx, vault: Vault, *, accounts: int, now: datetime) -> None:
    """As many more as the one that the engine made."""
    found = owner.execute(
        "select api_group, spec, status from controlplane.objects where resource = 'billingaccounts'"
    ).fetchone()
    assert found is not None, "it was just declared"
    group, spec, status = found
    others = [(new_uid(), number) for number in range(1, accounts)]
    sealed = [vault.seal(owner, subject=uid, value=_CONTACT, at=now) for uid, _ in others]
    copy = (
        "copy controlplane.objects "
        "(uid, api_group, resource, namespace, name, owner_org, generation, created_at, spec, status) from stdin"
    )
    with owner.cursor().copy(copy) as rows:
        for (uid, number), contact in zip(others, sealed, strict=True):
            org = number // ACCOUNTS_AN_ORGANIZATION + 1
            zone = _ZONES[number % len(_ZONES)]
            own = {**spec, "timeZone": zone, "contactInfo": {SEALED: contact}}
            rows.write_row(
                (
                    uid,
                    group,
                    "billingaccounts",
                    f"organization-org-{org}",
                    f"a-{number}",
                    org,
                    1,
                    now,
                    _text(own),
                    _text(status),
                )
            )
    owner.execute(
        "insert into accounts.accounts "
        "(uid, namespace, name, owner_org, currency, time_zone, phase, created_at, version) "
        "select o.uid, o.namespace, o.name, o.owner_org, 'USD', o.spec ->> 'timeZone', 'Ready', o.created_at, 1 "
        "from controlplane.objects o where o.resource = 'billingaccounts' and not exists "
        "(select from accounts.accounts a where a.uid = o.uid) order by substr(o.name, 3)::int"
    )


def _declare_projects(owner: Tx, *, now: datetime) -> None:
    owner.execute(
        "insert into directory.projects (uid, name, owner_org, created_at) select gen_random_uuid(), "
        "'p-' || a.number || '-' || g, a.owner_org, %s from accounts.accounts a, generate_series(1, %s) g "
        "order by a.number, g",
        (now, PROJECTS_AN_ACCOUNT),
    )
    owner.execute(
        "insert into accounts.payer_intervals "
        "(owner_org, project, account, binding, binding_name, project_name, starts_at, version) "
        "select p.owner_org, p.number, split_part(p.name, '-', 2)::int, gen_random_uuid(), 'b', p.name, %s, 1 "
        "from directory.projects p order by p.number",
        (now,),
    )


def _use(owner: Tx, *, now: datetime) -> None:
    """Thirty days of every project on every meter, in one dimension set a project; in the order in which days come."""
    hashes = random.Random(2026).sample(range(1, 1 << 40), len(_REGIONS))
    _insert_dimensions(owner, hashes)
    for day in range(1, DAYS + 1):
        owner.execute(
            "insert into usage.rollups "
            "(account, day, project, meter, dimensions, sum, count, min, max, last, last_at, last_id) "
            "select i.account, %(day)s, i.project, m.number, (%(hashes)s::bigint[])[i.project %% 4 + 1], u.used, "
            "u.used %% 997 + 1, 0, u.used, u.used, %(now)s, '00000000-0000-7000-8000-000000000000' "
            "from accounts.payer_intervals i cross join catalog.meters m cross join lateral "
            "(select 1 + (i.project * 7919::bigint + %(of)s * 104729 + m.number * 31) %% 1000003 as used) u "
            "order by i.account, i.project, m.number",
            {"hashes": hashes, "now": now, "day": date(YEAR, MONTH, day), "of": day},
        )


def _insert_dimensions(owner: Tx, hashes: Sequence[int]) -> None:
    for number, region in zip(hashes, _REGIONS, strict=True):
        owner.execute(
            "insert into usage.dimension_sets values (%s, %s::jsonb)", (number, _text({"region": region}))
        )


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()
