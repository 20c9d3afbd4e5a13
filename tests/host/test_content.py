"""What a device's flash gets: which files, which settings, login keys in place of the password."""

import asyncio
import json
import os
import re
from base64 import b64decode
from hashlib import sha256
from importlib import import_module

import pytest

from host_tools.errors import UxmppError
from host_tools.flash import boards, content, image, mpy, reached
from host_tools.lab.certs import Authority
from host_tools.lab.lab import Lab
from host_tools.provision import device_file, login_keys, session
from host_tools.update import bundle

DEF = "def heard(topic, msg):\n    pass\n"
KEYS = ["SCRAM-SHA-256", "c2FsdHk=", 4096, 43 * "A" + "=", 43 * "B" + "="]
PASSWORD = "correct horse battery"
APPS = mpy.FIRMWARE / "apps"
DEVICE = """\
board = "esp32"
app = "sensor"
jid = "kitchen@lab.example"
password = "correct horse battery"
owners = ["ann@lab.example"]
ca = "ca.pem"
surfaces = ["chat", "files", "profile"]
[files]
ca = "ca.pem"
[profile]
nick = "Küche"
avatar = "Me And You.PNG"
[wifi]
ssid = "attic"
password = "let me in"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with certificates and a picture."""
    made = tmp_path_factory.mktemp("content")
    authority = Authority(made / "authority")
    (made / "ca.pem").write_bytes(b"# ours\n" + authority.pem.read_bytes() * 2)
    (made / "ca.der").write_bytes(authority.der.read_bytes())
    (made / "Me And You.PNG").write_bytes(b"picture")
    return made


def device(folder, text=DEVICE):
    path = folder / "device.toml"
    path.write_text(text, "utf-8")
    path.chmod(0o600)
    return device_file.read(path)


def hardware(slot):
    """What is in a slot besides library, agent and umqtt."""
    return {path for path in slot if not path.startswith(("uxmpp/", "thing/", "umqtt/"))}


def everywhere():
    """Library and agent, which all have."""
    library = content.library()
    return {path: data for path, data in library.items() if not path.startswith("umqtt/")}


def test_a_device(folder):
    found = device(folder)
    board = boards.load("esp32")
    files = content.device_files(found, board, keys=KEYS, version="2.1")
    library = everywhere()
    slot = {path[2:]: data for path, data in files.items() if path.startswith("a/")}
    rest = {path for path in files if not path.startswith("a/")}
    assert rest == {
        "boot.py", "main.py", "slots.mpy", "device.json", "ca.der", "avatar.png", "b/",
    }  # fmt: skip
    assert files["b/"] == b"" and files["boot.py"] == (mpy.FIRMWARE / "boot.py").read_bytes()
    sensors = {f"sensors/{p.stem}.mpy" for p in (APPS / "sensors").glob("*.py")}
    assert hardware(slot) == {"app.mpy", "manifest", *sensors} and len(sensors) == 5
    assert {path: slot[path] for path in slot if path in library} == library
    # What there is of the firmware, but for what CPython alone uses
    for part in ("uxmpp", "thing"):
        for path in (mpy.FIRMWARE / part).rglob("*.py"):
            name = path.relative_to(mpy.FIRMWARE).with_suffix(".mpy").as_posix()
            assert (name in slot) == (not path.match(mpy.HOST_ONLY)), name
    for path, data in files.items():
        if path.endswith(".mpy"):  # bytecode, for any board
            assert data[:2] == bytes((0x4D, content.MPY)) and data[2] >> 2 == 0, path
    assert b"sensor.py" in slot["app.mpy"], "what its tracebacks call it"
    told = bundle.parse(slot.pop("manifest"))
    assert (told.app, told.version, told.board, told.mpy) == ("sensor", "2.1", "esp32", 6)
    assert {e.path: (e.size, e.sha256) for e in told.files} == {
        path: (len(data), sha256(data).hexdigest()) for path, data in slot.items()
    }
    settings = json.loads(files["device.json"])
    assert settings["keys"] == KEYS and settings["ca"] == settings["files"]["ca"] == "ca.der"
    assert settings["profile"] == {"nick": "Küche", "avatar": "avatar.png"}
    assert not {"password", "board", "app", "version"} & set(settings)
    assert (
        files["ca.der"] == (folder / "ca.der").read_bytes() and files["avatar.png"] == b"picture"
    )
    assert not any(PASSWORD.encode() in data for data in files.values())
    # The other slot, another version, a key
    other = content.device_files(found, board, slot="b", version="3", key=64 * "0")
    assert "a/" in other and b"\nversion 3\n" in other["b/manifest"]
    assert b"\nkey 0000" in other["b/manifest"] and "keys" not in json.loads(other["device.json"])
    # The password only where it is asked for
    kept = json.loads(content.settings_files(found, PASSWORD)["device.json"])
    assert kept["password"] == PASSWORD
    for change in ({}, {"keys": KEYS}):
        made = content.settings_files(found, **change)["device.json"]
        assert PASSWORD not in made.decode()
    with_keys = DEVICE.replace(f'password = "{PASSWORD}"', f"keys = {json.dumps(KEYS)}", 1)
    assert json.loads(content.settings_files(device(folder, with_keys))["device.json"])["keys"]


