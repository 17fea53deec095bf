"""One operation is one trace, from keystroke to broadcast; what is noted gives nothing away; off unless asked for."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from coscribe import exporting
from coscribe.app import TracingUnavailable, make_tracer
from coscribe.client import Client, Document
from coscribe.config import Settings
from coscribe.exporting import BATCH, MAX_WAITING, ExportingTracer
from coscribe.gateway.socket import GatewayLimits
from coscribe.tracing import Facts, Followed, Stage, TracingSettings, span_id
from tests.e2e.server_process import free_port
from tests.gateway.site import PATIENCE, Site, metric, open_site, token

ALL = TracingSettings(one_in=1)
STAGES = [stage.value for stage in Stage]


class Party:
    """A server or a client that traces, each with a collector of its own."""

    def __init__(self, settings: TracingSettings = ALL) -> None:
        self._collector = InMemorySpanExporter()
        self.tracer = ExportingTracer(settings, self._collector)

    def spans(self) -> Sequence[ReadableSpan]:
        """All of them; the end of its tracing."""
        self.tracer.close()
        return self._collector.get_finished_spans()


class Scene(NamedTuple):
    """A server with a document that Ann and Bob have open."""

    site: Site
    server: Party
    anns: Party
    bobs: Party
    ann: Document
    bob: Document

    def spans(self) -> list[ReadableSpan]:
        """In the order of the stages."""
        spans = [span for party in (self.anns, self.server, self.bobs) for span in party.spans()]
        return sorted(spans, key=lambda span: STAGES.index(span.name))


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    server, anns, bobs = Party(), Party(), Party()
    async with asyncio.timeout(PATIENCE), AsyncExitStack() as stack:
        site = await stack.enter_async_context(open_site(folder, GatewayLimits(), tracer=server.tracer))
        url = f"ws://{site.address}/ws"
        ann = await stack.enter_async_context(Client(url, token("ann"), tracer=anns.tracer))
        bob = await stack.enter_async_context(Client(url, token("bob"), tracer=bobs.tracer))
        yield Scene(site, server, anns, bobs, await ann.open("notes"), await bob.open("notes"))


def own_id(span: ReadableSpan) -> int:
    context = span.get_span_context()
    assert context is not None
    return context.span_id


def trace_id(span: ReadableSpan) -> int:
    context = span.get_span_context()
    assert context is not None
    return context.trace_id


def facts(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


async def test_one_typed_character_is_one_trace_of_all_stages(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        it.ann.insert(0, "x")
        await it.ann.synced()
        await it.bob.reached(it.ann.sequence)
        spans = it.spans()
    assert [span.name for span in spans] == ["type", "send", "receive", "turn", "commit", "broadcast", "apply"]
    (operation_id,) = {facts(span)["coscribe.operation_id"] for span in spans}
    assert {trace_id(span) for span in spans} == {Followed.of(str(operation_id)).trace_id}
    parents = [span.parent.span_id if span.parent is not None else None for span in spans]
    assert parents == [None, *(own_id(span) for span in spans[:-1])]
    began, ended = [span.start_time or 0 for span in spans], [span.end_time or 0 for span in spans]
    assert began == sorted(began)
    typed, sent, received, turn, commit, broadcast, applied = range(7)
    assert ended[typed] <= began[sent]
    assert began[received] <= began[turn] <= ended[turn] <= ended[received] <= began[commit]
    assert ended[commit] <= began[broadcast] <= began[applied]
    assert began[broadcast] <= ended[sent]
    assert facts(spans[commit])["coscribe.group_operations"] == 1
    assert facts(spans[broadcast])["coscribe.subscribers"] == 2


@pytest.mark.slow
async def test_what_is_composed_or_undone_is_followed_to_its_end(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        for _ in range(20):
            it.ann.insert(0, "one ")
            it.bob.insert(0, "two ")
            it.ann.undo()
            await asyncio.sleep(0)
        await it.ann.synced()
        await it.bob.synced()
        last = max(it.ann.sequence, it.bob.sequence)
        await it.ann.reached(last)
        await it.bob.reached(last)
        spans = it.spans()
    traces = {trace_id(span): sorted(each.name for each in spans if trace_id(each) == trace_id(span)) for span in spans}
    assert len(traces) == last > 1
    assert [names for names in traces.values() if names != sorted(STAGES)] == []


async def test_an_operation_that_comes_again_is_noted_as_that(tmp_path: Path) -> None:
    """Its own stages stay what they were: one of each, and what came later beside them."""
    async with scene(tmp_path) as it:
        it.ann.insert(0, "x")
        frame = it.ann._replica.message
        await it.ann.synced()
        it.ann._client.send(frame)
        it.ann._client.send(frame.replace(b'"x"', b'"y"'))
        it.ann.insert(1, "z")  # what comes behind them has been acknowledged: so they were heard
        await it.ann.synced()
        spans = it.server.spans()
    again = [facts(span).get("coscribe.outcome") for span in spans if span.name == "receive"]
    assert again == ["taken", "duplicate", "operation_id_reused", "taken"]
    assert len({own_id(span) for span in spans}) == len(spans)


@pytest.mark.slow
async def test_an_edit_by_http_is_traced_from_the_turn_on(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        async with httpx.AsyncClient(base_url=f"http://{it.site.address}/api") as http:
            http.headers["Authorization"] = f"Bearer {token('ann')}"
            answer = await http.put(
                "/documents/notes/content", content="whole", headers={"If-Match": '"v0"', "Content-Type": "text/plain"}
            )
        assert answer.is_success, answer.text
        await it.bob.reached(1)
        assert [span.name for span in it.server.spans()] == ["turn", "receive", "commit", "broadcast"]
        assert [span.name for span in it.bobs.spans()] == ["apply"]


async def test_spans_hold_no_text_no_names_and_no_tokens(tmp_path: Path) -> None:
    secrets = ["Geheimnis", "\U0001f92b", "ann", "bob", token("ann")]
    async with scene(tmp_path) as it:
        it.ann.insert(0, "Geheimnis \U0001f92b")
        await it.ann.synced()
        it.ann.delete(0, 4)
        await it.ann.synced()
        await it.bob.reached(it.ann.sequence)
        it.ann._client.send(it.ann._replica.message or b'{"type":"operation","payload":"Geheimnis"}')
        spans = it.spans()
    written = " ".join(span.to_json(indent=None) for span in spans)
    assert [secret for secret in secrets if secret in written or json.dumps(secret)[1:-1] in written] == []
    known = {f"coscribe.{name}" for name in Facts.__annotations__} | {"coscribe.operation_id"}
    assert {name for span in spans for name in facts(span)} <= known


def test_everybody_chooses_the_same_operations() -> None:
    names = [f"series:{number}" for number in range(3_000)]
    some, others = (ExportingTracer(TracingSettings(one_in=10), InMemorySpanExporter()) for _ in range(2))
    chosen = [name for name in names if some.follows(name)]
    assert chosen == [name for name in names if others.follows(name)]
    assert 200 < len(chosen) < 400
    for tracer in (some, others):
        tracer.close()


def test_ids_are_derived_as_documented() -> None:
    """Whoever writes a client of their own comes to these."""
    assert f"{Followed.of('k3x:17').trace_id:032x}" == "8a68c179df129d13ac3a2fddc5e5b56f"
    assert f"{span_id('k3x:17', Stage.SEND):016x}" == "5b8bcd36a14f5bb7"


class Stuck(SpanExporter):
    """A collector that answers when it may."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.took = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.may_answer.wait(PATIENCE)
        self.took += len(spans)
        return SpanExportResult.SUCCESS


