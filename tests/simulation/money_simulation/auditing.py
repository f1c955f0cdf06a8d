"""The auditor of money, written from domain.md §7 to §9: it knows rows, provider, bank, and what was acknowledged.

It computes every balance again from its own statements, and believes no sum that the code keeps.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final, LiteralString
from uuid import UUID

from milo_billing.app.ledger_ports import above_the_books
from milo_billing.app.projections import compare_projections
from milo_billing.infra.database import EVERYWHERE, Tx
from milo_billing.invoicing.operations import explaining
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import lines as line_reads
from milo_billing.invoicing.rules.explaining import explanation_body
from milo_billing.ledger import operations as ledger
from milo_billing.payments.types import Succeeded
from tests.simulation.money_simulation.auditing_credit import CREDIT_CHECKS
from tests.simulation.money_simulation.auditing_terms import TERMS_CHECKS, debits_as_the_bank_has_them
from tests.simulation.money_simulation.auditing_together import TOGETHER_CHECKS
from tests.simulation.money_simulation.auditing_ways_out import (
    PAID_BACK,
    arrived,
    lies_as_the_provider_has_it,
    paid_out,
    payouts_as_the_provider_made_them,
    transfers_as_the_bank_has_them,
)
from tests.simulation.money_simulation.bank import Bank
from tests.simulation.money_simulation.shop import Shop

Rows = list[tuple[Any, ...]]
CUSTOMERS_MONEY: Final = (
    "Liabilities:UnappliedCash",
    "Liabilities:MoneyOnAccount",
    "Liabilities:MoneyOnAccount:Prepaid",
)
RECEIVABLE: Final = "Assets:Receivable"


@dataclass(frozen=True)
class Acknowledged:
    """An invoice as whoever issued it was told; `tokens` is what had been used of its days by then, by account."""

    customer: str
    number: str
    total_minor: int
    first: date
    end: date
    tokens: dict[int, int]


@dataclass
class Auditor:
    """One a simulation."""

    shop: Shop
    issued: dict[UUID, Acknowledged] = field(default_factory=dict[UUID, Acknowledged])
    noted: dict[str, str] = field(default_factory=dict[str, str])
    """Numbers of the credit notes that were acknowledged, by name."""

    granted: set[str] = field(default_factory=set[str])
    """Names of the credit grants that were acknowledged."""

    came_to_nothing: set[tuple[str, date]] = field(default_factory=set[tuple[str, date]])
    """Months that were issued and had nothing to invoice, by customer: what reaches one late is invoiced by itself."""

    bank: Bank = field(default_factory=Bank)
    payer: Bank = field(default_factory=Bank)
    """The same bank, as it has files of transfers."""

    given_up: set[str] = field(default_factory=set[str])
    """Transfers of which a person said that the bank has not executed them."""

    taken_back: set[str] = field(default_factory=set[str])
    """Transfers that were cancelled before they were in a file."""

    _explained: set[UUID] = field(default_factory=set[UUID])

    def audit(self, *, thorough: bool = False) -> list[str]:
        """Everything that cannot be. With `thorough` every invoice is computed again, not only the new ones."""
        with self.shop.till.ground.databases.app.transaction(reach=EVERYWHERE) as tx:
            found = [text for check in CHECKS for text in check(tx)]
            found += self._acknowledged(tx)
            found += self._provider(tx)
            found += self._bank(tx)
            found += debits_as_the_bank_has_them(tx, self.bank)
            found += payouts_as_the_provider_made_them(tx, self.shop.provider)
            found += transfers_as_the_bank_has_them(
                tx, self.payer, given_up=self.given_up, taken_back=self.taken_back
            )
            found += self._explain(tx, everything=thorough)
            others = above_the_books().subledgers
            found += [str(one) for one in ledger.verify(tx, subledgers=others, everything=True)]
            if thorough:
                found += lies_as_the_provider_has_it(tx, self.shop.provider)
                registry = self.shop.till.ground.engine.registry
                found += [str(one) for one in compare_projections(tx, registry)]
        return found

    def _acknowledged(self, tx: Tx) -> Iterator[str]:
        """Each invoice and note that was acknowledged is there as it was told, and no other is."""
        # what is issued and credited by itself, because usage was late, nobody need have been told of: adjustments,
        # and months that had had nothing to invoice, which come with another month's
        invoices = tx.execute(
            "select i.uid, i.number, i.total_minor, i.kind in ('Periodic', 'Consolidated'), "
            "lower(i.period)::date, array(select a.name from invoicing.sections s join accounts.accounts a "
            "on a.number = s.account where s.invoice = i.uid) from invoicing.invoices i"
        ).fetchall()
        found = {
            uid: (number, total)
            for uid, number, total, of_month, month, names in invoices
            if uid in self.issued
            or (of_month and not self.came_to_nothing.issuperset((name, month) for name in names))
        }
        told = {uid: (one.number, one.total_minor) for uid, one in self.issued.items()}
        yield from _compared("invoices that were acknowledged", told, found)
        rows = tx.execute(
            "select name, number from invoicing.credit_notes where name like 'note-%'"
        ).fetchall()
        yield from _compared("credit notes that were acknowledged", self.noted, dict(rows))
        rows = tx.execute("select name from invoicing.credit_grants").fetchall()
        if self.granted != {name for (name,) in rows}:
            yield f"grants that were acknowledged: {sorted(self.granted)}, that stand: {sorted(rows)}"
        rows = tx.execute(
            "select l.invoice, l.used_by, sum(s.metered) from invoicing.lines l "
            "join invoicing.line_shares s using (invoice, line) join invoicing.invoices i on i.uid = l.invoice "
            "where l.sku_name = 'tokens' and l.kind = 'Usage' and i.kind in ('Periodic', 'Consolidated') group by 1, 2"
        ).fetchall()
        metered = {(uid, account): int(sum_) for uid, account, sum_ in rows if uid in found}
        told_used = {
            (uid, account): tokens
            for uid, one in self.issued.items()
            for account, tokens in one.tokens.items()
            if tokens
        }
        yield from _compared("tokens on invoices", told_used, metered)

    def _provider(self, tx: Tx) -> Iterator[str]:
        """No charge twice; what we say came is what the provider took, and it took nothing that we gave up."""
        provider = self.shop.provider
        if twice := provider.charged_twice():
            yield f"charged twice: {twice}"
        rows = tx.execute(
            "select a.key, a.state, a.reference, a.amount_minor, p.amount_minor, a.invoice from payments.attempts a "
            "join payments.payments p on p.uid = a.payment"
        ).fetchall()
        attempts = {row[0]: row for row in rows}
        taken: dict[UUID, int] = defaultdict(int)
        for charge in provider.charges:
            row = attempts.get(charge.request.key)
            if row is None:
                yield f"the provider was asked for {charge.request.key}, of which we know nothing"
                continue
            _, state, reference, asked, paid, _ = row
            succeeded = isinstance(charge.result, Succeeded)
            if charge.request.amount.minor != asked:
                yield f"{charge.request.key} asked for {charge.request.amount}, and is {asked} here"
            if state == "Succeeded" and not (succeeded and reference == charge.reference):
                yield f"{charge.request.key} is Succeeded here, {charge.result} there"
            if state == "Declined" and succeeded:
                yield f"{charge.request.key} is Declined here, and was charged"
            if isinstance(charge.result, Succeeded) and state == "Succeeded":
                taken[row[5]] += charge.result.amount.minor
                if charge.result.amount.minor != paid:
                    yield f"{charge.request.key} is {paid} here, {charge.result.amount} there"
        known = {charge.request.key for charge in provider.charges}
        for key, state, *_ in rows:
            if state == "Succeeded" and key not in known:
                yield f"{key} is Succeeded here, and the provider knows nothing of it"
        yield from self._clearing(tx, taken)

    def _clearing(self, tx: Tx, taken: dict[UUID, int]) -> Iterator[str]:
        """What lies at the provider is what it took for invoices, less what was given back or is about to be, and what
        it has paid out and kept.
        """
        refunds = tx.execute(
            "select p.invoice, sum(r.amount_minor) from payments.refunds r "
            "join payments.payments p on p.uid = r.payment where r.state <> 'Failed' group by 1"
        ).fetchall()
        disputes = tx.execute(
            "select p.invoice, sum(d.taken_minor) from payments.disputes d "
            "join payments.payments p on p.uid = d.payment group by 1"
        ).fetchall()
        for invoice, minor in [*refunds, *disputes]:
            taken[invoice] -= minor
        held: dict[str, int] = defaultdict(int)
        currencies = dict(tx.execute("select uid, currency from invoicing.invoices").fetchall())
        for invoice, minor in taken.items():
            held[currencies[invoice]] += minor
        for currency, minor in paid_out(tx, self.shop.provider).items():
            held[currency] -= minor
        clearing = tx.execute(
            "select currency, sum(amount_minor) from ledger.entries "
            "where account like 'Assets:Clearing:%' and account <> 'Assets:Clearing:Transfers' group by 1"
        ).fetchall()
        yield from _compared("at the provider", _nonzero(held.items()), _nonzero(clearing))

    def _bank(self, tx: Tx) -> Iterator[str]:
        """What the books have at the bank is what was applied of its entries, less what it took back, what went to
        customers and came back; what payouts brought, and what came for grants, of which no statement tells.
        """
        rows = tx.execute(
            "select s.currency, sum(case when e.credit then e.amount_minor else -e.amount_minor end) "
            "from payments.statement_entries e join payments.statements s on s.uid = e.statement "
            "where e.state in ('Applied', 'Returned', 'Transfer') group by 1"
        ).fetchall()
        cash = tx.execute(
            "select currency, sum(amount_minor) from ledger.entries where account like 'Assets:Cash:%' group by 1"
        ).fetchall()
        held = dict[str, int](_nonzero(rows))
        for _, currency, minor in tx.execute(_RECEIVED_FOR_GRANTS):
            held[currency] = held.get(currency, 0) + int(minor)
        for currency, minor in arrived(tx, self.shop.provider).items():
            held[currency] = held.get(currency, 0) + minor
        yield from _compared("at the bank", _nonzero(held.items()), _nonzero(cash))
        rows = tx.execute(
            "select s.currency, sum(case when e.credit then e.amount_minor else -e.amount_minor end) "
            "from payments.statement_entries e join payments.statements s on s.uid = e.statement "
            "where e.state <> 'Known' group by 1"
        ).fetchall()
        yield from _compared("the bank's balance", _nonzero(self.shop.closing.items()), _nonzero(rows))

    def _explain(self, tx: Tx, *, everything: bool) -> Iterator[str]:
        """Every line of an invoice comes out the same when it is computed again from what was frozen."""
        issued = {uid for (uid,) in tx.execute("select uid from invoicing.invoices").fetchall()}
        for uid in issued if everything else issued - self._explained:
            self._explained.add(uid)
            invoice = invoice_reads.get_invoice_by_uid(tx, uid=uid)
            for line in line_reads.list_lines(tx, invoice=uid, limit=1000):
                if line.kind not in ("Usage", "Recurring", "OneTime"):
                    continue  # the difference of two ratings, or a commitment's: the database holds its parts
                body = explanation_body(explaining.explain_line(tx, invoice=invoice, line=line.line))
                if body["recomputed"] != "same":
                    yield f"line {line.line} of {invoice.number} differs: {body}"


# ------------------------------------------------------------------------------------------- what the rows must say


def _balanced(tx: Tx) -> Iterator[str]:
    rows = tx.execute(
        "select t.key, t.entity, e.currency, sum(e.amount_minor) from ledger.entries e "
        "join ledger.transactions t on t.id = e.transaction group by 1, 2, 3 having sum(e.amount_minor) <> 0"
    )
    for key, entity, currency, minor in rows:
        yield f"{key} of {entity} is off by {minor} {currency}"


def _receivable(tx: Tx) -> Iterator[str]:
    """Issued − paid − credited − written off, from the settlements themselves, by account and currency."""
    owed = tx.execute(
        "select i.account, i.currency, sum(i.total_minor - coalesce(s.minor, 0)) from invoicing.invoices i "
        "left join (select invoice, sum(amount_minor) as minor from invoicing.settlements group by 1) s "
        "on s.invoice = i.uid group by 1, 2"
    ).fetchall()
    booked = tx.execute(
        "select t.billing_account, e.currency, sum(e.amount_minor) from ledger.entries e "
        "join ledger.transactions t on t.id = e.transaction where e.account = %s group by 1, 2",
        (RECEIVABLE,),
    ).fetchall()
    yield from _compared("receivable", _by_two(owed), _by_two(booked))


def _settlements(tx: Tx) -> Iterator[str]:
    """Every settlement has its posting, of just as much receivable; the invoice's row has their sums and phase."""
    rows = tx.execute(
        "select s.posted, sum(s.amount_minor), "
        "(select -coalesce(sum(e.amount_minor), 0) from ledger.entries e join ledger.transactions t "
        "on t.id = e.transaction where t.key = s.posted and e.account = %s) "
        "from invoicing.settlements s where s.posted is not null group by 1",
        (RECEIVABLE,),
    )
    for posted, settled, booked in rows:
        if settled != booked:
            yield f"{posted} settles {settled} of invoices, and {booked} of the receivable"
    rows = tx.execute(
        "select i.number, i.phase, i.total_minor, i.amount_paid_minor, i.credited_minor, i.written_off_minor, "
        "coalesce(sum(s.amount_minor) filter (where s.kind in ('Payment', 'PaymentReversal', 'Credit')), 0), "
        "coalesce(sum(s.amount_minor) filter (where s.kind in "
        "('CreditNote', 'EarlyPaymentDiscount', 'DiscountReversal', 'Void')), 0), "
        "coalesce(sum(s.amount_minor) filter (where s.kind in ('WriteOff', 'Recovery')), 0), "
        "bool_or(s.kind = 'Void') "
        "from invoicing.invoices i left join invoicing.settlements s on s.invoice = i.uid group by i.uid"
    )
    for number, phase, total, *sums, is_void in rows:
        if sums[:3] != sums[3:]:
            yield f"{number}: paid, credited and written off are {sums[:3]}, its settlements say {sums[3:]}"
        due, written_off = total - sum(sums[3:]), sums[5]
        if (phase == "Void") != bool(is_void) and total:
            yield f"{number} is {phase}, and {'was' if is_void else 'was not'} taken back"
        expected = {
            "Issued": due == total and due > 0,
            "PartiallyPaid": 0 < due < total,
            "PastDue": due > 0,
            "Paid": due == 0 and not written_off,
            "Uncollectible": due == 0 and written_off > 0,
            "Void": due == 0,
        }
        if not expected[phase]:
            yield f"{number} is {phase} with {due} of {total} due and {written_off} written off"


