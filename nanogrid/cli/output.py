"""Prints tables for people and JSON for programs. Results go to stdout, remarks to stderr."""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_TABLE_WIDTH = 10_000  # ids are for copying: a narrow terminal wraps lines, we never cut cells


class Format(StrEnum):
    """How to print."""

    TABLE = "table"
    JSON = "json"


class Printer:
    """Prints in the chosen format."""

    def __init__(self, form: Format) -> None:
        self._json = form is Format.JSON
        self._out = Console(soft_wrap=True, highlight=False)
        self._err = Console(stderr=True, soft_wrap=True, highlight=False)

    def remark(self, text: str) -> None:
        """Say something that is not the result."""
        self._err.print(Text(text))

    def rows(self, name: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], **beside: Any) -> None:
        """Print a list. Programs get its cursor beside it."""
        if self._json:
            self._out.print(_json({name: rows, **beside}), markup=False)
            return
        table = Table(box=None, pad_edge=False)
        for column in columns:
            table.add_column(column.upper().replace("_", " "), no_wrap=True)
        for row in rows:
            table.add_row(*(Text(_cell(row.get(column))) for column in columns))
        Console(width=_TABLE_WIDTH, soft_wrap=True, highlight=False).print(table)

    def thing(self, thing: Mapping[str, Any]) -> None:
        """Print one thing with all its fields."""
        if self._json:
            self._out.print(_json(thing), markup=False)
            return
        for name, value in thing.items():
            self._out.print(Text.assemble((f"{name}: ", "bold"), _cell(value)))

    def plain(self, text: str, thing: Mapping[str, Any]) -> None:
        """Print the one word that people and shells want of a thing."""
        self._out.print(_json(thing) if self._json else text, markup=False)

    def job(self, job: Mapping[str, Any]) -> None:
        """Print a job's result. Output, failure and cost go to stderr as remarks."""
        if self._json:
            self._out.print(_json(job), markup=False)
            return
        for stream in ("stdout", "stderr"):
            if text := str(job.get(stream) or "").rstrip("\n"):
                self.remark(text)
        if error := job.get("error"):
            self.remark(
                "\n".join(
                    filter(None, (f"{error.get('type')}: {error.get('message')}", (error.get("stack") or "").rstrip()))
                )
            )
        if job.get("status") == "completed":
            self._out.print(_json(job.get("result")), markup=False)
        for url in job.get("output_files") or ():
            self.remark(f"output: {url}")
        self.remark(summary(job))


def summary(job: Mapping[str, Any]) -> str:
    """Return one line about a job: its id, state and cost, and the advice on memory."""
    parts = [f"{job.get('job_id')} {job.get('status')}"]
    if (took := job.get("execution_time_ms")) is not None:
        parts.append(f"{took:.1f} ms" + (" (cold start)" if job.get("cold_start") else ""))
    if peak := job.get("peak_memory_bytes"):
        parts.append(f"peak {peak / 1024 / 1024:.1f} MiB")
    if tip := job.get("optimization_tip"):
        parts.append(str(tip))
    return " · ".join(parts)


def _json(thing: object) -> str:
    return json.dumps(thing, ensure_ascii=False, indent=2)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
