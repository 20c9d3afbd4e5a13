"""The client for Improv Serial that browsers have, from npm, under node."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from host_tools.lab.cache import cache_dir, locked
from host_tools.lab.converse import unpack
from host_tools.lab.errors import LabError

VERSION = "2.8.1"
#: Of the registry's archive, as npm writes it into a lock file.
INTEGRITY = (
    "sha512-KU2D7bNbdUDUX0JK2nQGTGTuxJNH+loXyMR6DXBIzAh4/2dwiR2cxK0igvl+dLWj"
    "f4wRv43iUn/eQuUClw5V3g=="
)
LIMIT_S = 60
PROGRAM = Path(__file__).resolve().parent / "programs" / "improv_client.mjs"


def package():
    """The folder of the client's modules, from the cache or fetched into it first."""
    folder = cache_dir() / f"improv-wifi-serial-sdk-{VERSION}"
    if not folder.exists():
        with locked("improv-wifi-serial-sdk"):
            if not folder.exists():
                _fetch(folder)
    return folder


def _fetch(folder):
    work = folder.with_suffix(".part")
    shutil.rmtree(work, ignore_errors=True)  # of a fetch that was killed; the lock is ours
    work.mkdir(parents=True)
    try:
        done = subprocess.run(
            ["npm", "pack", f"improv-wifi-serial-sdk@{VERSION}", "--silent"],
            cwd=work,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        archive = next(work.glob("*.tgz"), None)
        if archive is None:
            raise LabError(f"npm could not fetch the Improv client: {done.stderr.strip()[-200:]}")
        unpack(archive, work, INTEGRITY)
        made = work / "package" / "dist"
        # It is written for bundlers, which know that these are modules, and their suffix
        (made / "package.json").write_text('{"type": "module"}')
        for path in made.rglob("*.js"):
            text = path.read_text()
            path.write_text(re.sub(r'(from "\.[^"]*?)(\.js)?";', r'\1.js";', text))
        made.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def run(host, port, ssid, password):
    """What the client saw, tried, and was told; see programs/improv_client.mjs."""
    done = subprocess.run(
        ["node", str(PROGRAM), (package() / "serial.js").as_uri(), host, str(port), ssid],
        env={**os.environ, "WIFI_PASSWORD": password},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
