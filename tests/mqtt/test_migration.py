"""docs/umqtt-migration.md: three sketches, as they are, against a broker, and with the lines that
the document names changed, against Prosody: the same is seen."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from host_tools.flash import content
from host_tools.lab.device import Device
from host_tools.lab.dns_server import SRV, DnsServer
from host_tools.lab.ejabberd import Ejabberd
from host_tools.lab.lab import Lab
from host_tools.lab.mosquitto import MosquittoServer
from host_tools.lab.process import die_with
from host_tools.provision import device_file, login_keys
from tests.bench.peers import ROBUST, SIMPLE, source

from .helper import PROGRAMS
from .test_behaviour import DIFFERENCES

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "umqtt-migration.md"
SKETCHES = Path(__file__).resolve().parent / "sketches"
NAMES = ("dht22", "battery", "relay")
#: The most lines of a sketch that change.
MOST = 3
LIMIT_S = 60.0
DOMAIN = "example.org"
#: Of each sketch's account, and of its observer.
USERS = {"dht22": "attic", "battery": "mailbox", "relay": "relay", "you": "you"}
PASSWORD = "secret"
TOPICS = [
    "home/attic/temperature", "home/attic/humidity", "home/mailbox/battery",
    "home/mailbox/interval", "home/pump", "home/pump/state", "home/pump/set",
]  # fmt: skip
BOARD = {"wifi": {"ssid": "Attic", "password": "not hunter2", "connect_ms": 10}, "sleep": {}}


def told():
    """(kind, text) of the document's code, in order."""
    text = DOCUMENT.read_text("utf-8")
    return re.findall(r"^```(python|diff)\n(.*?)^```$", text, re.M | re.S)


def before(name):
    return (SKETCHES / f"{name}.py").read_text("utf-8")


def changes(name):
    """[the line that goes, those that come in its place] of what the document names."""
    shown = told()
    found = []
    for line in shown[shown.index(("python", before(name))) + 1][1].splitlines():
        if line[0] == "-":
            found.append([line[1:]])
        else:
            assert line[0] == "+", line
            found[-1].append(line[1:])
    return found


def after(name):
    """The sketch with the lines changed that the document names."""
    text = before(name)
    for old, *new in changes(name):
        assert text.splitlines().count(old) == 1, old
        text = text.replace(f"{old}\n", "".join(f"{line}\n" for line in new))
    return text


def test_document():
    """It shows the sketches as they are, one after the other, and few lines that change."""
    shown = told()
    assert [kind for kind, _ in shown] == ["python", "diff"] * len(NAMES)
    assert [text for kind, text in shown if kind == "python"] == [before(n) for n in NAMES]
    for name in NAMES:
        assert 1 <= sum(len(new) for _, *new in changes(name)) <= MOST, name
        for line in sum(changes(name), []):
            # Only what the client is made of: nothing that the program does
            assert re.match(r"(c|client) = MQTTClient\(|[A-Z]+ = |c\.people = ", line), line


def test_each_difference_has_its_row():
    text = (DOCUMENT.parent / "umqtt.md").read_text("utf-8")
    table = re.findall(r"^\| \*\*(.+?)\*\* \|", text, re.M)
    assert len(table) == len(set(table)) > 20
    for scenario, differences in DIFFERENCES.items():
        for what, (_, _, row) in differences.items():
            assert row in table, (scenario, what, row)


class Broker:
    """mosquitto, and boards with micropython-lib's umqtt."""

    def __init__(self, folder):
        self.folder = folder
        self.server = MosquittoServer(
            domain=DOMAIN, accounts=dict.fromkeys(USERS.values(), PASSWORD)
        )
        self.umqtt = folder / "upstream"
        (self.umqtt / "umqtt").mkdir(parents=True)
        for package in (SIMPLE, ROBUST):
            for module in package.modules:
                shutil.copyfile(source(package) / module, self.umqtt / module)

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.close()

    def path(self):
        return [self.umqtt, PROGRAMS / "cpython"]

    def client(self):
        return ["observer", self.server.host, self.server.port, USERS["you"], PASSWORD]

    def device(self, name):
        places = {"mqtt.example.org:1883": (self.server.host, self.server.port)}
        device = device_of(self.folder / name, name, before(name), {}, {"mqtt": places})
        shutil.copytree(self.umqtt, self.folder / name / "app", dirs_exist_ok=True)
        return device


