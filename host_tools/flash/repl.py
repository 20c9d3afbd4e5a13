"""A running MicroPython at the raw prompt, by mpremote's transport: what deploy and doctor drive a
board by."""

import ast
import contextlib
import io
import struct
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from types import TracebackType
from typing import Any, Self

from ..errors import UxmppError
from . import ports

#: Seconds that a board may take to come to its prompt, each try.
PROMPT_S = 6.0
PROMPT_TRIES = 2
#: Seconds that a board may be silent while it does something.
ANSWER_S = 20.0
#: Bytes of a file that are sent at once: as text they take a third more of the board's memory.
CHUNK = 1536
#: The most bytes of a file that read() takes.
MAX_READ = 65536
#: The most characters of an answer.
MAX_ANSWER = 1 << 20

# The watchdog of a program goes on when that has ended, so it is fed from here: by a timer where
# the board has one that runs at the prompt, and with each thing that it does.
_BEGIN = """
import os,sys,gc,hashlib
from binascii import a2b_base64,hexlify
def feed():pass
try:
 import json
 with open('device.json') as f:_w=json.load(f).get('watchdog',True)
 if _w:
  from machine import WDT
  _w=WDT(timeout=8000)
  feed=_w.feed
  from machine import Timer
  _t=Timer(-1 if sys.platform=='rp2' else 0)
  _t.init(period=2000,callback=lambda t:feed())
except (ImportError,OSError,ValueError,AttributeError):pass
def sha(p):
 h=hashlib.sha256()
 b=memoryview(bytearray(1024))
 with open(p,'rb') as f:
  while True:
   n=f.readinto(b)
   if not n:break
   h.update(b[:n])
   feed()
 return hexlify(h.digest()).decode()
def walk(p,hashed):
 for e in os.ilistdir(p):
  n=p+'/'+e[0] if p else e[0]
  if e[1]&0x4000:
   if hashed:
    print(repr((n+'/',0,'')))
    walk(n,hashed)
  else:print(repr((n,e[3],sha(n) if hashed else '')))
gc.collect()
"""

_LAST = """
f.close()
gc.collect()
h=sha({beside!r})
if h=={digest!r}:os.rename({beside!r},{path!r})
print(h)
"""


class ReplError(UxmppError):
    """The board does not do what is asked of it by the raw REPL, or is gone; one line."""


class OnBoardError(ReplError):
    """What the board did raised an exception there: `error`, the last line of its traceback."""

    def __init__(self, port: str, error: str) -> None:
        super().__init__(f"port {port}: on the board: {error}")
        self.error = error


