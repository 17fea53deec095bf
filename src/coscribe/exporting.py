"""Exporting: a `Tracer` that hands spans to a collector of OpenTelemetry, by a thread of its own.

Needs the extra ``coscribe[tracing]``; imported only where tracing is on. What the collector does not take in time is
dropped, counted, and holds up nothing.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from typing import Unpack, cast

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from coscribe.metrics import metrics
from coscribe.tracing import Facts, Followed, Stage, TracingSettings, span_id

MAX_WAITING = 4_096
"""Spans that wait for the collector; beyond that new ones are dropped."""

BATCH = 512
"""Spans in one message to the collector."""

DELAY = 1.0
"""Seconds that a span waits for others to go with it."""

TIMEOUT = 10.0
"""Seconds that the collector may take for one message, with all that is tried again."""

CLOSE_SECONDS = 2.0
"""How long what still waits may take at the end."""

_KINDS = {
    Stage.SEND: SpanKind.CLIENT,
    Stage.RECEIVE: SpanKind.SERVER,
    Stage.BROADCAST: SpanKind.PRODUCER,
    Stage.APPLY: SpanKind.CONSUMER,
}


class ExportingTracer:
    """`Tracer` for one thread. ``exporter`` None: by OTLP to ``settings.endpoint``. To be closed in the end."""

    def __init__(self, settings: TracingSettings, exporter: SpanExporter | None = None) -> None:
        self._one_in = settings.one_in
        self._resource = Resource.create({"service.name": settings.service})
        self._scope = InstrumentationScope("coscribe")
        self._noted = 0
        self._exporter = _Counting(exporter or OTLPSpanExporter(endpoint=settings.endpoint, timeout=TIMEOUT))
        self._processor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=MAX_WAITING,
            max_export_batch_size=BATCH,
            schedule_delay_millis=1_000 * DELAY,
        )

    def now(self) -> int:
        return time.time_ns()

    def follows(self, operation_id: str) -> bool:
        return Followed.of(operation_id).choice % self._one_in == 0

    def note(self, stage: Stage, operation_id: str, began: int, **facts: Unpack[Facts]) -> None:
        self._add(stage, operation_id, span_id(operation_id, stage), began, facts)

    def note_again(self, stage: Stage, operation_id: str, began: int, **facts: Unpack[Facts]) -> None:
        self._add(stage, operation_id, secrets.randbits(63) + 1, began, facts)

    def close(self) -> None:
        """Gives what still waits `CLOSE_SECONDS` to go."""
        closing = threading.Thread(target=self._processor.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)

    def _add(self, stage: Stage, operation_id: str, own_id: int, began: int, facts: Facts) -> None:
        if self._noted - self._exporter.taken >= MAX_WAITING:
            metrics.spans.labels("dropped").inc()
            return
        self._noted += 1
        trace_id = Followed.of(operation_id).trace_id
        parent = stage.parent
        span = ReadableSpan(
            stage.value,
            _context(trace_id, own_id),
            None if parent is None else _context(trace_id, span_id(operation_id, parent)),
            self._resource,
            {"coscribe.operation_id": operation_id, **_attributes(facts)},
            kind=_KINDS.get(stage, SpanKind.INTERNAL),
            start_time=began,
            end_time=max(began, self.now()),
            instrumentation_scope=self._scope,
        )
        self._processor.on_end(span)


def _attributes(facts: Facts) -> dict[str, str | int]:
    return {f"coscribe.{name}": cast(str | int, fact) for name, fact in facts.items()}


def _context(trace_id: int, own_id: int) -> SpanContext:
    return SpanContext(trace_id, own_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


class _Counting(SpanExporter):
    """Counts what an exporter makes of the spans. ``taken``: how many have left the queue."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            metrics.spans.labels("sent" if result is SpanExportResult.SUCCESS else "failed").inc(len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