def _numbers(tx: Tx) -> Iterator[str]:
    """No number missing or twice, in invoices and notes; days never fall along them; no two periods overlap."""
    for table in ("invoices", "credit_notes"):
        rows = tx.execute(
            f"select issuer, series, array_agg(sequence order by sequence), "
            f"array_agg(issued_on order by sequence) from invoicing.{table} group by 1, 2".encode()
        )
        for issuer, series, sequences, days in rows:
            if sequences != list(range(1, len(sequences) + 1)):
                yield f"{table} of {issuer} {series}: {sequences}"
            if days != sorted(days):
                yield f"{table} of {issuer} {series}: days fall: {days}"
    rows = tx.execute(
        "select a.number, b.number from invoicing.invoices a join invoicing.invoices b on a.account = b.account "
        "and a.uid < b.uid and a.period && b.period and a.kind = 'Periodic' and b.kind = 'Periodic' "
        "where a.phase <> 'Void' and b.phase <> 'Void'"
    )
    for one, other in rows:
        yield f"{one} and {other} are for the same days"


def _totals(tx: Tx) -> Iterator[str]:
    """Lines sum to the subtotal, what is off the invoice to its discounts, tax is rounded once a group."""
    rows = tx.execute(
        "select i.number, i.subtotal_minor, i.discounts_minor, i.tax_minor, i.total_minor, "
        "(select coalesce(sum(amount_minor), 0) from invoicing.lines l where l.invoice = i.uid), "
        "(select coalesce(sum(amount_minor), 0) from invoicing.line_discounts d where d.invoice = i.uid "
        "and d.scope = 'Invoice'), "
        "(select coalesce(sum(tax_minor), 0) from invoicing.taxes t where t.invoice = i.uid) "
        "from invoicing.invoices i"
    )
    for number, subtotal, discounts, tax, total, lines, off, taxes in rows:
        if (subtotal, discounts, tax, total) != (lines, off, taxes, lines + off + taxes):
            yield f"{number}: {(subtotal, discounts, tax, total)}, its lines say {(lines, off, taxes)}"
    rows = tx.execute(
        "select i.number, t.tax, t.percent, t.basis_minor, t.tax_minor, "
        "(select sum(l.amount_minor + coalesce((select sum(d.amount_minor) from invoicing.line_discounts d "
        "where d.invoice = l.invoice and d.line = l.line and d.scope = 'Invoice'), 0)) "
        "from invoicing.lines l where l.invoice = i.uid and t.tax = any(l.taxes)), "
        "(select array_agg((c.basis_minor, c.tax_minor, p.key like '%/cancel') order by p.number) "
        "from invoicing.credit_taxes c join ledger.transactions p "
        "on p.key in ('credit-note/' || c.credit_note || '/issue', 'credit-note/' || c.credit_note || '/cancel') "
        "where c.invoice = i.uid and c.tax = t.tax) "
        "from invoicing.taxes t join invoicing.invoices i on i.uid = t.invoice"
    )
    for number, tax, percent, basis, minor, net, given in rows:
        if basis != net:
            yield f"{number}: tax {tax} is on {basis}, its lines come to {net}"
        if minor != _percent(percent, basis):
            yield f"{number}: {percent} % of {basis} is {_percent(percent, basis)}, not {minor}"
        yield from _given_back(number, percent, left=basis, left_tax=minor, given=given or ())


