"""A device as a service of systemd: what `uxmpp install-service` writes."""

import grp
import os
import pwd
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from ..errors import UxmppError
from ..flash.mpy import FIRMWARE
from ..provision.device_file import DeviceFile
from ..provision.secret import CREDENTIAL

#: Seconds without a sign of life after which systemd starts the device again, and which its end
#: may take.
WATCHDOG_S = 60
STOP_S = 10
#: Who may use pins, buses and cameras; of these, those that there are.
GROUPS = ("gpio", "i2c", "spi", "video")

_HOMES = ("/home", "/root", "/run/user")


@dataclass(frozen=True)
class Service:
    """The service of a device: `app` and `config` are files, `user` a service of the user's own
    manager."""

    name: str
    app: Path
    config: DeviceFile
    user: bool = False

    @property
    def unit(self) -> str:
        """The unit's name."""
        return f"uxmpp-{self.name}.service"

    @property
    def path(self) -> Path:
        """The unit's file."""
        if self.user:
            home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
            return Path(home).expanduser() / "systemd" / "user" / self.unit
        return Path("/etc/systemd/system") / self.unit

    @property
    def credential(self) -> Path | None:
        """The file of the password; None where the device.toml has all that a login needs."""
        if self.config.values.get("password") or self.config.values.get("keys"):
            return None
        folder = self.path.parents[2] / "uxmpp" if self.user else Path("/etc/uxmpp")
        return folder / f"{self.name}.password"

    def text(self) -> str:
        """Return the unit. Raises UxmppError."""
        config = self.config.path.absolute()
        # In the first word $ is no variable
        command = [str(_program())]
        command += [w.replace("$", "$$") for w in ("run", str(self.app), "--config", str(config))]
        lines = [
            "# Written by `uxmpp install-service`; changes are better made with `systemctl edit`",
            "[Unit]",
            f"Description={_plain(self.config.jid)}: {_plain(self.app.stem)}",
            "Wants=network-online.target",
            "After=network-online.target time-sync.target",
            "",
            "[Service]",
            "Type=notify",
            f"ExecStart={' '.join(map(_word, command))}",
            "Restart=on-failure",
            "RestartSec=10",
            f"TimeoutStopSec={STOP_S}",
            "SuccessExitStatus=143",  # of SIGTERM before the device runs
            f"StateDirectory=uxmpp/{self.name}",
            "StateDirectoryMode=0700",
            "UMask=0077",
            "NoNewPrivileges=yes",
        ]
        if self.config.values.get("watchdog", True):
            lines.append(f"WatchdogSec={WATCHDOG_S}")
        if self.credential:
            lines.append(f"LoadCredential={CREDENTIAL}:{_specifiers(str(self.credential))}")
        if not self.user:
            lines += self._confined(config)
        target = "default.target" if self.user else "multi-user.target"
        return "\n".join([*lines, "", "[Install]", f"WantedBy={target}", ""])

    def _confined(self, config: Path) -> list[str]:
        # The manager of a user can do none of this
        found = config.stat()
        if not found.st_uid and not found.st_mode & 0o004:
            raise UxmppError(
                f"{config} is root's alone: chown it to the user that the device is to run as, or "
                "keep the password elsewhere and chmod 644"
            )
        try:
            owner = pwd.getpwuid(found.st_uid).pw_name
        except KeyError:
            raise UxmppError(f"{config}: its owner {found.st_uid} is no user here") from None
        used = [config, self.app, FIRMWARE, _program(), Path(sys.prefix), Path(sys.base_prefix)]
        made = self.config.device_json()
        used += [Path(part["ca"]) for part in (made, made.get("files", {})) if part.get("ca")]
        used += [path.resolve() for path in used]  # the way there may be a symlink
        at_home = any(str(path).startswith(f"{home}/") for path in used for home in _HOMES)
        there = {g.gr_name for g in grp.getgrall()}
        groups = [g for g in GROUPS if g in there]
        return [
            f"User={owner}" if found.st_uid else "DynamicUser=yes",
            *([f"SupplementaryGroups={' '.join(groups)}"] if groups else []),
            "ProtectSystem=strict",
            # What runs, or is read, lies there
            f"ProtectHome={'read-only' if at_home else 'yes'}",
            "PrivateTmp=yes",
            "ProtectControlGroups=yes",
            "ProtectKernelModules=yes",
            "LockPersonality=yes",
            "RestrictSUIDSGID=yes",
            "RestrictNamespaces=yes",
            "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
            "CapabilityBoundingSet=",
            "SystemCallArchitectures=native",
        ]

    def install(self, *, force: bool = False) -> bool:
        """Write the unit; whether it was another, or none. Raises UxmppError, also for another one
        that is there, unless `force`."""
        text = self.text()
        path = self.path
        try:
            before = path.read_text("utf-8") if path.exists() else None
            if before == text:
                return False
            if before is not None and not force:
                raise UxmppError(f"{path} is there and is another one: --force overwrites it")
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_name(f".{path.name}.new")
            new.write_text(text, "utf-8")
            new.chmod(0o644)
            new.replace(path)
        except (PermissionError, UnicodeDecodeError) as e:
            if self.user or isinstance(e, UnicodeDecodeError):
                raise UxmppError(f"{path} cannot be written: {e}") from None
            raise UxmppError(
                f"{path} is root's to write: sudo {_program()} install-service …, "
                "or a service of your own with --user"
            ) from None
        except OSError as e:
            raise UxmppError(f"{path} cannot be written: {e.strerror}") from None
        return True

    def next_steps(self) -> list[str]:
        """Return the commands that are left to do."""
        sudo = "" if self.user else "sudo "
        ctl = "systemctl --user" if self.user else "sudo systemctl"
        steps = []
        if self.credential and not _is_there(self.credential):
            # Asked for, and seen by nobody: not in the history of the shell, nor in ps
            steps.append(
                f"systemd-ask-password {shlex.quote(f'Password of {self.config.jid}:')} | "
                f"{sudo}install -D -m 600 /dev/stdin {shlex.quote(str(self.credential))}"
            )
        steps.append(f"{ctl} daemon-reload")
        steps.append(f"{ctl} enable --now {self.unit}")
        if self.user:
            steps.append("loginctl enable-linger")
        journal = "journalctl --user" if self.user else "sudo journalctl"
        return [*steps, f"{journal} -f -u {self.unit}"]


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # in a folder that is root's
        return False


def _program() -> Path:
    """Return the file of the command `uxmpp` of this installation."""
    beside = Path(sys.executable).with_name("uxmpp")
    found = beside if beside.exists() else Path(shutil.which("uxmpp") or beside)
    if not found.exists():
        raise UxmppError(f"{beside} is missing: install uxmpp, pip install -e '.[linux]'")
    return found.absolute()


def _specifiers(text: str) -> str:
    # What is no UTF-8 is a surrogate here
    if any(c < " " or "\ud800" <= c <= "\udfff" for c in text):
        raise UxmppError(f"{text!r}: a path with a line break or the like: systemd cannot take it")
    return text.replace("%", "%%")


def _word(text: str) -> str:
    """Return a word of ExecStart as systemd.service(5) wants it."""
    text = _specifiers(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"' if any(c in text for c in " \t'\"\\;") else text


def _plain(text: str) -> str:
    # A backslash at its end would make the next line a part of it
    return _specifiers(" ".join(text.split())).rstrip("\\")
