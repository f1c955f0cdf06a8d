"""Names that are typed: an object in a namespace, as namespace/name."""

from milo_billing.client.errors import ClientError


def split_name(text: str, *, what: str = "billing account", example: str = "main") -> tuple[str, str]:
    """Namespace and name. Raises ClientError, saying how to write it, where one is missing or there are more."""
    namespace, _, name = text.partition("/")
    if not namespace or not name or "/" in name:
        raise ClientError(
            f"{text!r} is no {what}.", next_step=f"Write namespace/name, as in organization-acme/{example}."
        )
    return namespace, name
