"""Debian's programs in a folder of one's own: downloaded, verified, unpacked, never installed."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from .cache import cache_dir, locked
from .errors import LabError

SUITE = "trixie"
RECIPE = 1  # raise it when the way of unpacking changes: older folders are then left alone

COMMAND_LIMIT_S = 60.0
DOWNLOAD_LIMIT_S = 600.0

KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)

# architecture -> (library folder, loader) below usr/lib
_LAYOUT = {
    "amd64": ("x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
    "i386": ("i386-linux-gnu", "ld-linux.so.2"),
    "arm64": ("aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
    "armhf": ("arm-linux-gnueabihf", "ld-linux-armhf.so.3"),
}
# The same processor's 32-bit architecture. An arm64 processor need not be able to run its own.
_NARROW = {"amd64": "i386", "i386": "i386", "arm64": "armhf", "armhf": "armhf"}
_WIDE = {"amd64", "arm64"}


@dataclass(frozen=True)
class PackageSet:
    """Packages that together make one program run; `by_hand` tells what to install instead."""

    name: str
    packages: tuple[str, ...]
    by_hand: str


@dataclass(frozen=True)
class Prefix:
    """An unpacked set: `root` holds its `usr`, `versions` the version of each package."""

    root: Path
    arch: str
    versions: Mapping[str, str]

    @property
    def libraries(self) -> Path:
        """The folder of the shared libraries."""
        return self.root / "usr" / "lib" / _LAYOUT[self.arch][0]

    def argv(self, program: str | Path) -> list[str]:
        """Return the words that start `program` (below `root`) with the prefix's own libraries."""
        return [
            str(self.libraries / _LAYOUT[self.arch][1]),
            "--library-path",
            str(self.libraries),
            str(self.root / program),
        ]


def prefix(wanted: PackageSet, bits: int | None = None) -> Prefix:
    """Return `wanted` unpacked, from the cache or downloaded into it first.

    `bits` is the word size of the programs, 32 or 64; without it, this machine's own. Raises
    LabError, naming the packages to install by hand, when that cannot be done.
    """
    arch = _arch(bits, wanted.by_hand)
    key = json.dumps([SUITE, arch, sorted(wanted.packages), RECIPE])
    name = f"{wanted.name}-{arch}-{sha256(key.encode()).hexdigest()[:12]}"
    folder = cache_dir() / "debian" / name
    found = _complete(folder, arch)
    if found is None:
        with locked(f"debian-{arch}"):
            found = _complete(folder, arch) or _fetch(wanted, arch, folder)
    return found


def _arch(bits: int | None, by_hand: str) -> str:
    _need("dpkg", by_hand)
    host = _host_arch()
    arch = {None: host, 32: _NARROW.get(host), 64: host if host in _WIDE else None}.get(bits)
    if arch not in _LAYOUT:
        kind = f"{bits}-bit programs on " if bits else ""
        raise LabError(f"no recipe for {kind}a {host} machine: install by hand {by_hand}")
    return arch


@cache
def _host_arch() -> str:
    return _run(["dpkg", "--print-architecture"], "ask dpkg for the architecture").strip()


def _complete(folder: Path, arch: str) -> Prefix | None:
    try:
        versions = json.loads((folder / "complete.json").read_text())
    except (OSError, ValueError):
        return None
    return Prefix(folder / "root", arch, versions)


