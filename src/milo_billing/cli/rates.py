"""Commands on exchange rates."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from milo_billing.cli.output import write
from milo_billing.cli.target import DEFAULT, Target
from milo_billing.client.errors import ClientError
from milo_billing.client.rates import get_rate
from milo_billing.client.rates import import_rates as send_rates

rates = App(name="rates", help="Exchange rates: bring them in, look one up.")


@rates.command(name="import", help_epilogue="Example:\n\n  milo-billing rates import eurofxref-hist.zip")
def import_(
    file: Annotated[
        Path, Parameter(help="eurofxref-hist.zip or .csv, as the European Central Bank publishes it.")
    ],
    /,
    *,
    target: Target = DEFAULT,
) -> None:
    """Bring in a file of exchange rates; the same file again changes nothing.

    A rate that is there already with another value is refused, and nothing of the file is taken.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ClientError(f"The file cannot be read: {error.strerror}.", where=str(file)) from error
    with target.open() as api:
        done = send_rates(api, content=content)
    if target.structured:
        target.write(done)
    else:
        write(
            f"{done['added']} rates added, {done['known']} known already, "
            f"{done['firstDay']} to {done['lastDay']} ({done['source']})"
        )


@rates.command(help_epilogue="Example:\n\n  milo-billing rates show --from USD --to CHF --at 2026-10-31")
def show(
    *,
    from_: Annotated[str, Parameter(name="--from", help="The currency to convert, such as USD.")],
    to: str,
    at: str | None = None,
    target: Target = DEFAULT,
) -> None:
    """Show the rate between two currencies, with the day on which it was published.

    Parameters
    ----------
    to
        The currency to convert to.
    at
        YYYY-MM-DD; the rate last published on that day or before. Today when not given.
    """
    with target.open() as api:
        found = get_rate(api, from_currency=from_, to_currency=to, at=at)
    if target.structured:
        target.write(found)
        return
    legs = found["perEuro"]
    write(f"1 {found['from']} = {found['rate']} {found['to']}, published {found['day']} by {found['source']}")
    write(f"1 EUR = {legs['from']} {found['from']} = {legs['to']} {found['to']}")