class Xmpp:
    """Prosody, as docs/umqtt.md has it, or the server that `options` are of; boards with ours."""

    def __init__(self, folder, minute_s=1.0, **options):
        self.folder = folder
        self.minute_s = minute_s
        options = options or {
            "modules": ("offline",),
            "settings": {"add_permissions": {"prosody:registered": ["pubsub:create-node"]}},
        }
        self.lab = Lab(dict.fromkeys(USERS.values(), PASSWORD), domain=DOMAIN, **options)
        server = self.lab.server
        records = {(f"_xmpp-client._tcp.{DOMAIN}", SRV): [(0, 5, server.c2s_port, "localhost")]}
        self.dns = DnsServer(records)

    def __enter__(self):
        self.lab.start()
        self.dns.start()
        return self

    def __exit__(self, *_):
        self.dns.close()
        self.lab.close()

    def path(self):
        return [content.mpy.FIRMWARE]

    def client(self):
        lab = self.lab
        options = {"ca": str(lab.ca_pem), "nameserver": self.dns.address}
        return ["observer", DOMAIN, 0, lab.jid("you"), PASSWORD, 0, True, options]

    def device(self, name):
        folder = self.folder / name
        folder.mkdir()
        settings = {}
        files = [self.lab.ca_der]
        if name != "relay":
            # As `uxmpp flash` makes it
            path = folder / "device.toml"
            path.write_text(
                f'jid = "{self.lab.jid(USERS[name])}"\nowners = ["{self.lab.jid("you")}"]\n'
                f'ca = "{self.lab.ca_pem}"\nnameserver = "{self.dns.address}"\n'
            )
            found = device_file.read(path)
            made = content.settings_files(found, keys=login_keys.derive(found, PASSWORD))
            settings = json.loads(made["device.json"])
            assert settings["keys"] and "password" not in settings
        told = {"dns": self.dns.address, "minute_s": self.minute_s}
        return device_of(folder, name, after(name), settings, told, files)


def device_of(folder, name, sketch, settings, lab, files=()):
    """A board with a sketch; it is not started."""
    app = folder / "app"
    app.mkdir(parents=True)
    (app / f"{name}.py").write_text(sketch, "utf-8")
    shutil.copyfile(PROGRAMS / "start.py", app / "start.py")
    device = Device(
        settings,
        folder=folder,
        app=app / "start.py",
        readings=[(21.5, 40.0), (22.0, 41.0)],
        files=files,
        board=BOARD,
        restarts=True,
        chips={"adc": {"35": 3912345}},
    )
    (folder / "lab.json").write_text(json.dumps({"sketch": name, **lab}))
    return device


