"""A person's chat client in a web page: converse.js, in a browser, from loopback alone."""

import base64
import json
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Mapping
from functools import partial
from hashlib import sha512
from html import escape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from .cache import cache_dir, locked
from .chromium import Chromium, failures
from .errors import LabError
from .part import Part

VERSION = "14.0.0"
#: Of the registry's archive, as npm writes it into a lock file.
INTEGRITY = (
    "sha512-LFUg030jDalV47vI/vyVPqYPZfJYXFbubq8v0cFDe2zXNeeGEk3Up0Fj"
    "/WTzT6t+6do+cAIToy73eAj7RNDj2Q=="
)
DOWNLOAD_LIMIT_S = 300.0

_MESSAGES = "converse-chat-message"
# The notices that are left out lie over the chat, and go when they like
_PAGE = """\
<!doctype html>
<html><head><meta charset="utf-8"><title>{title}</title>
<link rel="stylesheet" href="/converse.min.css">
<style>converse-toasts {{ display: none }}</style></head>
<body class="converse-fullscreen"><script type="module">
import "/converse.min.js";
window.converse.initialize({settings});
</script></body></html>
"""
_DISMISS = "document.querySelectorAll('.alert-info .btn-danger').forEach((b) => b.click())"
# Nothing is asked of anybody but the server, and nothing is in other words than English
_SETTINGS: Mapping[str, Any] = {
    "assets_path": "/",
    "authentication": "login",
    "auto_login": True,
    "discover_connection_methods": False,
    "i18n": "en",
    "loglevel": "error",
    "persistent_store": "localStorage",
    "play_sounds": False,
    "show_client_info": False,
    "show_desktop_notifications": False,
    "view_mode": "fullscreen",
}


def package() -> Path:
    """Return the folder of what converse.js has for web pages, from the cache or fetched into it
    first by npm. Raises LabError."""
    folder = cache_dir() / f"converse.js-{VERSION}"
    if not folder.exists():
        with locked("converse.js"):
            if not folder.exists():
                _fetch(folder)
    return folder


def _fetch(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise LabError(f"npm is missing here, which fetches converse.js {VERSION}: install npm")
    work = folder.with_suffix(".part")
    shutil.rmtree(work, ignore_errors=True)  # of a fetch that was killed; the lock is ours
    try:
        work.mkdir(parents=True)
        argv = [npm, "pack", f"converse.js@{VERSION}", "--silent", "--pack-destination", str(work)]
        done = subprocess.run(
            argv,
            cwd=work,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DOWNLOAD_LIMIT_S,
        )
        archive = next(work.glob("*.tgz"), None)
        if done.returncode or archive is None:
            said = (done.stderr.strip() or f"npm ended with {done.returncode}").splitlines()
            raise LabError(f"npm could not fetch converse.js {VERSION}: {said[-1]}")
        unpack(archive, work, INTEGRITY)
        (work / "package" / "dist").rename(folder)
    except subprocess.TimeoutExpired as e:
        raise LabError(f"npm had not fetched converse.js after {e.timeout:g} s") from None
    except OSError as e:
        raise LabError(f"cannot keep converse.js in {folder}: {e.strerror}") from e
    finally:
        shutil.rmtree(work, ignore_errors=True)


def unpack(archive: Path, folder: Path, integrity: str) -> None:
    """Unpack what the npm package `archive` has for web pages into `folder`, as package/dist;
    `integrity` is what npm says of it: "sha512-…". Raises LabError where it is another."""
    with archive.open("rb") as f:
        found = base64.b64encode(sha512(f.read()).digest()).decode()
    if f"sha512-{found}" != integrity:
        raise LabError(f"{archive.name} is not what it was: sha512-{found}, not {integrity}")
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name
            # Without the maps for its authors, which are half of it
            if name.startswith("package/dist/") and not name.endswith(".map"):
                tar.extract(member, folder, filter="data")


class Converse(Part):
    """`with Converse(browser, jid, password, url) as chat:`; the account `jid` in a page of
    `browser`, over the WebSocket at `url`, "wss://…". What waits raises LabTimeout after the
    browser's limit.

    Attribute: `page`, Playwright's, of `width` x `height` pixels.
    """

    def __init__(
        self,
        browser: Chromium,
        jid: str,
        password: str,
        url: str,
        *,
        width: int = 900,
        height: int = 700,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.jid = jid
        told = {"jid": jid, "password": password, "websocket_url": url, **(settings or {})}
        self._index = _PAGE.format(
            # "</script>" in it would end it
            settings=json.dumps({**_SETTINGS, **told}).replace("<", "\\u003c"),
            title=escape(jid),
        ).encode()
        self._browser = browser
        self._size = (width, height)
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> Self:
        """Open the page and log in. Raises LabError."""
        handler = partial(_Site, self._index, directory=str(package()))
        server = self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            self.page = self._browser.page(f"http://127.0.0.1:{server.server_port}/", *self._size)
            self.wait_for("I am online")
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Close the page, and with it the session."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        if hasattr(self, "page"):
            with failures("the page"):
                self.page.close()

    def accept(self, jid: str, name: str) -> None:
        """Wait until `jid` asks to be a contact, agree, and call it `name`, in its chat."""
        with failures(f"no request of {jid}"):
            self.page.locator(".open-chat", has_text=jid).first.click()
            self.page.get_by_role("button", name="Add", exact=True).click()
            dialog = self.page.locator(".modal-content", has_text="Add a Contact")
            dialog.locator("input[name=name]").fill(name)
            dialog.get_by_role("button", name="Add", exact=True).click()
            dialog.wait_for(state="hidden")
            # Sometimes the question stays
            self.page.evaluate(_DISMISS)

    def say(self, text: str) -> None:
        """Send a line of one's own in the open chat."""
        with failures(f"cannot say {text!r}"):
            before = self.page.locator(_MESSAGES).count()
            box = self.page.locator("textarea.chat-textarea")
            box.fill(text)
            box.press("Enter")
            self.page.locator(_MESSAGES).nth(before).wait_for()

    def message(self, text: str) -> str:
        """Wait for a message that has `text` in it, as it is seen; return the last's HTML."""
        with failures(f"no message {text!r}"):
            found = self.page.locator(f"{_MESSAGES} .chat-msg__text", has_text=text).last
            found.wait_for()
            return re.sub("<!--.*?-->", "", found.inner_html())

    def picture(self) -> tuple[int, int]:
        """Wait until the last picture in the open chat was loaded; return its own width and
        height in pixels."""
        with failures("no picture"):
            image = self.page.locator(f"{_MESSAGES} img.chat-image").last
            image.scroll_into_view_if_needed()
            size = image.evaluate(
                "async (i) => { await i.decode(); return [i.naturalWidth, i.naturalHeight]; }"
            )
        return size[0], size[1]

    def wait_for(self, text: str) -> None:
        """Wait until `text` is seen anywhere."""
        with failures(f"no {text!r}"):
            self.page.get_by_text(text).first.wait_for()

    def screenshot(self, path: Path) -> None:
        """Write what is seen to a PNG file."""
        with failures("no screenshot"):
            self.page.mouse.move(0, 0)  # what is below the pointer looks otherwise
            self.page.screenshot(path=path)


class _Site(SimpleHTTPRequestHandler):
    """The package's files, and the page itself at /."""

    def __init__(self, index: bytes, *args: Any, **kwargs: Any) -> None:
        self._index = index
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:  # noqa: N802 - its name
        if self.path != "/":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(self._index)))
        self.end_headers()
        self.wfile.write(self._index)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""
