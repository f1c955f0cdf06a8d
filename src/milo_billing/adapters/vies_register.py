"""VAT numbers of the European Union at VIES, the register of the member states (its REST API)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson

from milo_billing.adapters.outbound import fetch
from milo_billing.kernel.errors import Unavailable
from milo_billing.kernel.taxes import VatAnswer, VatNumber

BYTES_MAX: Final = 64 * 1024
_ANSWERED: Final = frozenset({"VALID", "INVALID", ""})
"""What `userError` says where the member state did answer; anything else is why it did not."""


@dataclass(frozen=True, slots=True)
class ViesRegister:
    """A `invoicing.ports.VatRegister` at the base URL of the REST API, such as
    https://ec.europa.eu/taxation_customs/vies/rest-api. `requester` is the VAT number of who asks: with it VIES gives
    a consultation number, the proof that it was asked.
    """

    url: str
    requester: str = ""
    fetch: Callable[..., bytes] = fetch

    def check(self, number: VatNumber) -> VatAnswer:
        """What VIES says of the number now. Raises Unavailable."""
        # Ireland's old numbers and the Netherlands' have + and *; they are checked at admission
        if not re.fullmatch(r"[A-Z]{2}[A-Z0-9+*]{2,14}", number.text):
            raise Unavailable(f"{number.text} has not the form of a VAT number, so VIES cannot be asked")
        path = f"{self.url}/ms/{number.prefix}/vat/{number.digits.replace('+', '%2B')}"
        if self.requester:
            path += f"?requesterMemberStateCode={self.requester[:2]}&requesterNumber={self.requester[2:]}"
        content = self.fetch(path, bytes_max=BYTES_MAX)
        try:
            found = orjson.loads(content)
        except orjson.JSONDecodeError:
            raise Unavailable("VIES answered something else than JSON") from None
        body = cast("dict[str, Any]", found if isinstance(found, dict) else {})
        valid, error = body.get("isValid"), str(body.get("userError") or "")
        if not isinstance(valid, bool) or error not in _ANSWERED:
            raise Unavailable(
                f"VIES cannot say whether a number of {number.prefix} is valid: {error or 'no answer'}"
            )
        return VatAnswer(valid, "VIES", str(body.get("requestIdentifier") or ""))
