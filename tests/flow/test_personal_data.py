"""Personal data on disk: whatever was written through the API, no table holds it in clear."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from demo.server import Running
from psycopg import sql

from milo_billing.client.billing import run_invoices
from milo_billing.client.http import ApiClient
from milo_billing.client.manifests import read_manifests
from milo_billing.client.objects import Objects
from milo_billing.infra.postgres.folder import SUPERUSER
from milo_billing.infra.postgres.server import PostgresServer, find_postmaster
from tests.flow.conftest import CUSTOMER

SECRETS = ("zebulon@hidden.example", "Zebulon Quillfeather", "17 Undisclosed Lane", "DE811907980")

ACCOUNT = """\
apiVersion: billing.miloapis.com/v1alpha1
kind: BillingAccount
metadata: {{name: main, namespace: organization-private}}
spec:
  currencyCode: USD
  displayName: {title}
  paymentProfile: {{type: BankTransfer}}
  zeroInvoices: true
  taxIds: [{{type: eu_vat, value: DE811907980}}]
  contactInfo:
    email: zebulon@hidden.example
    name: Zebulon Quillfeather
    address: {{country: DE, line1: 17 Undisclosed Lane, city: Berlin, postalCode: "10969"}}
"""


@pytest.fixture
def superuser(server: Running) -> Iterator[psycopg.Connection]:
    """A connection that sees every row, as somebody with a copy of the disk would."""
    folder = Path(server.kubeconfig).parent / "postgres"
    found = find_postmaster(folder)
    assert found is not None
    postgres = PostgresServer(folder=folder, socket_dir=found.socket_dir, pid=found.pid, child=None)
    with psycopg.connect(postgres.conninfo(user=SUPERUSER, database="milo_billing")) as connection:
        yield connection


def test_no_table_holds_personal_data_in_clear(api: ApiClient, superuser: psycopg.Connection):
    objects = Objects(api)
    for text in (
        CUSTOMER.format(name="private", since="2026-01-01T00:00:00Z"),
        ACCOUNT.format(title="One"),  # a change: the old and the new one stand in the change log
        ACCOUNT.format(title="Two"),
    ):
        for manifest in read_manifests(text, where="private"):
            objects.apply(manifest)
    account = objects.get(objects.find_kind("billingaccounts"), "main", namespace="organization-private")
    assert account["spec"]["contactInfo"]["email"] == SECRETS[0]  # in clear to those who may read it
    assert list(run_invoices(api, month="2026-02", accounts=["organization-private/main"]))

    tables = superuser.execute(
        "select schemaname, tablename from pg_tables where schemaname not in ('pg_catalog', 'information_schema')"
    ).fetchall()
    assert len(tables) > 20
    found: list[str] = []
    for schema, table in tables:
        for secret in SECRETS:
            query = sql.SQL("select count(*) from {} as t where t::text ilike any (%s)").format(
                sql.Identifier(schema, table)
            )
            patterns = [f"%{secret}%", f"%{secret.encode().hex()}%"]  # bytea is shown in hexadecimal
            ((rows,),) = superuser.execute(query, (patterns,)).fetchall()
            if rows:
                found.append(f"{schema}.{table}: {secret} in {rows} rows")
    assert found == []