class Observer:
    """Somebody who is subscribed to all topics: `seen` is [topic, text] of each message."""

    def __init__(self, world, folder):
        told = {"client": world.client(), "topics": TOPICS}
        told["people"] = [f"{user}@{DOMAIN}" for user in USERS.values()]
        (folder / "observer.json").write_text(json.dumps(told))
        self._output = folder / "observer.log"
        path = os.pathsep.join(map(str, world.path()))
        parent = os.getpid()
        with self._output.open("wb") as output:
            self._child = subprocess.Popen(
                [sys.executable, "-P", PROGRAMS / "observer.py", folder / "observer.json"],
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                preexec_fn=lambda: die_with(parent),
            )

    def __enter__(self):
        self.until(lambda: ["subscribed"] in self.lines(), "subscriptions")
        return self

    def __exit__(self, *_):
        self._child.stdin.close()
        assert self._child.wait(LIMIT_S) == 0, self._output.read_text()

    def publish(self, *message):
        """Publish with QoS 1, and wait until it is done."""
        done = self.lines().count(["published"])
        self._child.stdin.write(json.dumps([*message, False, 1]) + "\n")
        self._child.stdin.flush()
        self.until(lambda: self.lines().count(["published"]) > done, "answer")

    def lines(self):
        return [json.loads(line) for line in self._output.read_text().splitlines()]

    def values(self, topic):
        return [text for name, *text in self.lines() if name == topic for text in text]

    def until(self, true, what):
        end = time.monotonic() + LIMIT_S
        while not true():
            said = self._output.read_text()
            assert time.monotonic() < end and self._child.poll() is None, f"{what}: {said}"
            time.sleep(0.02)


@pytest.mark.parametrize("kind", [Broker, Xmpp], ids=["mosquitto", "prosody"])
def test_sketches(kind, tmp_path):
    """In 160 KB of 32-bit MicroPython: what is measured, switched and told while one sleeps."""
    with kind(tmp_path) as world:
        devices = {name: world.device(name) for name in NAMES}
        try:
            with Observer(world, tmp_path) as observer:
                for device in devices.values():
                    device.start()
                watch(observer, **devices)
        except BaseException:
            for name, device in devices.items():
                print(f"{name}: {device.output()}")
            raise
        finally:
            for device in devices.values():
                device.stop()
    for name, device in devices.items():
        assert "Traceback" not in device.output(), name


def test_a_server_cuts_the_line_of_a_sketch_that_sleeps(tmp_path):
    """It answers nothing meanwhile; the next message goes out at once all the same, with the
    session resumed."""
    acks = {"stream_mgmt": {"ack_timeout": 1, "resume_timeout": 60}}
    topic = "home/attic/temperature"
    closed = "Closing c2s connection for attic@"
    with (
        Xmpp(tmp_path, 2.5, server=Ejabberd, modules=acks) as world,
        Observer(world, tmp_path) as observer,
        world.device("dht22") as device,
    ):
        log = world.lab.server.log
        for n in (1, 2, 3):
            # It goes on meanwhile, whether one looks or not
            observer.until(lambda n=n: len(observer.values(topic)) >= n, topic)
            if n < 3:
                observer.until(lambda n=n: log.read_text().count(closed) >= n, closed)
        assert observer.values(topic)[:3] == ["21.5", "22.0", "22.0"]
        device.check()


def watch(observer, dht22, battery, relay):
    def seen(topic, *texts):
        observer.until(lambda: observer.values(topic)[: len(texts)] == list(texts), topic)

    # The relay follows, and says so
    seen("home/pump/state", "online")
    for number, text in enumerate(("on", "off", "on")):
        observer.publish("home/pump/set", text)
        seen("home/pump", *("on", "off", "on")[: number + 1])
    pins = re.findall(r"^pin 5: ([01])$", relay.output(), re.M)
    assert pins == ["1", "0", "1"], relay.output()
    # What is measured, each minute
    seen("home/attic/temperature", "21.5", "22.0")
    seen("home/attic/humidity", "40.0", "41.0")
    # Told while it slept, and what it had been told stays
    asleep = r"^deepsleep: (\d+) ms$"
    battery.child.wait_for_line(asleep, LIMIT_S)
    observer.publish("home/mailbox/interval", "30")
    battery.wake("timer")
    seen("home/mailbox/battery", "3.91", "3.91")
    battery.child.wait_for_line("^deepsleep: 1800000 ms$", LIMIT_S)
    assert re.findall(asleep, battery.output(), re.M) == ["900000", "1800000"]
    # A relay without current has a last will
    relay.kill()
    seen("home/pump/state", "online", "offline")
