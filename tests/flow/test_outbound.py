"""Calls to the outside: what the guard lets through, over real sockets and TLS."""

import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from typing_extensions import override

from milo_billing.adapters.outbound import Address, OutboundRefused, fetch, is_outside
from milo_billing.adapters.published_rates import PublishedRates
from milo_billing.infra.certificates import ensure_certificates
from milo_billing.kernel.errors import Unavailable


class Answering(BaseHTTPRequestHandler):
    """/rates is a file, /moved leads elsewhere, anything else is missing."""

    def do_GET(self) -> None:
        code, body = {"/rates": (200, b"Date,USD\n"), "/moved": (302, b"")}.get(self.path, (404, b"no"))
        self.send_response(code)
        if code == 302:
            self.send_header("Location", "/rates")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ssl.SSLContext]]:
    """A site on loopback over TLS, and who trusts it."""
    folder: Path = tmp_path_factory.mktemp("tls")
    certificates, _ = ensure_certificates(folder, names=(), now=datetime.now(UTC))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.leaf, certificates.leaf_key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield (
        f"https://localhost:{server.server_address[1]}",
        ssl.create_default_context(cafile=certificates.authority),
    )
    server.shutdown()
    server.server_close()
    thread.join()


def anywhere(_: Address) -> bool:
    return True


def test_the_body_of_a_good_answer_comes_back(site: tuple[str, ssl.SSLContext]) -> None:
    url, trust = site
    assert fetch(f"{url}/rates", bytes_max=9, trust=trust, may_call=anywhere) == b"Date,USD\n"


@pytest.mark.parametrize(
    ("path", "bytes_max", "said"),
    [
        ("/nothing", 100, "answered 404"),
        ("/moved", 100, "answered 302"),
        ("/rates", 8, "more than 8 bytes"),
    ],
)
def test_anything_else_is_unavailable(
    site: tuple[str, ssl.SSLContext], path: str, bytes_max: int, said: str
) -> None:
    url, trust = site
    with pytest.raises(Unavailable, match=said):
        fetch(url + path, bytes_max=bytes_max, trust=trust, may_call=anywhere)


def test_a_certificate_that_nobody_trusts_is_no_answer(site: tuple[str, ssl.SSLContext]) -> None:
    url, _ = site
    with pytest.raises(Unavailable, match="certificate verify failed"):
        fetch(f"{url}/rates", bytes_max=100, may_call=anywhere)


def test_an_address_inside_and_another_scheme_are_refused(site: tuple[str, ssl.SSLContext]) -> None:
    url, trust = site
    with pytest.raises(OutboundRefused, match="an address inside"):
        fetch(f"{url}/rates", bytes_max=100, trust=trust)
    with pytest.raises(OutboundRefused, match="an address inside"):
        PublishedRates(url).fetch()
    for other in (url.replace("https:", "http:"), "https:///rates"):
        with pytest.raises(OutboundRefused, match="does not begin with https"):
            fetch(other, bytes_max=100, trust=trust, may_call=anywhere)


@pytest.mark.parametrize(
    ("address", "outside"),
    [
        ("147.67.210.41", True),
        ("2a00:1450:4001:82b::200e", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:147.67.210.41", False),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
    ],
)
def test_which_addresses_are_outside(address: str, outside: bool) -> None:
    assert is_outside(ip_address(address)) is outside
