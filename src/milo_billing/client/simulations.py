"""What usage would cost under other prices and promises, asked of the server."""

from milo_billing.client.http import JSON, ApiClient


def simulate(api: ApiClient, question: JSON) -> JSON:
    """The same usage as everything stands and under the question: `{total, periods, skus, projects, charges, …}`.

    The question is the body of `POST /v1/simulations` (docs/previews-and-simulations.md). Nothing is written.
    """
    return api.json("POST", "/v1/simulations", body=question)
