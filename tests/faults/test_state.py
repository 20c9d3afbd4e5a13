"""The file state.json, whatever is in it: it saves work, and without it there is more work."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from binascii import b2a_base64, hexlify, unhexlify
from hashlib import pbkdf2_hmac

import pytest
from servers.fake_server import Between
from servers.helper import both, owner_of, tries
from thing import state
from uxmpp import sasl

from host_tools.flash.mpy import FIRMWARE
from host_tools.lab import micropython
from host_tools.lab.errors import LabError
from host_tools.lab.network import FaultyNetwork

from .helper import PASSWORD, SECRETS, Agent, behind, texts, through

#: Each file is loaded; what was found, and how many lines were logged, one line each.
LOADER = """
import sys
sys.path.insert(0, sys.argv[1])
import state
for n in range(int(sys.argv[3])):
    lines = []
    found = state.load("{}/{}".format(sys.argv[2], n), "dev@lab.example", lines.append)
    print(len(found), len(lines), *lines)
"""
GOOD = {
    "agent": "7b1c6e3e-9e0c-4c2e-a5d2-0123456789ab",
    "token": ["HT-SHA-256-ENDP", "secret-token:fast-é"],
    "keys": ("SCRAM-SHA-256", b"salt\0\xff", 10000, bytes(32), bytes(range(32))),
    "pipeline": True,
}
DAMAGED = "damaged: the next login is from scratch"


def loaded(folder, runtime, contents):
    """(number of what was found, lines) for each of `contents`, bytes of a file."""
    for n, content in enumerate(contents):
        (folder / str(n)).write_bytes(content)
    script = folder / "loader.py"
    script.write_text(LOADER)
    args = (str(FIRMWARE / "thing"), str(folder), str(len(contents)))
    if runtime == "cpython":
        argv = [sys.executable, "-I", str(script), *args]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    else:
        try:
            done = micropython.find(32).run(script, *args)
        except LabError as e:
            pytest.skip(str(e))
    assert done.returncode == 0, done.stdout + done.stderr
    found = []
    for line in done.stdout.splitlines():
        number, logged, *text = line.split(" ", 2)
        assert logged == str(len(text))
        found.append((int(number), *text))
    return found


def written(folder, account="dev@lab.example"):
    """What a file of the state GOOD holds."""
    lines = []
    state.save(str(folder / "good"), account, GOOD, lines.append)
    assert not lines
    return (folder / "good").read_bytes()


@both
def test_truncated_anywhere(tmp_path, runtime):
    whole = written(tmp_path)
    *cut, last, good = loaded(tmp_path, runtime, [whole[:n] for n in range(len(whole) + 1)])
    assert good == (len(GOOD),)
    # Without the last bracket all is there yet, and MicroPython does not mind
    assert last in (cut[-1][:1] + (f"{tmp_path}/{len(whole) - 1}: {DAMAGED}",), good)
    for n, found in enumerate(cut):
        assert found == (0, f"{tmp_path}/{n}: {DAMAGED}"), n


RUBBISH = [
    b"\0" * 100,
    b"\xff" * 100,
    bytes(range(256)),
    b"null",
    b"7",
    b"[]",
    b"{}",
    b'"version"',
    b'[{"version": 1}]',
    b'{"version": 1}',
    b'{"version": 1, "account": "dev@lab.example"}',
    b'{"version": 1, "account": "dev@lab.example", "state": 7}',
    b'{"version": 1, "account": "dev@lab.example", "state": []}',
    b'{"version": 1, "account": "dev@lab.example", "state": {"keys": {"hex": "xyz"}}}',
    b'{"version": 1, "account": "dev@lab.example", "state": {"keys": {"hex": 7}}}',
    b'{"version": 1, "account": "dev@lab.example", "state": {"keys": {}}}',
    b'{"version": 1, "account": "dev@lab.example", "state": {"keys": [{"hex": "0"}]}}',
    b'{"version": 1, "account": "dev@lab.example", "state": {"token": 5}}',
    b'{"version": 1, "account": "dev@lab.example", "state": {"token": ["HT-SHA-256-NONE"]}}',
]


@both
def test_rubbish(tmp_path, runtime):
    for n, found in enumerate(loaded(tmp_path, runtime, RUBBISH)):
        assert found == (0, f"{tmp_path}/{n}: {DAMAGED}"), RUBBISH[n]


@both
def test_whole_but_not_for_us(tmp_path, runtime):
    whole = written(tmp_path)
    newer = whole.replace(b'"version": 1', b'"version": 2')
    other = written(tmp_path, "dev2@lab.example")
    assert newer != whole != other
    assert [line for _, line in loaded(tmp_path, runtime, [newer, other])] == [
        f"{tmp_path}/0: of version 2, not 1: the next login is from scratch",
        f"{tmp_path}/1: of another account: the next login is from scratch",
    ]


def test_what_is_written_is_read(tmp_path):
    lines = []
    path = str(tmp_path / "state.json")
    assert state.load(path, "dev@lab.example", lines.append) == {}
    state.save(path, "dev@lab.example", GOOD, lines.append)
    assert state.load(path, "dev@lab.example", lines.append) == {
        **GOOD,
        "keys": list(GOOD["keys"]),
    }
    assert [f.name for f in tmp_path.iterdir()] == ["state.json"] and not lines


# in a device


def no_secrets(device):
    """Whether nothing of what proves who it is ever was on the console."""
    said = device.output()
    secret = list(SECRETS)
    with contextlib.suppress(OSError, ValueError, KeyError):
        kept = device.kept()
        secret.append(kept["token"][1])
        secret += [kept["keys"][i]["hex"] for i in (3, 4)]
    assert not [s for s in secret if s in said], said


def keys_of(kept, password):
    """The login keys that `password` makes with the salt in `kept`, those of a state.json."""
    name, salt, rounds = kept[0], unhexlify(kept[1]["hex"]), kept[2]
    scram = sasl.Scram(name, "any", password)
    challenge = b"r=%sx,s=%s,i=%d" % (scram._nonce, b2a_base64(salt)[:-1], rounds)
    for _ in scram.respond(challenge):
        pass
    return scram.keys


def as_config(keys):
    """Login keys as they stand in device.json."""
    return [b2a_base64(k).decode().strip() if isinstance(k, bytes) else k for k in keys]


def as_state(keys):
    """Login keys as they stand in state.json."""
    return [{"hex": hexlify(k).decode()} if isinstance(k, bytes) else k for k in keys]


async def started(device, number):
    """Start it, wait for its `number`-th line to the server, kill it; the console of this boot."""
    before = len(device.output())
    device.start()
    await device.online(number)
    device.kill()
    return device.output()[before:]


def forge(device, change):
    """Change what stands in state.json."""
    whole = json.loads(device.state.read_text())
    change(whole)
    device.state.write_text(json.dumps(whole))


BROKEN = {
    "empty": lambda d: d.state.write_bytes(b""),
    "rubbish": lambda d: d.state.write_bytes(bytes(range(256))),
    "half": lambda d: os.truncate(d.state, d.state.stat().st_size // 2),
    "newer": lambda d: forge(d, lambda w: w.update(version=2)),
    "account": lambda d: forge(d, lambda w: w.update(account="dev2@lab.example")),
    "folder": lambda d: (d.state.unlink(), d.state.mkdir()),
    "gone": lambda d: d.state.unlink(),
}


@both
def test_device_with_a_broken_state(shared, runtime):
    """Each costs one line and the work on the password, and nothing of what it has to say."""

    async def main():
        async with behind(shared) as network, owner_of(shared) as owner:
            device = Agent(shared, runtime, {"outbox": {"batch_s": 0.1}}, **through(network))
            try:
                network.refuse()
                device.start()
                device.do("report 4 kept")
                await device.lines("^safe", 4)
                device.kill()
                network.heal()
                said = await started(device, 1)
                assert said.count("PBKDF2") == 1, said
                if runtime == "cpython":
                    assert device.state.stat().st_mode & 0o777 == 0o600
                number = 1
                for name, damage in BROKEN.items():
                    no_secrets(device)
                    damage(device)
                    number += 1
                    said = await started(device, number)
                    about = [x for x in said.splitlines() if "state.json" in x]
                    assert len(about) == (name != "gone"), said
                    assert said.count("PBKDF2") == 1 and "next try" not in said, said
                    if name == "folder":
                        assert "state.json: cannot be written: " in said
                        device.state.rmdir()
                        for rest in device.folder.glob("state.json.new"):
                            rest.unlink()
                        number += 1
                        await started(device, number)
                    # Good again
                    number += 1
                    said = await started(device, number)
                    assert "state.json" not in said and "PBKDF2" not in said, (name, said)
                device.start()
                ledger = owner.ledger(device.jid)
                await owner.until(lambda: len(ledger) == 4, "reports")
                assert ledger.bodies == texts("kept", 4) and not ledger.conflicts
                no_secrets(device)
            finally:
                device.kill()

    asyncio.run(main())


@both
def test_state_that_cannot_be_written(shared, runtime):
    """One line, and all goes on."""

    async def main():
        device = Agent(shared, runtime)
        (device.folder / "state.json.new").mkdir()
        with device:
            await device.online()
            about = device.said(".*state.json")
            assert len(about) == 1 and about[0].startswith("state.json: cannot be written: ")
            assert not device.state.exists() and not tries(device, device.jid)

    asyncio.run(main())


def test_token_that_the_server_forgot(world):
    async def main():
        device = Agent(world, "32")
        try:
            await started(device, 1)
            assert device.kept()["token"]
            old = device.kept()["token"]
            await asyncio.to_thread(world.server.forget)
            said = await started(device, 2)
            # By the keys that are kept
            assert "PBKDF2" not in said and said.count("next try") <= 1, said
            assert said.count("the server does not know the token") == 1, said
            assert device.kept()["token"] not in (None, old)
            assert "next try" not in await started(device, 3)
            no_secrets(device)
        finally:
            device.kill()

    asyncio.run(main())


@both
def test_keys_of_another_password(shared, runtime):
    """With a password they are made anew; without one they are all there is."""

    async def main():
        device = Agent(shared, runtime)
        try:
            await started(device, 1)
            wrong = as_state(keys_of(device.kept()["keys"], "wrong"))
            forge(device, lambda w: (w["state"].pop("token"), w["state"].update(keys=wrong)))
            said = await started(device, 2)
            assert said.count("PBKDF2") == 1 and said.count("next try") == 1, said
            assert "login refused: " in said
            assert device.kept()["keys"] != wrong
            said = await started(device, 3)
            assert "PBKDF2" not in said and "next try" not in said
            no_secrets(device)
        finally:
            device.kill()

    asyncio.run(main())


@both
def test_keys_instead_of_a_password(shared, runtime):
    async def main():
        device = Agent(shared, runtime)
        try:
            await started(device, 1)
            kept = device.kept()["keys"]
            keys = keys_of(kept, PASSWORD)
            assert as_state(keys) == kept
            assert pbkdf2_hmac("sha256", PASSWORD.encode(), keys[1], keys[2])
            device.state.unlink()
            # Wrong ones are an error that can be read, and nothing else
            device.configure(password=None, keys=as_config(keys_of(kept, "wrong")))
            device.start()
            await device.lines("^.*: login refused: .*; next try", 2)
            before = device.state.stat().st_mtime_ns if device.state.exists() else None
            await device.lines("^.*: login refused: .*; next try", 4)
            # Flash is not written with each of them
            assert before is None or device.state.stat().st_mtime_ns == before
            device.kill()
            # Those in the configuration stand in for the password, whatever it was before
            device.configure(keys=as_config(keys))
            said = await started(device, 2)
            assert "PBKDF2" not in said and "next try" not in said, said
            said = await started(device, 3)
            assert "PBKDF2" not in said and "next try" not in said, said
            no_secrets(device)
            # What are no keys at all
            for bad in ([], ["SCRAM-SHA-256"], ["PLAIN", "AA==", 4096, "AA==", "AA=="], [1] * 5):
                device.configure(keys=bad)
                before = len(device.output())
                device.start()
                device.child.wait(30)
                (line,) = device.output()[before:].splitlines()[:1]
                assert line.startswith("device.json: ") and "keys" in line, line
        finally:
            device.kill()

    asyncio.run(main())


def test_new_keys_after_a_change_of_the_password(shared):
    """Those in device.json count, not those that were kept of the old ones."""

    async def main():
        device = Agent(shared, "32")
        try:
            await started(device, 1)
            keys = keys_of(device.kept()["keys"], PASSWORD)
            device.configure(password=None, keys=as_config(keys))
            await started(device, 2)
            user = device.jid.partition("@")[0]
            # What the keys of the new password are, another device of the account finds out
            await asyncio.to_thread(shared.server.add_account, user, "another")
            new = Agent(shared, "cpython", jid=device.jid, password="another")
            try:
                await started(new, 1)
                keys = keys_of(new.kept()["keys"], "another")
            finally:
                new.kill()
            forge(device, lambda w: w["state"].pop("token"))
            device.configure(keys=as_config(keys))
            device.start()
            await device.online(3)
        finally:
            device.kill()

    asyncio.run(main())


@both
def test_not_written_again_and_again(shared, runtime):
    """Nothing new is learnt from a session that is resumed; flash has so many lives."""

    async def main():
        async with behind(shared) as network:
            with Agent(shared, runtime, **through(network)) as device:
                await device.online()
                before = device.state.stat()
                for number in range(2, 12):
                    network.cut() if number % 2 else network.reset()
                    await device.online(number)
                after = device.state.stat()
                assert len(device.said(".*: resumed$")) == 10
                assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
                no_secrets(device)

    asyncio.run(main())


@both
def test_one_round_trip_after_a_power_cut(shared, runtime):
    """Behind TLS, of which version 1.3 takes one: both are counted on a slow line, on which what
    the device says in one go arrives before an answer to its beginning."""

    async def main():
        trips = []

        def change(line, up, data):
            if not up and b"<success" in data:
                trips.append((len(line.bursts()), network.connections[-1].count.round_trips))
            return data

        async with (
            Between(shared, change) as between,
            FaultyNetwork(between.host, between.port) as network,
        ):
            device = Agent(shared, runtime, direct=True, **through(network))
            try:
                device.start()
                await device.online()
                os.kill(device.child.pid, signal.SIGKILL)
                network.delay(0.3)
                device.start()
                await device.online(2)
                assert len(network.opened) == 2 and len(device.said("PBKDF2")) == 1
                assert len(trips) == 2 and trips[1] == (1, 2), trips
            finally:
                device.kill()

    asyncio.run(main())