def test_a_collector_that_is_stuck_costs_spans_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "CLOSE_SECONDS", PATIENCE)  # however slow the machine is
    collector = Stuck()
    tracer = ExportingTracer(ALL, collector)
    dropped, sent = metric("coscribe_spans_total", fate="dropped"), metric("coscribe_spans_total", fate="sent")
    more = 3 * MAX_WAITING
    for number in range(more):
        tracer.note(Stage.TURN, f"series:{number}", tracer.now())
    dropped = metric("coscribe_spans_total", fate="dropped") - dropped
    assert more - MAX_WAITING - BATCH <= dropped <= more - MAX_WAITING
    collector.may_answer.set()
    tracer.close()
    assert collector.took == more - dropped
    # The counter is the process's: a tracer of another test, closed before its collector answered, may still send.
    assert metric("coscribe_spans_total", fate="sent") - sent >= collector.took


def test_spans_reach_a_collector_by_http() -> None:
    bodies: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        answering = threading.Thread(target=server.serve_forever)
        answering.start()
        tracer = make_tracer(TracingSettings(f"http://127.0.0.1:{server.server_port}/v1/traces", 1, "here"))
        assert tracer is not None
        tracer.note(Stage.SEND, "k3x:17", tracer.now(), sequence=5)
        tracer.close()
        server.shutdown()
        answering.join()
    (body,) = bodies
    assert Followed.of("k3x:17").trace_id.to_bytes(16) in body
    assert span_id("k3x:17", Stage.SEND).to_bytes(8) in body
    assert b"here" in body


@pytest.mark.slow
async def test_a_server_ends_without_its_collector(tmp_path: Path) -> None:
    """Nobody listens where spans should go: typing goes on, and it does not wait for ever at the end."""
    settings = {"endpoint": f"http://127.0.0.1:{free_port()}/v1/traces", "one_in": 1}
    async with asyncio.timeout(PATIENCE):
        async with (
            open_site(tmp_path, GatewayLimits(), tracing=settings) as site,
            Client(f"ws://{site.address}/ws", token("ann")) as client,
        ):
            ann = await client.open("notes")
            ann.insert(0, "x")
            await ann.synced()


@pytest.mark.slow
def test_nothing_is_traced_unless_asked_for(tmp_path: Path) -> None:
    assert make_tracer(Settings(folder=tmp_path).tracing) is None
    loaded = (
        "import sys; from pathlib import Path; from coscribe.app import Coscribe; from coscribe.config import Settings;"
        f"import coscribe.client; coscribe = Coscribe(Settings(folder=Path({str(tmp_path)!r})));"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_server_that_should_trace_and_cannot_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.delitem(sys.modules, "coscribe.exporting")
    with pytest.raises(TracingUnavailable, match="is not installed"):
        make_tracer(TracingSettings(endpoint="http://127.0.0.1:4318/v1/traces"))