def _percent(percent: Decimal, basis: int) -> int:
    return int((Decimal(basis) * percent / 100).quantize(Decimal(1), ROUND_HALF_UP))


def _given_back(
    number: str, percent: Decimal, *, left: int, left_tax: int, given: Iterable[tuple[Any, Any, Any]]
) -> Iterator[str]:
    """A note's tax is on its own net and never more than is left; the last note takes the rest (domain.md §7).

    What a note took that is cancelled is left again. A tax may be below zero from the beginning: what an adjustment
    takes off what was taxed at a rate of before.
    """
    sign = -1 if left < 0 else 1
    for net, tax, cancelled in ((int(one), int(other), last in (True, "t")) for one, other, last in given):
        if cancelled:
            left, left_tax = left + net, left_tax + tax
            continue
        expected = left_tax if net == left else min(_percent(percent, net), left_tax)
        if left > 0 and tax != expected:
            yield f"{number}: a note gives back {tax} of tax on {net}, where {left_tax} is left on {left}"
        left, left_tax = left - net, left_tax - tax
    if (not left and left_tax) or sign * left < 0 or sign * left_tax < 0:
        yield f"{number}: after its notes {left_tax} of tax is left on {left}"


_RECEIVED_FOR_GRANTS: Final[LiteralString] = (
    "select g.account, g.currency, sum(g.amount_minor) from invoicing.credit_grants g "
    "join controlplane.objects o on o.uid = g.uid where o.spec ->> 'receivedInto' <> '' group by 1, 2"
)

