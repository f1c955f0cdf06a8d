"""The register of VAT numbers: what is asked, and what each of its answers means, over real sockets and TLS."""

import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import orjson
import pytest
from typing_extensions import override

from milo_billing.adapters.outbound import OutboundRefused, fetch
from milo_billing.adapters.vies_register import ViesRegister
from milo_billing.infra.certificates import ensure_certificates
from milo_billing.kernel.errors import Unavailable
from milo_billing.kernel.taxes import VatAnswer, VatNumber

GREEK = VatNumber("EL094259216", "GR")
ANSWERS: dict[str, tuple[int, object]] = {
    "/ms/EL/vat/094259216": (200, {"isValid": True, "userError": "VALID", "requestIdentifier": ""}),
    "/ms/EL/vat/094259216?requesterMemberStateCode=IE&requesterNumber=3668997OH": (
        200,
        {"isValid": True, "userError": "VALID", "requestIdentifier": "WAPIAAAAY1"},
    ),
    "/ms/DE/vat/123456789": (200, {"isValid": False, "userError": "INVALID"}),
    "/ms/FR/vat/40303265045": (200, {"isValid": False, "userError": "MS_UNAVAILABLE"}),
    "/ms/IE/vat/8Z49289F": (200, ["what"]),
    "/ms/NL/vat/001234567B01": (503, {}),
}


class Vies(BaseHTTPRequestHandler):
    """Answers as the register does."""

    def do_GET(self) -> None:
        code, body = ANSWERS[self.path]
        content = orjson.dumps(body)
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def vies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Callable[..., bytes]]]:
    """The register's URL on loopback, and a fetch that trusts it and may call it."""
    folder: Path = tmp_path_factory.mktemp("tls")
    certificates, _ = ensure_certificates(folder, names=(), now=datetime.now(UTC))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Vies)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.leaf, certificates.leaf_key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    trust = ssl.create_default_context(cafile=certificates.authority)
    yield (
        f"https://localhost:{server.server_address[1]}",
        partial(fetch, trust=trust, may_call=lambda _: True),
    )
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_number_is_asked_for_by_the_registers_name_of_its_country(
    vies: tuple[str, Callable[..., bytes]],
) -> None:
    url, outside = vies
    assert ViesRegister(url, fetch=outside).check(GREEK) == VatAnswer(True, "VIES", "")
    # who says who asks gets a proof of it
    assert ViesRegister(url, "IE3668997OH", outside).check(GREEK) == VatAnswer(True, "VIES", "WAPIAAAAY1")


def test_a_number_that_nobody_has_is_invalid(vies: tuple[str, Callable[..., bytes]]) -> None:
    url, outside = vies
    assert not ViesRegister(url, fetch=outside).check(VatNumber("DE123456789", "DE")).valid


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("FR40303265045", "MS_UNAVAILABLE"),  # isValid is false here, and means nothing
        ("IE8Z49289F", "no answer"),
        ("NL001234567B01", "503"),
        ("DE/../x", "form"),
    ],
)
def test_no_answer_is_never_taken_for_one(
    vies: tuple[str, Callable[..., bytes]], number: str, message: str
) -> None:
    url, outside = vies
    with pytest.raises(Unavailable, match=message):
        ViesRegister(url, fetch=outside).check(VatNumber(number, number[:2]))


def test_an_address_inside_is_never_called() -> None:
    with pytest.raises(OutboundRefused):
        ViesRegister("https://127.0.0.1:1").check(GREEK)
