"""The exact figures are held, and the measuring itself does what it says."""

import asyncio
import hashlib
import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from host_tools.flash.mpy import FIRMWARE, MpyError, compile_tree
from host_tools.lab.network import FaultyNetwork

from . import __main__ as command
from . import corpus, figures, peers, run, search
from .registry import FIGURES, Figure, Result, Skipped, figure
from .wire import DELAY_S
from .world import PROGRAMS

EXACT = [f for f in FIGURES.values() if f.exact]
_MACHINE = {"cpu", "cores", "python", "micropython", "mpy-cross", "peers", "quick", "date"}
_ROW = {"id", "what", "unit", "better", "ours", "peers", "target", "note"}


def _check_schema(results: Any) -> None:
    assert set(results) == {"machine", "rows"}
    assert set(results["machine"]) == _MACHINE
    for row in results["rows"]:
        assert set(row) == _ROW, row
        assert row["better"] in ("lower", "higher")
        for name in ("id", "what", "unit", "note"):
            assert isinstance(row[name], str), row
            assert "\n" not in row[name], row
        assert row["ours"] is None or isinstance(row["ours"], int | float), row
        assert row["target"] is None or isinstance(row["target"], int | float), row
        assert all(isinstance(v, int | float) for v in row["peers"].values()), row
    ids = [row["id"] for row in results["rows"]]
    assert len(ids) == len(set(ids))


@pytest.fixture(scope="module")
def exact() -> run.Results:
    """The exact figures, measured now."""
    return run.measure(f.id for f in EXACT)


@pytest.mark.parametrize("f", EXACT, ids=[f.id for f in EXACT])
def test_exact_figure_holds(f: Figure, exact: run.Results) -> None:
    row = next(row for row in exact["rows"] if row["id"] == f.id)
    ours = row["ours"]
    if ours is None and row["note"].startswith("skipped: "):
        pytest.skip(row["note"])
    assert ours is not None, row["note"]
    assert f.meets(ours), f"{f.id} is {ours:g} {f.unit}; the target is {f.target:g}"


def test_peers_are_measured_in_the_same_run(exact: run.Results) -> None:
    rows = {row["id"]: row for row in exact["rows"]}
    for id in ("size.core", "heap.import.core"):
        assert set(rows[id]["peers"]) == {
            peers.UMQTT,
            peers.UMQTT_ROBUST,
            peers.MQTT_AS,
        }, rows[id]["note"]
    versions = exact["machine"]["peers"]
    assert isinstance(versions, dict)
    assert versions["umqtt"].startswith(peers.SIMPLE.version)
    # What is not measured says so
    for row in rows.values():
        for name in row["peers"]:
            assert "(recorded)" in name or name in (peers.UMQTT, peers.UMQTT_ROBUST)


def test_exact_figures_have_the_schema(exact: run.Results) -> None:
    _check_schema(json.loads(json.dumps(exact)))


def test_recorded_results_have_the_schema() -> None:
    if not run.RESULTS.exists():
        pytest.skip("bench/results.json was not written yet: python -m tests.bench")
    text = run.RESULTS.read_text("utf-8")
    results = json.loads(text)
    _check_schema(results)
    assert [row["id"] for row in results["rows"]] == list(FIGURES)
    assert not results["machine"]["quick"]
    for row in results["rows"]:
        assert row["target"] == FIGURES[row["id"]].target, "measure again: make bench"
    assert str(Path.home()) not in text
    assert str(FIRMWARE.parent) not in text


def test_a_path_of_this_machine_is_in_no_row(exact: run.Results) -> None:
    text = json.dumps(exact)
    assert str(FIRMWARE.parent) not in text
    assert "uxmpp-bench-" not in text


