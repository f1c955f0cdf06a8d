"""What the environment says about the server to talk to, and where a server on this machine keeps its
kubeconfig.

Owns: the client's settings. Not: the server's own settings (infra.settings), which share the prefix.
"""

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ClientSettings(BaseSettings):
    """Read from MILO_BILLING_SERVER, _GATEWAY, _TOKEN, _CA_FILE, _KUBECONFIG and _DATA_DIR, and from
    KUBECONFIG.
    """

    model_config = SettingsConfigDict(env_prefix="MILO_BILLING_", extra="ignore", env_ignore_empty=True)

    server: str | None = None
    gateway: str | None = None
    token: str | None = None
    ca_file: Path | None = None
    kubeconfig: Path | None = None
    data_dir: Path | None = None
    kubectl_kubeconfig: Path | None = Field(default=None, validation_alias="KUBECONFIG")
    xdg_data_home: Path | None = Field(default=None, validation_alias="XDG_DATA_HOME")

    def server_kubeconfig(self) -> Path:
        """Where a server on this machine writes the administrator's kubeconfig, by the server's own rules of
        place.
        """
        if self.data_dir is not None:
            return self.data_dir / "kubeconfig"
        if os.geteuid() == 0:
            return Path("/var/lib/milo-billing/kubeconfig")
        base = self.xdg_data_home or Path.home() / ".local" / "share"
        return base / "milo-billing" / "kubeconfig"
