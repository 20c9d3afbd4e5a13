"""One suite for two packages `umqtt`: what upstream's sees of mosquitto, ours sees of Prosody and
ejabberd, but for DIFFERENCES. It is programs/scenarios.py; upstream runs it first and says so
what is right."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from host_tools.lab.ejabberd import Ejabberd
from host_tools.lab.lab import Lab
from host_tools.lab.mosquitto import MosquittoServer
from host_tools.lab.ports import Ports
from host_tools.lab.prosody import Prosody

from .helper import ACCOUNTS, ROLES, SCENARIOS, Program, observe

ROOT = Path(__file__).resolve().parents[2]
RUNTIMES = ("32", "cpython")
#: Seconds for which a server keeps the session of a connection that was cut.
RESUME_S = 2
SERVERS = {
    "prosody": {
        "server": Prosody,
        "settings": {
            "add_permissions": {"prosody:registered": ["pubsub:create-node"]},
            "smacks_hibernation_time": RESUME_S,
        },
    },
    "ejabberd": {"server": Ejabberd, "resume_timeout": RESUME_S},
}

OSERROR = ["OSError"]
LOST = [OSERROR, OSERROR]
LOST_LATER = [None, OSERROR]
BAD_TOPIC = [["MQTTException", 0x90], None]
BAD_FILTER = [["MQTTException", 0x8F], None]

_TOPICS = "Topics that MQTT does not allow"
_FILTERS = "Filters that MQTT does not allow"
_STR = "Text that is not ASCII"
_LONG = "Long topics"
_CUTS = "A connection that is cut"
_CLIENT = "Calls without a connection"
_WILLS = "Last wills that MQTT does not allow"

#: {scenario: {what: (upstream's, ours, the row of docs/umqtt.md)}}: each holds exactly.
DIFFERENCES = {
    "topic_70k": {"publish": (None, ["MQTTException", 0x90], _LONG)},
    "long_topic": {
        "subscribe": (OSERROR, None, _LONG),
        "got": (OSERROR, [["/" + "long" * 30, "2"]], _LONG),
    },
    "unicode_str": {
        "topic got": ([["/ü", "next"]], [["/ü", "1"], ["/ü", "next"]], _STR),
        "payload got": (
            [["/ü", "°"], ["/ü", "next"]],
            [["/ü", "°C"], ["/ü", "next"]],
            _STR,
        ),
    },
    "sessions": {"without a subscription": (1, 0, "Clean session")},
    "offline": {
        "got": (
            [*([["/1", str(i)] for i in range(4)]), ["/end", "bye"]],
            [*([["/1", str(i)] for i in range(4)]), ["/0", "kept"], ["/end", "bye"]],
            "QoS 1",
        )
    },
    "subscriber_cut": {"cuts": (2, 0, _CUTS)},
    "publisher_cut": {"cuts": (2, 0, _CUTS)},
    "answer_lost": {"cuts": (1, 0, _CUTS), "times": (2, 1, _CUTS)},
    "cut": {"ping": (OSERROR, None, _CUTS)},
    "closed_at_once": {"connect": (["IndexError"], OSERROR, _CUTS)},
    "keepalive": {"too long": (["AssertionError"], 0, "Keepalive")},
    "not_connected": {
        f"before {call}": (["AttributeError"], OSERROR, _CLIENT)
        for call in ("publish", "subscribe", "check_msg", "wait_msg", "ping", "disconnect")
    },
    "bad_wills": {
        "empty": (["AssertionError"], ["MQTTException", 0x90], _WILLS),
        "qos": (["AssertionError"], ["MQTTException", 0x9B], _WILLS),
    },
    "bad_topics": {
        **{
            f"{what} {qos}": (LOST if qos else LOST_LATER, BAD_TOPIC, _TOPICS)
            for what in ("plus", "hash", "NUL", "empty", "not UTF-8")
            for qos in (0, 1)
        },
        "control 0": (LOST_LATER, [None, None], "Control characters in topics"),
        "control 1": (LOST, [None, None], "Control characters in topics"),
    },
    "bad_filters": dict.fromkeys(
        ("inner hash", "not alone #", "not alone +", "NUL", "empty", "not UTF-8"),
        (LOST, BAD_FILTER, _FILTERS),
    ),
    "qos_2": {"publish": (["AssertionError"], ["MQTTException", 0x9B], "QoS 2")},
}

#: Scenarios in which something is refused, or a connection is lost.
REFUSALS = ("cut", "not_connected", "nobody", "closed_at_once", "wrong_password", "topic_70k")
REFUSALS += ("bad_topics", "bad_filters", "bad_wills", "qos_2")

# One worker runs all of it, see `recorded`
pytestmark = pytest.mark.xdist_group("umqtt")

each = pytest.mark.parametrize(
    ("runtime", "server"), [(runtime, server) for runtime in RUNTIMES for server in SERVERS]
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """`recorded(runtime, server)`: what the program said, by scenario; without a server what it
    said with upstream's package. All run at a time, for they mostly wait."""
    folder = tmp_path_factory.mktemp("umqtt")
    known = {}
    with ThreadPoolExecutor(len(RUNTIMES) * (len(SERVERS) + 1)) as pool:
        for runtime in RUNTIMES:
            for server in (None, *SERVERS):
                observed = _ours if server else _upstream
                program = Program(folder / f"{runtime}-{server}", runtime)
                known[runtime, server] = pool.submit(observed, program, server)
    return lambda runtime, server=None: known[runtime, server].result()


