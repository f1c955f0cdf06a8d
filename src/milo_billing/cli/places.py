"""Commands on where things are."""

from cyclopts import App

from milo_billing.cli.output import write
from milo_billing.cli.target import DEFAULT, Target
from milo_billing.client.connection import find_kubeconfig


def kubeconfig(*, target: Target = DEFAULT) -> None:
    """Print the path of the kubeconfig that these commands use: the one the server on this machine wrote."""
    with target.reporting():
        path, source = find_kubeconfig(explicit=target.kubeconfig)
    if target.structured:
        target.write({"kubeconfig": str(path), "from": source})
    else:
        write(str(path))


def mount(app: App) -> None:
    """Add this command to the app."""
    app.command(kubeconfig, help_epilogue='Example:\n\n  export KUBECONFIG="$(milo-billing kubeconfig)"')