def _fetch(wanted: PackageSet, arch: str, folder: Path) -> Prefix:
    for program in ("apt-get", "dpkg-deb"):
        _need(program, wanted.by_hand)
    keyring = next((k for k in KEYRINGS if k.exists()), None)
    if keyring is None:
        raise LabError(
            "Debian's packages cannot be verified: install debian-archive-keyring, "
            f"or by hand {wanted.by_hand}"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = folder.parent / f"{folder.name}.part"
    shutil.rmtree(work, ignore_errors=True)  # of a fetch that was killed; the lock is ours
    debs = work / "debs"
    try:
        problem = "apt knows no Debian archive on this machine"
        for mirror in _mirrors():
            try:
                _download(wanted, arch, mirror, keyring, debs)
                break
            except LabError as e:
                problem = str(e)
        else:
            raise LabError(f"{problem}; or install by hand {wanted.by_hand}")
        versions = {}
        for deb in sorted(debs.glob("*.deb")):
            fields = _run(
                ["dpkg-deb", "--show", "--showformat=${Package} ${Version}", str(deb)],
                f"read {deb.name}",
            )
            package, version = fields.split()
            versions[package] = version
            _run(["dpkg-deb", "--extract", str(deb), str(work / "root")], f"unpack {deb.name}")
        shutil.rmtree(debs)
        (work / "complete.json").write_text(json.dumps(versions, indent=1) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        work.rename(folder)
    except OSError as e:
        raise LabError(f"cannot unpack {wanted.name} into {folder}: {e.strerror}") from e
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Prefix(folder / "root", arch, versions)


def _download(wanted: PackageSet, arch: str, mirror: str, keyring: Path, debs: Path) -> None:
    """Download the packages into `debs`, which holds apt's own working files beside them."""
    lists = cache_dir() / "apt" / f"{SUITE}-{arch}"  # kept: the next set fetches only changes
    for part in (lists / "partial", debs / "apt" / "archives" / "partial"):
        part.mkdir(parents=True, exist_ok=True)
    sources = debs / "sources.list"
    options = f"arch={arch} signed-by={keyring} lang=none target=Packages pdiffs=no"
    sources.write_text(f"deb [{options}] {mirror} {SUITE} main\n")
    config = debs / "apt.conf"
    # Read after the machine's own configuration, whose proxies and credentials stay in force;
    # its pins, hooks, architectures and installed packages must not.
    config.write_text(
        f"""\
#clear APT::Architectures;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Default-Release;
APT::Architecture "{arch}";
APT::Architectures {{ "{arch}"; }};
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Retries "3";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
Dir::Etc::sourcelist "{sources}";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::status "/dev/null";
Dir::State::Lists "{lists}";
Dir::Cache "{debs / "apt"}";
"""
    )
    apt = ["apt-get", "--quiet", "--quiet", f"--config-file={config}"]
    _run([*apt, "update"], f"read Debian {SUITE} from {mirror}", limit_s=DOWNLOAD_LIMIT_S)
    _run(
        [*apt, "download", *wanted.packages],
        f"download {wanted.name} from {mirror}",
        cwd=debs,
        limit_s=DOWNLOAD_LIMIT_S,
    )


def _mirrors() -> list[str]:
    """Return the addresses of the Debian archives that this machine's apt uses, best first."""
    known: list[str] = []
    form = "$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)"
    targets = _run(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages"],
        "ask apt for its sources",
    )
    for line in targets.splitlines():
        origin, label, component, uri = line.split("|", 3)
        if (origin, label, component) == ("Debian", "Debian", "main"):
            known.append(uri)
    if not known:
        # Without downloaded lists (a fresh container) apt names no targets: take the addresses
        # that it would download from. The signature tells whether one is Debian's.
        wanted = _run(["apt-get", "update", "--print-uris"], "ask apt for its sources")
        for line in wanted.splitlines():
            uri, _, rest = line.partition("/dists/")
            suite = rest.partition("/")[0]
            if rest and not suite.endswith(("-security", "-updates", "-backports")):
                known.append(uri.lstrip("'") + "/")
    return list(dict.fromkeys(known))


def _need(program: str, by_hand: str) -> None:
    if shutil.which(program) is None:
        raise LabError(f"{program} is missing here (no Debian?): install by hand {by_hand}")


def _run(
    argv: Sequence[str], what: str, *, cwd: Path | None = None, limit_s: float = COMMAND_LIMIT_S
) -> str:
    """Run `argv`, return its standard output; LabError with the last line of its complaint."""
    try:
        with tempfile.TemporaryFile("w+", errors="replace") as complaint:
            done = subprocess.run(
                argv,
                cwd=cwd,
                env={**os.environ, "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaint,
                text=True,
                timeout=limit_s,
            )
            complaint.seek(0)
            lines = [line.strip() for line in complaint if line.strip()]
    except subprocess.TimeoutExpired:
        raise LabError(f"could not {what}: no end after {limit_s:.0f} s") from None
    except OSError as e:
        raise LabError(f"could not {what}: {argv[0]}: {e.strerror}") from e
    if done.returncode:
        # An error line says more than the advice that follows it.
        said = [line for line in lines if line.startswith("E:")] or lines
        why = said[0] if said else f"{argv[0]} ended with {done.returncode}"
        raise LabError(f"could not {what}: {why}")
    return done.stdout