def _upstream(program, _):
    with MosquittoServer(accounts=ACCOUNTS) as server, Ports(1) as nobody:

        def config(relays):
            clients = {
                role: [role, relay.host, relay.port, role, ACCOUNTS[role], 0, False, {}]
                for role, relay in relays.items()
            }
            clients["nobody"] = ["b", server.host, nobody.numbers[0]]
            return {"clients": clients, "tune": [], "eager": True}

        return observe(program.upstream(), (server.host, server.port), config)


def _ours(program, server):
    with Lab(ACCOUNTS, **SERVERS[server]) as lab, Ports(1) as nobody:

        def client(role, host, port):
            tls = {"ca": str(lab.ca_der), "host": host, "port": port}
            service = f"pubsub.{lab.domain}"
            return [role, service, 0, lab.jid(role), ACCOUNTS[role], 0, True, tls]

        def config(relays):
            clients = {
                role: client(role, relay.host, relay.port) for role, relay in relays.items()
            }
            clients["nobody"] = client("b", lab.server.host, nobody.numbers[0])
            people = [lab.jid(role) for role in ROLES]
            tune = [
                ("umqtt.simple", "MQTTClient", "people", people),
                ("umqtt.topics", "Topics", "rescan_s", 0.5),
                ("umqtt.will", None, "PAUSE_S", 0.1),
            ]
            return {"clients": clients, "tune": tune, "eager": False}

        return observe(program.ours(), (lab.server.host, lab.server.c2s_port), config)


@each
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_as_upstream(scenario, runtime, server, recorded):
    expected = dict(recorded(runtime)[scenario]["saw"])
    assert "failed" not in expected, "upstream itself"
    for what, (theirs, ours, row) in DIFFERENCES.get(scenario, {}).items():
        assert expected[what] == theirs, f"{what}: upstream is not as the row {row!r} has it"
        expected[what] = ours
    heard = recorded(runtime, server)[scenario]
    assert heard["saw"] == expected, heard["said"]


@each
def test_what_is_raised_has_a_code_and_a_text(runtime, server, recorded):
    seen = recorded(runtime, server)
    said = [line for scenario in REFUSALS for line in seen[scenario]["said"]]
    assert said
    for line in said:
        # "MappingError: (144, 'a topic …')", "OSError: [Errno 107] …"
        text = re.fullmatch(r"\w+: (?:\(\d+, ['\"](.+)['\"]\)|\[Errno \d+\] (.+))", line)
        assert text, line
        assert " " in (text[1] or text[2]), line


def test_upstream_is_the_same_everywhere(recorded):
    # So what stands in for MicroPython's modules on CPython does what they do
    one, other = (recorded(runtime) for runtime in RUNTIMES)
    for scenario in SCENARIOS:
        assert one[scenario]["saw"] == other[scenario]["saw"], scenario


def test_differences_are_in_the_table():
    table = (ROOT / "docs" / "umqtt.md").read_text("utf-8")
    assert DIFFERENCES.keys() <= set(SCENARIOS)
    for scenario, whats in DIFFERENCES.items():
        for what, (theirs, ours, row) in whats.items():
            assert theirs != ours, (scenario, what)
            assert f"\n| **{row}** |" in table, row
