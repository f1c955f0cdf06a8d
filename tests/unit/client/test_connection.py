"""Where the client finds its server, and whose token goes where."""

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from milo_billing.client.connection import GATEWAY_EXTENSION, find_connection
from milo_billing.client.errors import UnableToFindServer
from milo_billing.client.settings import ClientSettings

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVER", "GATEWAY", "TOKEN", "CA_FILE", "KUBECONFIG", "DATA_DIR"):
        monkeypatch.delenv(f"MILO_BILLING_{name}", raising=False)
    monkeypatch.delenv("KUBECONFIG", raising=False)


def kubeconfig(path: Path, *, server: str = "https://127.0.0.1:8443", **cluster: Any) -> Path:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [
            {
                "name": "c",
                "cluster": {
                    "server": server,
                    "certificate-authority-data": base64.b64encode(PEM.encode()).decode(),
                    **cluster,
                },
            }
        ],
        "users": [{"name": "u", "user": {"token": "admin-token"}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_kubeconfig_gives_address_authority_token_and_gateway(tmp_path: Path):
    gateway = [{"name": GATEWAY_EXTENSION, "extension": {"server": "https://127.0.0.1:39001/"}}]
    found = find_connection(kubeconfig=kubeconfig(tmp_path / "config", extensions=gateway))
    assert (found.api_url, found.gateway_url) == ("https://127.0.0.1:8443", "https://127.0.0.1:39001")
    assert (found.ca_pem, found.token) == (PEM, "admin-token")


@pytest.mark.parametrize(
    ("server", "gateway"),
    [
        ("https://127.0.0.1:8443", "https://127.0.0.1:8444"),
        ("https://billing.example", "https://billing.example:8444"),
        ("https://[::1]:8443", "https://[::1]:8444"),
    ],
)
def test_a_kubeconfig_without_a_gateway_means_the_port_beside(tmp_path: Path, server: str, gateway: str):
    assert find_connection(kubeconfig=kubeconfig(tmp_path / "config", server=server)).gateway_url == gateway


def test_the_server_of_this_machine_is_found_in_its_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    kubeconfig(tmp_path / "kubeconfig", server="https://127.0.0.1:7777")
    monkeypatch.setenv("MILO_BILLING_DATA_DIR", str(tmp_path))
    assert find_connection().api_url == "https://127.0.0.1:7777"


def test_options_win_over_settings_and_settings_over_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    kubeconfig(tmp_path / "kubeconfig", server="https://data-folder")
    monkeypatch.setenv("MILO_BILLING_DATA_DIR", str(tmp_path))
    assert find_connection().api_url == "https://data-folder"
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "kubectl", server="https://kubectl")))
    assert find_connection().api_url == "https://kubectl"
    monkeypatch.setenv("MILO_BILLING_KUBECONFIG", str(kubeconfig(tmp_path / "ours", server="https://ours")))
    assert find_connection().api_url == "https://ours"
    option = kubeconfig(tmp_path / "option", server="https://option")
    assert find_connection(kubeconfig=option).api_url == "https://option"
    assert find_connection(kubeconfig=option, token="mine").token == "mine"


def test_a_server_named_explicitly_never_gets_the_token_of_a_kubeconfig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    kubeconfig(tmp_path / "kubeconfig")
    monkeypatch.setenv("MILO_BILLING_DATA_DIR", str(tmp_path))
    found = find_connection(server="https://elsewhere.example")
    assert (found.api_url, found.token, found.ca_pem) == ("https://elsewhere.example", "", None)


def test_no_server_at_all_says_where_it_looked_and_what_to_do(tmp_path: Path):
    with pytest.raises(UnableToFindServer) as caught:
        find_connection(settings=ClientSettings(data_dir=tmp_path))
    assert caught.value.where == str(tmp_path / "kubeconfig")
    assert "milo-billing serve" in caught.value.next_step


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: [", "not YAML"),
        ("{}", "no entry named '' under contexts"),
        ("current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]", "under clusters"),
    ],
)
def test_a_broken_kubeconfig_says_what_is_missing(tmp_path: Path, text: str, what: str):
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(UnableToFindServer, match=what):
        find_connection(kubeconfig=path)


def test_an_address_without_a_scheme_is_refused():
    with pytest.raises(UnableToFindServer, match="no server address"):
        find_connection(server="localhost:8443")
