"""Run the demo: a month of usage, from declarations to invoices, on a real server."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import cast

from demo import agreements, month, provider, settling
from demo.expected import Bill, Line, expected_invoices, expected_spend, quantity_of
from demo.report import InvoiceRow, Shown, UsageReport, print_report
from demo.server import Running, UnableToStartServer, start_server, stop_leftovers
from milo_billing.cli.output import format_error
from milo_billing.cli.progress import Bars
from milo_billing.client.bank import import_statements
from milo_billing.client.billing import (
    BILLING,
    RunLine,
    get_invoice_lines,
    get_invoice_pdf,
    run_invoices,
    verify_audit,
)
from milo_billing.client.commitments import accept_commitment, get_commitment_summary
from milo_billing.client.errors import ClientError
from milo_billing.client.http import JSON, ApiClient
from milo_billing.client.invoice_life import issue_credit_note
from milo_billing.client.ledger import verify_books
from milo_billing.client.objects import Objects
from milo_billing.client.payments import collect_payments, set_payment_secrets
from milo_billing.client.rates import import_rates
from milo_billing.client.taxes import check_vat_number
from milo_billing.client.timestamps import format_instant
from milo_billing.client.usage import get_statistics, send_events

ROOT = Path(__file__).parents[1]
DOCUMENTS = ROOT / "demo-output"
BATCH = 5_000
CENT = Decimal("0.01")
AWAITED_S = 60.0
"""How long what a worker does may take."""


class Mismatch(Exception):
    """The service and the generator do not agree. One of them is wrong, and the demo must not hide which."""


class Demo:
    """The demo's story, step by step, on one data folder."""

    def __init__(self, folder: Path, bars: Bars) -> None:
        self._folder = folder
        self._bars = bars
        self._month = month.generate_month()
        self._sent = 0
        self._sending_s = 0.0

    def run(self) -> tuple[list[InvoiceRow], UsageReport, Shown]:
        """Everything up to the invoices; raises Mismatch when they are not what they must be."""
        with self._server(month.REBOUND_AT) as api:
            self._declare(api)
            self._send(api, self._month.first, stage="usage, first half")
            progress = self._show_progress(api)
            self._rebind(api)
        with self._server(month.SECOND_DELIVERY_AT) as api:
            self._send(api, self._month.second, stage="usage, second half")
            usage = self._check_usage(api)
            import_rates(api, content=agreements.RATES.read_bytes())
            invoices, explained = self._issue(api)
        with self._server(settling.CARD_AT) as api:
            declined = self._ask_card(api)
        with self._server(settling.AT) as api:
            books = self._settle(api, {row.account: row for row in invoices})
            self._check_audit(api)
        return invoices, usage, Shown(progress, explained, declined, books)

    @contextmanager
    def _server(self, clock: datetime) -> Generator[ApiClient]:
        stage = f"server at {clock:%d %B %Y %H:%M}"
        self._bars.show(stage, 0, 1, unit="start")
        server: Running = start_server(
            self._folder, log=self._folder.with_suffix(".log"), settings={"CLOCK": format_instant(clock)}
        )
        self._bars.show(stage, 1, 1, unit="start")
        try:
            with ApiClient(server.connection()) as api:
                yield api
        finally:
            server.stop()

    def _declare(self, api: ApiClient) -> None:
        bound_from = {
            account.key: format_instant(month.month_start(account)) for account in provider.ACCOUNTS
        }
        manifests = [
            *provider.manifests(first_day=month.FIRST_DAY, bound_from=bound_from),
            *agreements.manifests(first_day=month.FIRST_DAY),
        ]
        objects = Objects(api)
        for done, manifest in enumerate(manifests, start=1):
            objects.apply(manifest)
            if manifest["kind"] == "PaymentMethodClass":
                set_payment_secrets(api, name=provider.CARDS, secrets=provider.CARD_SECRETS)
            if manifest["kind"] == "PaymentMethod":
                _await_card(objects, manifest)
            self._bars.show("declarations", done, len(manifests), unit="objects")
        for account in provider.ACCOUNTS:
            if account.vat_number:  # in place of the register, which is not asked here
                check_vat_number(api, account=account.key, valid=True, source="the demo")
        promise = agreements.PROMISE
        accept_commitment(api, namespace=promise.account.namespace, name=promise.name)

    def _show_progress(self, api: ApiClient) -> str:
        """How the commitment stands now, as the command line shows it; raises Mismatch where it is not so."""
        promise = agreements.PROMISE
        namespace = promise.account.namespace
        summary = get_commitment_summary(api, namespace=namespace, name=promise.name)
        expected = expected_spend(set(self._month.first))  # some readings were sent twice
        for each in cast("list[JSON]", summary["items"]):
            if Decimal(each["spent"]) != expected:
                raise Mismatch(f"{each['interval']} spend {each['spent']}, expected {expected}")
        return self._command("commitment", "show", promise.name, "-n", namespace)

    def _explain(self, invoices: Mapping[str, Bill]) -> str:
        """How a converted line came about, as the command line shows it; raises Mismatch where it is not the line."""
        account, sku = agreements.CONVERTED, "tokens-sage"
        quantity = quantity_of(self._month.counted, account, sku)
        told = self._command(
            *("price", "explain", "--account", account.key, "--sku", sku),
            *("--quantity", str(quantity), "--at", month.LAST_DAY),
        )
        amount = f"{invoices[account.key].lines[sku].amount} {account.currency}"
        if amount not in told:
            raise Mismatch(f"the price explained is not {amount}:\n{told}")
        return told

    def _command(self, *words: str) -> str:
        """What `milo-billing` prints. Raises Mismatch with what it says where it fails."""
        command = [str(Path(sys.executable).with_name("milo-billing")), *words]
        done = subprocess.run(
            [*command, "--kubeconfig", str(self._folder / "kubeconfig")],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise Mismatch(f"{' '.join(words)}: {done.stderr or done.stdout}")
        return done.stdout

    def _rebind(self, api: ApiClient) -> None:
        project = next(project for project in provider.PROJECTS if project.name == month.REBOUND)
        account = provider.find_account("acme", "research")
        Objects(api).apply(provider.binding(project, account, name=f"{project.name}-to-research"))

    def _send(self, api: ApiClient, readings: Sequence[month.Reading], *, stage: str) -> None:
        done = 0
        for batch in month.batches(readings, size=BATCH):
            started = time.perf_counter()
            sent = send_events(api, batch)
            self._sending_s += time.perf_counter() - started
            if sent.rejected:
                first = sent.rejected[0]
                raise Mismatch(
                    f"{len(sent.rejected)} events were rejected, first {first.reason}: {first.detail}"
                )
            done += len(batch)
            self._bars.show(stage, done, len(readings), unit="events")
        self._sent += done

    def _check_usage(self, api: ApiClient) -> UsageReport:
        statistics = get_statistics(api)
        quarantined = {
            reason: int(count) for reason, count in cast("JSON", statistics["quarantined"]).items()
        }
        if quarantined != self._month.bad:
            raise Mismatch(f"quarantined {quarantined}, expected {self._month.bad}")
        if int(statistics["duplicate"]) != self._month.duplicates:
            raise Mismatch(f"deduplicated {statistics['duplicate']}, expected {self._month.duplicates}")
        return UsageReport(
            sent=self._sent,
            seconds=self._sending_s,
            late=self._month.late,
            deduplicated=int(statistics["duplicate"]),
            quarantined=quarantined,
        )

    def _issue(self, api: ApiClient) -> tuple[list[InvoiceRow], str]:
        """The invoices, and how a line of one came about."""
        shutil.rmtree(DOCUMENTS, ignore_errors=True)
        DOCUMENTS.mkdir()
        expected = expected_invoices(self._month.counted)
        issued: dict[str, RunLine] = {}
        for step in run_invoices(api, month=f"{month.YEAR}-{month.MONTH:02}"):
            if isinstance(step, RunLine):
                if step.state != "issued":
                    raise Mismatch(f"{step.account}: {step.state}: {step.reason}")
                issued[step.account] = step
                self._bars.show("invoices", len(issued), len(expected), unit="invoices")
        if issued.keys() != expected.keys():
            raise Mismatch(f"invoices for {sorted(issued)}, expected {sorted(expected)}")
        rows = [self._save(api, issued[account], expected[account]) for account in sorted(issued)]
        self._bars.show("PDF documents", len(rows), len(rows), unit="files")
        return rows, self._explain(expected)

    def _save(self, api: ApiClient, issued: RunLine, expected: Bill) -> InvoiceRow:
        namespace = issued.account.split("/")[0]
        lines = get_invoice_lines(api, namespace=namespace, name=issued.invoice)
        amounts = {
            str(line["sku"] or line["description"]): Line(Decimal(line["amount"]), Decimal(line["net"]))
            for line in lines
        }
        status = get_invoice(api, issued.account, issued.number)["status"]
        taxes = [(tax["category"], Decimal(tax["amount"])) for tax in status["tax"]]
        found = (amounts, taxes, Decimal(issued.total))
        if found != (wanted := (expected.lines, [(expected.category, expected.tax)], expected.total)):
            raise Mismatch(f"{issued.account}: {found}, expected {wanted}")
        account = next(account for account in provider.ACCOUNTS if account.key == issued.account)
        pdf = DOCUMENTS / f"{issued.number.replace('/', '-')}.pdf"
        pdf.write_bytes(get_invoice_pdf(api, namespace=namespace, name=issued.invoice))
        return InvoiceRow(
            account=issued.account,
            number=issued.number,
            customer=account.business_name,
            lines=len(lines),
            tax=expected.tax,
            taxed=expected.category,
            total=Decimal(issued.total),
            currency=issued.currency,
            pdf=pdf.relative_to(ROOT),
        )

    def _ask_card(self, api: ApiClient) -> str:
        """The card is asked for the first time and declines; when it is asked again, as the command line shows it."""
        namespace, _ = settling.PAID_BY_CARD.split("/")

        def waits() -> bool:
            [line] = collect_payments(api, accounts=[settling.PAID_BY_CARD])
            return line["namespace"] == namespace and line["state"] == "waiting"

        _await(waits, "the card declined")
        return self._command("payments", "collect")

    def _settle(self, api: ApiClient, invoices: Mapping[str, InvoiceRow]) -> str:
        """The card again, a bank statement and a credit note; the books then, as the command line shows them."""
        by_card = invoices[settling.PAID_BY_CARD]
        list(collect_payments(api, accounts=[by_card.account]))
        _await(
            lambda: get_invoice(api, by_card.account, by_card.number)["status"]["phase"] == "Paid",
            "the card paid",
        )
        paid, half = invoices[settling.PAID], invoices[settling.PAID_IN_PART]
        transfers = [
            settling.Transfer(paid.number, paid.total, paid.currency, paid.customer),
            settling.Transfer(half.number, (half.total / 2).quantize(CENT), half.currency, half.customer),
        ]
        import_statements(api, content=settling.bank_file(transfers), dry_run=False)
        credited = invoices[settling.CREDITED]
        namespace = credited.account.split("/")[0]
        spec: JSON = {"invoiceRef": {"name": credited.number.lower()}, "reason": settling.REASON}
        note = issue_credit_note(api, namespace=namespace, spec=spec)
        pdf = api.request("GET", note["status"]["documents"]["pdf"], accept="application/pdf").content
        (DOCUMENTS / f"{note['status']['number']}.pdf").write_bytes(pdf)
        if (given_back := Decimal(note["status"]["total"])) != credited.total:
            raise Mismatch(f"the credit note is over {given_back}, expected {credited.total}")
        phases = {
            row.account: get_invoice(api, row.account, row.number)["status"]["phase"]
            for row in (by_card, paid, half, credited)
        }
        expected = {
            by_card.account: "Paid",
            paid.account: "Paid",
            half.account: "PastDue",
            credited.account: "Paid",
        }
        if phases != expected:
            raise Mismatch(f"the invoices are {phases}, expected {expected}")
        if not (found := verify_books(api))["ok"]:
            raise Mismatch(f"the books are wrong: {found['differences']}")
        self._bars.show("invoices settled", len(phases), len(phases), unit="invoices")
        return self._command("ledger", "trial-balance")

    def _check_audit(self, api: ApiClient) -> None:
        report = verify_audit(api)
        if not report["ok"]:
            raise Mismatch(f"the audit chain is broken: {report}")
        chains = len(cast("list[JSON]", report["chains"]))
        self._bars.show("audit chains verified", chains, chains, unit="chains")


def get_invoice(api: ApiClient, account: str, number: str) -> JSON:
    """The Invoice object as it stands now."""
    namespace = account.split("/")[0]
    return api.json("GET", f"{BILLING}/namespaces/{namespace}/invoices/{number.lower()}")


def choose_folder() -> Path:
    """The data folder: below the repository, or as root elsewhere if PostgreSQL's user cannot pass to there."""
    if os.geteuid() == 0 and not all(folder.stat().st_mode & 0o001 for folder in (ROOT, *ROOT.parents)):
        return Path(tempfile.gettempdir()) / "milo-billing-demo"
    return ROOT / ".cache" / "demo"


def clear(folder: Path) -> None:
    """Take away what the run before left, also one that was killed."""
    stop_leftovers(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(".log").unlink(missing_ok=True)
    folder.parent.mkdir(parents=True, exist_ok=True)


def _await_card(objects: Objects, method: provider.Manifest) -> None:
    """Until a worker has asked the provider of payments about the card: the account is Ready with it."""
    metadata = method["metadata"]
    kind = objects.find_kind("paymentmethods")

    def active() -> bool:
        found = objects.get(kind, metadata["name"], namespace=metadata["namespace"])
        return found["status"]["phase"] == "Active"

    _await(active, f"{metadata['name']} can be charged")


def _await(holds: Callable[[], bool], what: str) -> None:
    """Until it holds. Raises Mismatch where it does not in time."""
    deadline = time.monotonic() + AWAITED_S
    while not holds():
        if time.monotonic() > deadline:
            raise Mismatch(f"not so within {AWAITED_S:.0f} s: {what}")
        time.sleep(0.1)


def main() -> int:
    """Run it, print the report; 1 if something did not work or did not come out as it must."""
    started = time.perf_counter()
    folder = choose_folder()
    try:
        clear(folder)
        with Bars() as bars:
            invoices, usage, shown = Demo(folder, bars).run()
    except ClientError as error:
        sys.stderr.write(format_error(error) + f"  log: {folder.with_suffix('.log')}\n")
        return 1
    except (Mismatch, UnableToStartServer, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"error: {error}\n  log: {folder.with_suffix('.log')}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the next run starts clean\n")
        return 130
    print_report(invoices, usage, shown, folder=folder, elapsed_s=time.perf_counter() - started)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
