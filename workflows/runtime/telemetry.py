"""Logs and metrics, in the names that dashboards of the original service already use."""

import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
from aws_lambda_powertools.metrics import MetricUnit

NAMESPACE = "API-Producer-SQS/Messages"


class _Formatter(LambdaPowertoolsFormatter):
    def formatTime(self, record: Any, datefmt: str | None = None) -> str:  # noqa: N802, ARG002 - logging's
        """Write UTC with microseconds, as the original service did."""
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")


logger = Logger(service="guarded-redrive", logger_formatter=_Formatter())
# Without a service there is no dimension: the original's alarms and dashboards name none, and a
# metric with one is another metric. An empty set of dimensions is legal EMF:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
metrics = Metrics(namespace=NAMESPACE, service="")


@contextmanager
def operation(name: str, trace_id: str, **details: Any) -> Iterator[dict[str, Any]]:
    """Log an action that somebody waits for: a request, or a try of a message.

    As `action`, and its duration is counted as `ProcessingTime`, in seconds, however it ends.
    """
    closing: dict[str, Any] = {}
    try:
        with action(name, trace_id, **details) as closing:
            yield closing
    finally:
        if "duration" in closing:
            count("ProcessingTime", closing["duration"], MetricUnit.Seconds)


@contextmanager
def action(name: str, trace_id: str, **details: Any) -> Iterator[dict[str, Any]]:
    """Log an action as `started`, then as `success` or `error` with its duration in seconds.

    Yields the `details` of the closing line, to be added to. Never put a message body, a payload
    or a secret in them. An error is logged by class and place only, because its text may quote
    what a client sent, and goes on its way.
    """
    began = time.perf_counter()
    _log("info", name, "started", trace_id, details)
    try:
        yield details
    except Exception as error:
        details |= {"duration": round(time.perf_counter() - began, 3)}
        failed(name, trace_id, error, **details)
        raise
    details |= {"duration": round(time.perf_counter() - began, 3)}
    _log("info", name, "success", trace_id, details)


def failed(name: str, trace_id: str, error: Exception, **details: Any) -> None:
    """Log an action as `error`, by the error's class and place only."""
    details |= {"error": type(error).__name__, "at": _places(error.__traceback__)}
    _log("error", name, "error", trace_id, details)


def ended(name: str, trace_id: str, error: str | None, **details: Any) -> None:
    """Log the end of an action whose beginning nobody here saw; `error` is None after a success."""
    level, status = ("error", "error") if error else ("info", "success")
    _log(level, name, status, trace_id, details | ({"error": error} if error else {}))


def refused(trace_id: str, code: str, **details: Any) -> None:
    """Log that a request was refused, by the `code` of its answer."""
    _log("warning", "answer_request", "error", trace_id, {"error": code} | details)


def count(metric: str, value: float = 1, unit: MetricUnit = MetricUnit.Count) -> None:
    """Add to a metric of the namespace; it leaves with the invocation's last log line (EMF)."""
    metrics.add_metric(name=metric, unit=unit, value=value)


def flush() -> None:
    """Write the invocation's metrics, if there are any."""
    if metrics.metric_set:
        metrics.flush_metrics()


def _log(level: str, name: str, status: str, trace_id: str, details: dict[str, Any]) -> None:
    getattr(logger, level)(
        f"{name} {status}",
        extra={"trace_id": trace_id, "action": name, "status": status, "details": dict(details)},
    )


def _places(trace: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(trace)[-4:]
    return [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
