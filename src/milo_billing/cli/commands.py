"""The command line `milo-billing`: every command that talks to a server.

Owns: the app that the entry point mounts its own commands on (serve, doctor …). Not: what the commands do.

Exit codes: 0 done, 1 it did not work (said on standard error: what, where, what to do), 2 wrong usage.
"""

from cyclopts import App

from milo_billing.cli import (
    bank,
    billing,
    debits,
    details,
    documents,
    entitlements,
    invoice_adjustments,
    invoice_final,
    invoice_life,
    objects,
    places,
    price_lists,
    retention,
)
from milo_billing.cli.commitments import commitment
from milo_billing.cli.credits import credits
from milo_billing.cli.examples import lay_out_help
from milo_billing.cli.invoice_interest import interest
from milo_billing.cli.invoices import invoices
from milo_billing.cli.ledger import ledger
from milo_billing.cli.notices import notices
from milo_billing.cli.payments import payments
from milo_billing.cli.payouts import payouts
from milo_billing.cli.previews import PREVIEW_HELP, preview
from milo_billing.cli.prices import price
from milo_billing.cli.rates import rates
from milo_billing.cli.simulations import SIMULATE_HELP, simulate
from milo_billing.cli.taxes import tax
from milo_billing.cli.transfers import transfers
from milo_billing.cli.usage import usage

app = App(
    name="milo-billing",
    help="Usage-based billing: who pays, what was used, what it costs, what is owed.",
    help_format="plaintext",
)

objects.mount(app)
retention.mount(usage)
app.command(usage)
app.command(commitment)
invoices.command(preview, help_epilogue=PREVIEW_HELP)
invoice_life.mount(invoices)
invoice_adjustments.mount(invoices)
invoice_final.mount(invoices)
invoices.command(interest)
documents.mount(invoices)
details.mount(invoices)
app.command(invoices)
app.command(credits)
app.command(ledger)
bank.mount(payments)
debits.mount(payments)
payments.command(payouts)
payments.command(transfers)
app.command(payments)
app.command(price)
app.command(notices)
app.command(rates)
app.command(tax)
app.command(simulate, help_epilogue=SIMULATE_HELP)
price_lists.mount(app)
billing.mount(app)
entitlements.mount(app)
places.mount(app)
lay_out_help(app)