_MOVED: Final[tuple[tuple[LiteralString, int], ...]] = (
    (
        "select p.account, p.currency, sum(p.amount_minor) from payments.payments p "
        "where p.phase in ('Succeeded', 'Refunded') and p.reference <> '' group by 1, 2",
        1,
    ),
    (
        "select p.account, p.currency, sum(r.amount_minor) from payments.refunds r "
        "join payments.payments p on p.uid = r.payment where r.state <> 'Failed' group by 1, 2",
        -1,
    ),
    (
        "select p.account, p.currency, sum(d.taken_minor) from payments.disputes d "
        "join payments.payments p on p.uid = d.payment group by 1, 2",
        -1,
    ),
    (
        "select m.account, s.currency, sum(m.amount_minor) from payments.matches m "
        "join payments.statement_entries e on e.uid = m.entry join payments.statements s on s.uid = e.statement "
        "where m.returned_by is null group by 1, 2",
        1,
    ),
    (
        "select i.account, i.currency, sum(s.amount_minor) from invoicing.settlements s "
        "join invoicing.invoices i on i.uid = s.invoice "
        "where s.kind in ('Payment', 'PaymentReversal', 'Credit') group by 1, 2",
        -1,
    ),
    (
        "select account, currency, sum(total_minor - settled_minor) from invoicing.credit_notes n "
        "where not exists (select from invoicing.settlements s where s.kind = 'DiscountReversal' "
        "and s.reference = n.uid::text) group by 1, 2",
        1,
    ),
    (_RECEIVED_FOR_GRANTS, 1),
    (PAID_BACK, -1),
    (
        "select g.account, g.currency, sum(m.amount_minor) from invoicing.grant_movements m "
        "join invoicing.credit_grants g on g.uid = m.credit_grant "
        "where m.kind = 'Expired' and g.kind = 'Prepaid' group by 1, 2",
        1,
    ),
)
"""What comes to an account's money with us, and what goes from it, by account and currency."""