class Repl:
    """MicroPython on `port`, for a `with`: the running program is interrupted and memory is as
    after a soft reset; boot.py has run. At the end the board restarts its program, softly. Raises
    PortError, ReplError."""

    def __init__(self, port: str) -> None:
        self.port = port
        self._transport: Any = None
        self._gone = False

    def __enter__(self) -> Self:
        from mpremote.transport import TransportError  # type: ignore[import-untyped]
        from mpremote.transport_serial import (  # type: ignore[import-untyped]
            SerialTransport,
        )

        ports.check(self.port)
        try:
            with _silently():
                self._transport = SerialTransport(self.port, timeout=2)
                # Then it waits for what comes, which it does so long, and does not sleep 10 ms
                # each time that nothing is there
                self._transport.is_pty = True
        except (TransportError, OSError, ValueError):
            # It does not say why; this does
            ports.open_port(self.port).close()
            raise ReplError(f"port {self.port}: cannot be opened; try again") from None
        try:
            self._enter()
            self.run(_BEGIN)
        except BaseException:
            self._close()
            raise
        return self

    def _enter(self) -> None:
        from mpremote.transport import TransportError

        for _ in range(PROMPT_TRIES):
            try:
                with self._watched(), _silently():
                    self._transport.enter_raw_repl(timeout_overall=PROMPT_S)
                return
            except TransportError:
                continue
        raise ReplError(
            f"port {self.port}: the board does not come to MicroPython's prompt: is it one that "
            "runs MicroPython? Press its reset button and try again; `uxmpp flash` puts "
            "MicroPython onto it"
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if not self._gone:
                self._restart()
        finally:
            self._close()

    def _restart(self) -> None:
        """Have the board begin its program anew, as far as it still listens."""
        with contextlib.suppress(Exception), _silently():
            # Something may be under way there
            self._transport.serial.write(b"\r\x03")
            self._transport.exit_raw_repl()
            self._transport.serial.write(b"\x04")
            self._transport.read_until(1, b"soft reboot\r\n", timeout_overall=3)

    def _close(self) -> None:
        if self._transport is not None:
            with contextlib.suppress(Exception):
                self._transport.close()

    def run(
        self, code: str, limit_s: float = ANSWER_S, tell: Callable[[str], None] | None = None
    ) -> str:
        """Have the board run `code`; what it prints. `tell` gets each line as it comes. It may be
        silent for `limit_s` seconds. Raises OnBoardError for an exception there, ReplError."""
        from mpremote.transport import TransportError

        got = bytearray()
        at = 0

        def take(data: bytes) -> None:
            nonlocal at
            got.extend(data.replace(b"\x04", b""))
            if len(got) > MAX_ANSWER:
                raise ReplError(f"port {self.port}: the board says more than it should")
            end = got.find(b"\n", at)
            if tell and end >= 0:
                tell(bytes(got[at:end]).decode(errors="replace").rstrip("\r"))
                at = end + 1

        try:
            with self._watched():
                _, error = self._transport.exec_raw(code, timeout=limit_s, data_consumer=take)
        except TransportError:
            raise ReplError(
                f"port {self.port}: the board has stopped answering: it may have restarted; try "
                "again"
            ) from None
        if error:
            lines = [s.strip() for s in error.decode(errors="replace").splitlines() if s.strip()]
            raise OnBoardError(self.port, lines[-1] if lines else "an error")
        return got.decode(errors="replace").replace("\r\n", "\n")

    def value(self, expression: str, limit_s: float = ANSWER_S) -> Any:
        """Return what an expression is on the board, where Python can write it down. Raises
        OnBoardError, ReplError."""
        text = self.run(f"print(repr({expression}))", limit_s)
        try:
            return ast.literal_eval(text.strip())
        except (ValueError, SyntaxError):
            raise ReplError(f"port {self.port}: the board says {text[:80]!r}") from None

    def read(self, path: str) -> bytes | None:
        """Return what is in a file there, or None where it is not. Raises ReplError."""
        try:
            size = self.value(f"os.stat({path!r})[6]")
        except OnBoardError as e:
            if "ENOENT" in e.error:
                return None
            raise
        if size > MAX_READ:
            raise ReplError(f"port {self.port}: {path} on the board is too long, {size} bytes")
        text = self.run(
            f"with open({path!r},'rb') as f:\n"
            " while True:\n  b=f.read(512)\n  if not b:break\n  print(hexlify(b).decode())"
        )
        try:
            return bytes.fromhex(text)
        except ValueError:
            raise ReplError(f"port {self.port}: {path} cannot be read") from None

    def list(self, folder: str, *, hashed: bool = True) -> dict[str, tuple[int, str]]:
        """Return (size, SHA-256 in hex) by path of what is below a folder; folders end in "/" and
        have no hash. Not `hashed`: what is in the folder itself, without folders and hashes."""
        found = {}
        try:
            text = self.run(f"walk({folder!r},{hashed})")
        except OnBoardError as e:
            if "ENOENT" in e.error:
                return {}
            raise
        for line in text.splitlines():
            try:
                path, size, digest = ast.literal_eval(line)
            except (ValueError, SyntaxError):
                raise ReplError(f"port {self.port}: the board says {line[:80]!r}") from None
            found[path] = (size, digest)
        return found

    def write(self, path: str, data: bytes, tell: Callable[[int], None] | None = None) -> None:
        """Write a file beside its place, have the board read it back and hash it, and rename it.
        `tell` gets how many bytes are there. Raises OnBoardError, ReplError."""
        beside = f"{path}.new"
        digest = sha256(data).hexdigest()
        parts = [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)] or [b""]
        there = 0
        try:
            for i, part in enumerate(parts):
                code = f"f=open({beside!r},'wb')\n" if i == 0 else ""
                code += f"_=f.write(a2b_base64({b64encode(part).decode()!r}))\nfeed()\n"
                if i == len(parts) - 1:
                    code += _LAST.format(beside=beside, path=path, digest=digest)
                said = self.run(code)
                there += len(part)
                if tell:
                    tell(there)
        except OnBoardError:
            with contextlib.suppress(ReplError):
                self.run(f"f.close()\nos.remove({beside!r})")
            raise
        if said.strip() != digest:
            raise ReplError(f"port {self.port}: {path} did not arrive as it was sent; try again")

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Make a ReplError of what means that the port is gone."""
        try:
            yield
        except (OSError, EOFError, TypeError, struct.error) as e:
            # pyserial's errors are OSErrors; the others are of a line that has ended in mid-word
            self._gone = True
            raise ReplError(
                f"port {self.port}: the board is gone: unplugged, or restarted "
                f"({ports.explain(self.port, e).partition(': ')[2]})"
                if isinstance(e, OSError)
                else f"port {self.port}: the board is gone: unplugged, or restarted"
            ) from None


@contextmanager
def _silently() -> Iterator[None]:
    # mpremote prints what it got before it raises
    with contextlib.redirect_stdout(io.StringIO()):
        yield