def test_what_an_app_imports(folder, tmp_path):
    # A watch: its screens from beside it, the hal and its drivers
    slot = content.slot_files(boards.load("t-watch-2020"), APPS / "watch.py")
    assert {"face.mpy", "wrist.mpy", "hal.mpy", "drivers/st7789.mpy"} <= hardware(slot)
    assert "drivers/axp2101.mpy" not in slot
    # An app that is called like what it imports of the hardware
    assert hardware(content.slot_files(boards.load("esp32-cam"), APPS / "camera.py")) == {
        "app.mpy"
    }
    # One of a maker's own, with packages and a folder lib
    app = tmp_path / "my station.py"
    sources = {
        "my station.py": "import probe, machine\nfrom parts import pump\nimport uxmpp.client\n"
        "driver = __import__('parts.sizes.' + 'small', None, None, ('a',))\n",
        "parts/__init__.py": "",
        "parts/pump.py": "from . import valve\nfrom .deep.down import well\n",
        "parts/valve.py": "def f():\n    from ..probe import x\n",
        "parts/unused.py": "",
        "parts/deep/__init__.py": "",
        "parts/deep/down.py": "well = 1\n",
        "parts/sizes/small.py": "",
        "parts/sizes/large.py": "import scale\n",
        "lib/probe.py": "import wire\n",
        "lib/wire.py": "",
        "scale.py": "",
        "other.py": "",
        "machine.txt": "",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    slot = content.slot_files(boards.load("pico2-w"), app)
    assert hardware(slot) == {
        "app.mpy", "probe.mpy", "wire.mpy", "scale.mpy", "parts/__init__.mpy", "parts/pump.mpy",
        "parts/valve.mpy", "parts/deep/__init__.mpy", "parts/deep/down.mpy",
        "parts/sizes/small.mpy", "parts/sizes/large.mpy",
    }  # fmt: skip
    assert content.app_name(app) == "my-station"
    for name in ("main.py", "app.py"):
        assert content.app_name(tmp_path / "A b" / name) == "A-b"
    found = device(folder, DEVICE.replace('"sensor"', '"switch.py"'))
    assert content.find_app(found) == APPS / "switch.py"
    (folder / "switch.py").write_text("import thing\n")
    assert content.find_app(found) == folder / "switch.py"
    assert content.find_app(found, str(app)) == app


def test_a_sketch_for_umqtt(tmp_path):
    """It brings umqtt, and on a small flash nothing of the agent."""
    app = tmp_path / "sketch.py"
    app.write_text("from umqtt.robust import MQTTClient\n")
    umqtt = {
        f"umqtt/{path.stem}.mpy"
        for path in (mpy.FIRMWARE / "umqtt").glob("*.py")
        if not path.match(mpy.HOST_ONLY)
    }
    for name, agent in (("esp32", True), ("pico-w", False)):
        for surfaces in (None, ["chat"]):
            slot = content.slot_files(boards.load(name), app, surfaces)
            assert umqtt == {path for path in slot if path.startswith("umqtt/")}
            assert {"app.mpy", "uxmpp/reliable.mpy", "uxmpp/sm.mpy"} <= set(slot)
        assert agent == any(path.startswith("thing/") for path in slot), name
    # One of its own in the way of ours
    (tmp_path / "lib" / "umqtt").mkdir(parents=True)
    (tmp_path / "lib" / "umqtt" / "robust.py").write_text("")
    with pytest.raises(UxmppError, match=r"robust\.py: the name umqtt is taken on a device"):
        content.slot_files(boards.load("esp32"), app)


def test_a_thing_with_topics(folder, tmp_path):
    """What MQTT's programs see of a Thing is there where its payload asks for it; what its own
    program needs for topics where that, or a part of it, may use them."""
    payload = {"umqtt/__init__.mpy", "umqtt/mapping.mpy"}
    topics = payload | {f"umqtt/{name}.mpy" for name in ("topics", "service", "nodes", "will")}
    plain, station = tmp_path / "plain.py", tmp_path / "station.py"
    plain.write_text("from thing import Thing\nthing = Thing()\n")
    station.write_text("import garden\n")
    (tmp_path / "garden.py").write_text(
        "from thing import Thing\nthing = Thing()\n@thing.topic('a')\n" + DEF
    )
    table = '[pubsub]\nservice = "pubsub.lab.example"\npayload = "{}"\n[wifi]'
    told = DEVICE.replace("[wifi]", table).replace('"profile"]', '"pubsub"]')
    for kind, app, wanted in (
        ("json", plain, set()), ("mqtt", plain, payload), ("json", station, topics),
        ("mqtt", station, topics),
    ):  # fmt: skip
        surfaces = content.surfaces(device(folder, told.format(kind)))
        for name in ("esp32", "pico-w"):
            slot = content.slot_files(boards.load(name), app, surfaces)
            assert {path for path in slot if path.startswith("umqtt/")} == wanted, (kind, app)
            assert "thing/pubsub.mpy" in slot
            assert ("thing/mqtt.mpy" in slot) == (name == "esp32" or kind == "mqtt")
            assert ("thing/topics.mpy" in slot) == (name == "esp32" or app is station)
    # An update for devices that are not known
    assert {path for path in content.slot_files(boards.load("pico-w"), plain) if "mqtt/" in path}


def test_a_small_flash(folder):
    """A Pico W has no room for two times everything."""
    pico, app = boards.load("pico-w"), APPS / "sensor.py"
    whole = content.slot_files(pico, app)
    assert set(whole) > set(everywhere())
    config = import_module("thing.config")
    every = [*config.SURFACES, *content.BY_KEY]
    found = {*content.slot_files(pico, app, every), "thing/topics.mpy"}
    assert found == set(whole), "nothing is found by no path"
    chat = content.slot_files(pico, app, ["chat"])
    assert len(whole) - len(chat) >= 20
    assert all(whole[path] == data for path, data in chat.items())
    gone = {path[6:-4] for path in set(whole) - set(chat) if path.startswith("thing/")}
    assert set(config.SURFACES) - gone == {"chat"} and "adhoc" in gone and "sleep" in gone
    assert {"words", "hints", "roles", "outbox", "pairing", "guard", "wifi"}.isdisjoint(gone)
    # What an app imports is there, whatever the surfaces; and what a table turns on
    camera = content.slot_files(pico, APPS / "camera.py", ["chat"])
    assert "thing/files.mpy" in camera and "thing/receiving.mpy" not in chat
    slept = device(folder, DEVICE.replace("[files]", "[sleep]\nevery = 600\n[files]"))
    files = content.device_files(slept, pico, keys=KEYS)
    assert {"a/thing/sleep.mpy", "a/thing/nap.mpy", "a/thing/receiving.mpy"} <= set(files)
    assert "a/thing/rooms.mpy" not in files
    plain = content.slot_files(boards.load("esp32"), app, ["chat"])
    assert set(plain) == {path for path in whole if not path.startswith("umqtt/")}
    # There is room for the other slot and for what a device writes; and that is no guess
    for name in ("esp32", "pico-w"):
        board = boards.load(name)
        files = content.device_files(slept, board, keys=KEYS)
        left = content.spare(board, files)
        assert left >= 65536, board.name
        both = files | {f"b{p[1:]}": data for p, data in files.items() if p[:2] == "a/"}
        assert abs(board.fs_size - image.used(board, both) - left) <= 8 * 4096, board.name


def test_refused(folder, tmp_path):
    found, board, app = device(folder), boards.load("esp32"), tmp_path / "app.py"

    def refused(text, f, *args, **options):
        with pytest.raises(UxmppError) as e:
            f(*args, **options)
        assert re.search(text, str(e.value)), e.value
        assert "\n" not in str(e.value) and PASSWORD not in str(e.value)

    slot = content.slot_files
    refused("nothing to flash: the app runs under Linux", slot, boards.load("raspberry-pi"), app)
    refused(r"app\.py: there is no such app", slot, board, app)
    app.write_text("import thing\ndef f(:\n")
    refused(r"app\.py is not compiled: SyntaxError: [^/]* \(line 2\)$", slot, board, app)
    app.write_text("import part\n")
    (tmp_path / "part.py").write_text("x = 'ä\n")
    refused(r"part\.py:1: is no Python: unterminated", slot, board, app)
    (tmp_path / "part.py").write_bytes(b"\xff")
    refused(r"part\.py(:1)?: is no Python", slot, board, app)
    (tmp_path / "part.py").write_text("import hal\n")
    (tmp_path / "hal.py").write_text("")
    refused(r"hal\.py: the name hal is taken on a device", slot, board, app)
    (tmp_path / "hal.py").unlink()
    (tmp_path / "part.py").write_text("")
    (tmp_path / ("x" * 70 + ".py")).write_text("")
    app.write_text("import " + "x" * 70 + "\n")
    refused("a path is 1 to 64", content.device_files, found, board, keys=KEYS, app=app)
    refused("version '1.x'", content.device_files, found, board, version="1.x")
    refused("slot 'c': must be a or b", content.device_files, found, board, slot="c")
    refused("which app?", content.find_app, device(folder, DEVICE.replace('app = "', 'name = "')))
    refused("there is no such app; uxmpp itself has camera, ", content.find_app, found, "sensors")
    settings = content.settings_files
    (folder / "Me And You.PNG").write_bytes(bytes(content.MAX_FILE + 1))
    refused(r"PNG: is longer than 65536 bytes: too much for a device", settings, found)
    (folder / "Me And You.PNG").unlink()
    refused(r"PNG: cannot be read: No such file", settings, found)
    bad = tmp_path / "bad.pem"
    bad.write_text("-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n")
    refused(r"bad\.pem: is no PEM of a certificate", content.certificate, bad)
    assert reached.files([app], [tmp_path / "nowhere"]) == {}


def test_login_keys():
    """Prosody tells salt and iterations to whoever knows the password; the keys then do alone."""
    with Lab({"dev": PASSWORD}) as lab:
        server = lab.server
        text = (
            f'jid = "dev@{lab.domain}"\nowners = ["ann@{lab.domain}"]\nca = "{lab.ca_pem}"\n'
            f'host = "{server.host}"\nport = {server.c2s_port}\n'
        )
        found = device(lab.folder, text)
        keys = login_keys.derive(found, PASSWORD)
        assert keys[0] == "SCRAM-SHA-256" and keys[2] >= 4096
        assert [len(b64decode(keys[i])) for i in (3, 4)] == [32, 32] and b64decode(keys[1])
        # As the device does it: its configuration, and a login without a password
        for name, data in content.settings_files(found, keys=keys).items():
            (lab.folder / name).write_bytes(data)
        config = import_module("thing.config").load(str(lab.folder / "device.json"))
        assert "password" not in config

        async def log_in(keys):
            net, streams = import_module("uxmpp.net"), import_module("uxmpp.stream")
            place = config["host"], config["port"], False, None
            connection, direct = await net.connect(lab.domain, *place)
            try:
                stream = streams.Stream(connection, config["jid"])
                tls = net.Context(config["ca"], None)
                await stream.login(tls, direct, None, False, keys)
                return stream.jid
            finally:
                connection.close()

        assert asyncio.run(log_in(config["keys"])).startswith(f"dev@{lab.domain}/")
        with pytest.raises(session.WrongPassword) as e:
            login_keys.derive(found, "wrong horse")
        assert str(e.value).startswith(f"dev@{lab.domain}: the server does not take the password")
        # Another server than the certificate says
        other = Authority(lab.folder / "other").pem
        with pytest.raises(login_keys.LoginKeysError, match="certificate"):
            login_keys.derive(device(lab.folder, text.replace(str(lab.ca_pem), str(other))), "x")
        server.stop()  # its port stays leased
        with pytest.raises(login_keys.LoginKeysError) as e:
            login_keys.derive(found, PASSWORD)
        said = str(e.value)
        assert "cannot be reached" in said and "--keep-password" in said and "\n" not in said
        assert PASSWORD not in said and os.linesep not in said