# the run


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace the figures by `few(id=function, ...)`."""

    def fill(**made: Callable[[Any], Result]) -> None:
        for id in list(FIGURES):
            monkeypatch.delitem(FIGURES, id)
        for id, function in made.items():
            monkeypatch.setitem(
                FIGURES, id, Figure(id, "what", "B", "lower", 10.0, False, function)
            )

    return fill


def _failing(world: Any) -> Result:
    raise RuntimeError("broken\nin two lines")


def _skipping(world: Any) -> Result:
    raise Skipped("nothing to measure")


def _run(monkeypatch: pytest.MonkeyPatch, *args: str) -> int:
    monkeypatch.setattr(sys, "argv", ["tests.bench", *args])
    return command.main()


def test_a_failure_is_one_line_and_the_others_run(
    few: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    few(a=_failing, b=_skipping, c=lambda world: Result(11.0, {"peer": 3.5}, "so measured"))
    output = tmp_path / "made" / "results.json"
    assert _run(monkeypatch, "--output", str(output)) == 1
    rows = json.loads(output.read_text())["rows"]
    assert [row["note"] for row in rows] == [
        "failed: broken in two lines",
        "skipped: nothing to measure",
        "so measured",
    ]
    assert [row["ours"] for row in rows] == [None, None, 11.0]
    said = capsys.readouterr().out
    assert "MISSED" in said
    assert "3 figures, 1 targets missed, 1 failed, 1 skipped" in said


def test_a_missed_target_is_no_failure(
    few: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    few(a=lambda world: Result(11.0), b=_skipping)
    assert _run(monkeypatch, "--quick") == 0
    assert _run(monkeypatch, "--only", "a") == 0
    assert _run(monkeypatch, "--only", "nothing") == 2


def test_part_of_the_figures_is_not_written_over_all(
    few: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    few(a=lambda world: Result(1.0))
    monkeypatch.setattr(run, "RESULTS", tmp_path / "results.json")
    _run(monkeypatch, "--only", "a")
    _run(monkeypatch, "--quick")
    assert not run.RESULTS.exists()
    _run(monkeypatch)
    assert run.RESULTS.exists()


def test_ids_are_used_once() -> None:
    with pytest.raises(ValueError, match="two figures"):
        figure("size.core", "again", "B")(_failing)


def test_every_family_has_figures() -> None:
    measuring = {f.measure.__module__ for f in FIGURES.values()}
    assert {family.__name__ for family in figures.FAMILIES} == measuring


# the search, the relay, the corpus


@pytest.mark.parametrize("least", [4, 5, 17, 31, 64])
@pytest.mark.parametrize("step", [1, 4])
def test_search(least: int, step: int) -> None:
    tried: list[int] = []

    def trial(size: int) -> str:
        tried.append(size)
        return "" if size >= least else "too small"

    found = search.smallest(trial, low=4, high=64, step=step)
    assert least <= found < least + step
    assert all(4 <= size <= 64 for size in tried)


def test_search_confirms_what_it_found() -> None:
    tried: list[int] = []

    def trial(size: int) -> str:
        tried.append(size)
        # 20 is enough at the first time only
        return "" if size > 20 or (size == 20 and tried.count(20) < 2) else "too small"

    assert search.smallest(trial, low=1, high=64) == 21


def test_search_without_an_end() -> None:
    with pytest.raises(RuntimeError, match="fails even with 64: too small"):
        search.smallest(lambda size: "too small", low=1, high=64)


def test_relay_counts_waits_and_not_writes() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readexactly(4):
            writer.write(b"12")
            await asyncio.sleep(0.005)
            writer.write(b"3")

    async def session() -> tuple[int, int, int]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            async with FaultyNetwork("127.0.0.1", port) as relay:
                relay.delay(DELAY_S)
                reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
                for _ in range(3):
                    writer.write(b"ab")
                    await asyncio.sleep(0.005)
                    writer.write(b"cd")
                    await reader.readexactly(3)
                count = relay.count
                writer.close()
            return count.round_trips, count.up, count.down
        finally:
            server.close()

    assert asyncio.run(session()) == (3, 12, 9)


def test_corpus_is_the_same_everywhere() -> None:
    made = corpus.stanzas()
    data = corpus.stream()
    assert 300 <= sum(len(s.encode()) for s in made) / len(made) <= 400
    assert hashlib.sha256(data).hexdigest() == (
        "63f8df7450d4f873feffb871d45f8cc0ca3f63ac1438d409d7fef7f6ef1ed360"
    )
    assert len(ET.fromstring(data + b"</stream:stream>")) == len(made)


def test_yardstick_reads_the_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROGRAMS))
    from yardstick import Yardstick  # type: ignore[import-not-found]

    parser = Yardstick()
    data = corpus.stream()
    found = []
    for i in range(0, len(data), 61):
        found += parser.feed(data[i : i + 61])
    texts = [c for node in found for child in node.children for c in _texts(child)]
    wanted = [t for stanza in ET.fromstring(data + b"</stream:stream>") for t in stanza.itertext()]
    assert texts == wanted


def _texts(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    return [t for child in node.children for t in _texts(child)]


# the compiler


def test_compile_tree(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "part").mkdir(parents=True)
    for name in ("a.py", "a_cpython.py", "part/b.py", "part/c.py"):
        (source / name).write_text("x = 1\ndef f():\n    assert x\n")
    first = compile_tree(source, tmp_path / "one", skip=["part/c.py"])
    assert first == [tmp_path / "one" / "a.mpy", tmp_path / "one" / "part" / "b.mpy"]
    again = compile_tree(source, tmp_path / "two")
    assert len(again) == 3
    assert first[0].read_bytes() == again[0].read_bytes()
    assert str(tmp_path).encode() not in first[1].read_bytes()
    assert b"part/b.py" in first[1].read_bytes()
    bigger = compile_tree(source, tmp_path / "three", opt=0)
    assert bigger[0].stat().st_size > first[0].stat().st_size


def test_firmware_is_named_by_its_place(tmp_path: Path) -> None:
    made = compile_tree(FIRMWARE / "uxmpp", tmp_path, skip=["xep/*"])
    assert tmp_path / "xml.mpy" in made
    assert not any("cpython" in p.name or p.parent.name == "xep" for p in made)
    assert b"uxmpp/xml.py" in (tmp_path / "xml.mpy").read_bytes()


def test_compile_errors(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "wrong.py").write_text("def f():\n    return (\n")
    with pytest.raises(MpyError, match=r"^wrong\.py is not compiled: SyntaxError.*line \d"):
        compile_tree(source, tmp_path / "target")
    assert not list((tmp_path / "target").rglob("*.mpy"))
    with pytest.raises(MpyError, match="no folder"):
        compile_tree(tmp_path / "nowhere", tmp_path / "target")