def _customers_money(tx: Tx) -> Iterator[str]:
    """Unapplied cash and money on account: what came or was credited, less what invoices took; none below zero."""
    expected: dict[tuple[int, str], int] = defaultdict(int)
    for query, sign in _MOVED:
        for account, currency, minor in tx.execute(query):
            expected[account, currency] += sign * int(minor)
    rows = tx.execute(
        "select t.billing_account, e.currency, -sum(e.amount_minor) from ledger.entries e "
        "join ledger.transactions t on t.id = e.transaction where e.account = any(%s) group by 1, 2",
        (list(CUSTOMERS_MONEY),),
    ).fetchall()
    yield from _compared("customers' money", _nonzero(expected.items()), _by_two(rows))
    rows = tx.execute(
        "select t.billing_account, e.account, e.currency, sum(e.amount_minor) from ledger.entries e "
        "join ledger.transactions t on t.id = e.transaction where e.account = any(%s) group by 1, 2, 3 "
        "having sum(e.amount_minor) > 0",
        (list(CUSTOMERS_MONEY),),
    ).fetchall()
    for account, name, currency, minor in rows:
        if minor > _missing_at_most(tx, name).get((account, currency), 0):
            yield f"{name} of account {account} is {minor} {currency} below zero"


def _missing_at_most(tx: Tx, name: str) -> dict[Any, int]:
    """What may be missing of an account's money: only what has left us for good before its money came back.

    Of unapplied cash that is what was refunded, by card or by transfer (of money on account also where that came back
    since: it is on account again), and credit that lapsed, whose money is earned; of money on account what a discount
    had left over that ended. What invoices or credit took is owed again, so nothing of that is missing.
    """
    queries: dict[str, LiteralString] = {
        "Liabilities:UnappliedCash": "select account, currency, sum(minor) from ("
        "select p.account, p.currency, r.amount_minor as minor from payments.refunds r "
        "join payments.payments p on p.uid = r.payment "
        "where r.state <> 'Failed' and r.source in ('UnappliedCash', 'MoneyOnAccount') union all "
        "select account, 'EUR', amount_minor from payments.transfers "
        "where source = 'MoneyOnAccount' or state not in ('Returned', 'Cancelled') union all "
        "select g.account, g.currency, -m.amount_minor from invoicing.grant_movements m "
        "join invoicing.credit_grants g on g.uid = m.credit_grant "
        "where g.kind = 'Prepaid' and g.received_minor = 0 and m.kind = 'Expired') missing group by 1, 2",
        "Liabilities:MoneyOnAccount": "select n.account, n.currency, sum(n.total_minor - n.settled_minor) "
        "from invoicing.credit_notes n join invoicing.settlements s on s.reference = n.uid::text "
        "where s.kind = 'DiscountReversal' group by 1, 2",
    }
    return _by_two(tx.execute(queries[name]).fetchall()) if name in queries else {}


CHECKS: Final[tuple[Callable[[Tx], Iterator[str]], ...]] = (
    _balanced,
    _receivable,
    _settlements,
    _numbers,
    _totals,
    _customers_money,
    *CREDIT_CHECKS,
    *TERMS_CHECKS,
    *TOGETHER_CHECKS,
)


def _by_two(rows: Rows) -> dict[Any, int]:
    return _nonzero(((one, two), minor) for one, two, minor in rows)


def _nonzero(items: Iterable[tuple[Any, Any]]) -> dict[Any, int]:
    return {key: int(minor) for key, minor in items if minor}


def _compared(what: str, expected: dict[Any, Any], found: dict[Any, Any]) -> Iterator[str]:
    for key in sorted(expected.keys() | found.keys(), key=str):
        if expected.get(key) != found.get(key):
            yield f"{what}: {key} should be {expected.get(key)}, is {found.get(key)}"
