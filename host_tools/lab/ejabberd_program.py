"""Where an ejabberd comes from: the one installed here, or Debian's, unpacked."""

import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from . import debian
from .errors import LabError

OLDEST = (24, 12)

PACKAGES = debian.PackageSet(
    "ejabberd",
    (
        "ejabberd",
        "erlang-asn1",
        "erlang-base",
        "erlang-base64url",
        "erlang-crypto",
        "erlang-goldrush",
        "erlang-idna",
        "erlang-inets",
        "erlang-jiffy",
        "erlang-jose",
        "erlang-lager",
        "erlang-mnesia",
        "erlang-odbc",
        "erlang-os-mon",
        "erlang-p1-acme",
        "erlang-p1-cache-tab",
        "erlang-p1-eimp",
        "erlang-p1-mqtree",
        "erlang-p1-pkix",
        "erlang-p1-stringprep",
        "erlang-p1-stun",
        "erlang-p1-tls",
        "erlang-p1-utils",
        "erlang-p1-xml",
        "erlang-p1-xmpp",
        "erlang-p1-yaml",
        "erlang-p1-yconf",
        "erlang-p1-zlib",
        "erlang-public-key",
        "erlang-runtime-tools",
        "erlang-ssl",
        "erlang-syntax-tools",
        "erlang-unicode-util-compat",
        "erlang-xmerl",
        "libc6",
        "libexpat1",
        "libgcc-s1",
        "libssl3t64",
        "libstdc++6",
        "libsystemd0",
        "libtinfo6",
        "libyaml-0-2",
        "libzstd1",
        "zlib1g",
    ),
    "ejabberd (24.12 or newer)",
)

# Of the Erlang machine. Its schedulers are not to spin while they wait (other servers and clients
# share the processors), and its tables not to grow with the machine's limit of open files.
_MACHINE = ("sbwt none", "sbwtdcpu none", "sbwtdio none", "Q 16384")


@dataclass(frozen=True)
class EjabberdProgram:
    """What starts an Erlang that knows ejabberd: `erl`, then Erlang's own options.

    `prefix` is where it was unpacked, None for an installed one.
    """

    erl: tuple[str, ...]
    prefix: debian.Prefix | None = None
    env: Mapping[str, str] = field(default_factory=dict)

    def placed(self, folder: Path) -> "EjabberdProgram":
        """Return it ready to start with `folder` as the place of its own files.

        Of an unpacked one, whose programs would load the libraries of this machine's system, a
        tree of links to it is written into `folder`, with scripts in the place of programs.
        """
        if self.prefix is None:
            return self
        erlang = self.prefix.root / "usr" / "lib" / "erlang"
        machine = _one(erlang, "erts-*/bin/beam.smp")
        tree = folder / "erlang"
        (tree / "lib").mkdir(parents=True)
        (tree / "bin").symlink_to(erlang / "bin")
        _scripts(
            self.prefix,
            [machine.with_name(name) for name in ("erl_child_setup", "inet_gethost")],
            tree / "erts",
        )
        for library in (erlang / "lib").iterdir():
            programs = library / "priv" / "bin"
            place = tree / "lib" / library.name
            if not programs.is_dir():
                place.symlink_to(library)
                continue
            (place / "priv").mkdir(parents=True)
            for part in (*library.iterdir(), *(library / "priv").iterdir()):
                if part not in (programs.parent, programs):
                    (place / part.relative_to(library)).symlink_to(part)
            _scripts(self.prefix, list(programs.iterdir()), place / "priv" / "bin")
        # What the program erlexec would make of its arguments and environment.
        erl = [*self.prefix.argv(machine.relative_to(self.prefix.root)), *_options("-")]
        erl += ["--", "-root", str(tree), "-bindir", str(tree / "erts"), "-progname", "erl"]
        erl += ["--", "-home", str(folder), "--"]
        env = {"ROOTDIR": str(tree), "BINDIR": str(tree / "erts"), "EMU": "beam"}
        return EjabberdProgram(tuple(erl), self.prefix, {**self.env, **env})


@cache
def find() -> EjabberdProgram:
    """Return the ejabberd on PATH if it is fit, else Debian's, downloaded once.

    Raises LabError when neither is to be had.
    """
    control = _which("ejabberdctl")
    erl = _which("erl")
    if control and erl:
        libraries = _fit(Path(control))
        if libraries:
            return EjabberdProgram((erl, *_options("+")), env={"ERL_LIBS": libraries})
    prefix = debian.prefix(PACKAGES)
    return EjabberdProgram(
        (),
        prefix,
        {
            "ERL_LIBS": str(prefix.libraries),
            # The machine's own OpenSSL configuration speaks of the machine's own OpenSSL.
            "OPENSSL_MODULES": str(prefix.libraries / "ossl-modules"),
            "OPENSSL_CONF": "/dev/null",
        },
    )


def _which(name: str) -> str | None:
    # Servers live where a user's PATH does not always lead.
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


def _fit(control: Path) -> str | None:
    """Return the folders of libraries that the script `control` names, if its ejabberd is fit.

    The script cannot be asked: it becomes another user, and starts a server of names.
    """
    try:
        named = re.search(
            r"^ERL_LIBS=['\"]?([^'\"\n]+)", control.read_text(errors="replace"), re.M
        )
        for folder in named[1].split(":") if named else ():
            for app in Path(folder).glob("ejabberd-*/ebin/ejabberd.app"):
                version = re.search(r'\{vsn,\s*"(\d+)\.(\d+)', app.read_text(errors="replace"))
                if version and tuple(map(int, version.groups())) >= OLDEST:
                    return named[1] if named else None
    except OSError:
        pass
    return None


def _options(sign: str) -> list[str]:
    return [word for option in _MACHINE for word in f"{sign}{option}".split()]


def _one(folder: Path, pattern: str) -> Path:
    found = next(folder.glob(pattern), None)
    if found is None:
        raise LabError(f"no {pattern} in {folder}: remove it, and it is fetched anew")
    return found


def _scripts(prefix: debian.Prefix, programs: Sequence[Path], folder: Path) -> None:
    folder.mkdir()
    for program in programs:
        words = prefix.argv(program.relative_to(prefix.root))
        script = folder / program.name
        script.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        script.chmod(0o755)


def environment(program: EjabberdProgram) -> dict[str, str]:
    """Return this process's environment with the program's; nobody's own options of Erlang."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("ERL_", "EJABBERD_"))}
    return {**own, **program.env}
