"""Runs the command line in tests, and holds the answers of a grid."""

import io

import pytest

from nanogrid.cli import main

FUNCTION_ID = "0b6f7a52-3c1d-4e8f-9a20-5d6c7b8a9e01"
PENDING = {"job_id": "job-1", "status": "pending", "message": "Job submitted."}
COMPLETED = {
    "job_id": "job-1",
    "status": "completed",
    "result": {"인사": "안녕"},
    "output_files": ["http://files/resized.png"],
    "execution_time_ms": 1.5,
    "stdout": "printed\n",
    "stderr": "",
    "error": None,
}
FAILED = {
    "job_id": "job-1",
    "status": "failed",
    "result": None,
    "error": {"type": "HandlerError", "message": "ZeroDivisionError: division by zero", "stack": "line 2"},
}


def run_command(monkeypatch, capsys, *arguments, typed=""):
    """Run `nanogrid` in this process with `typed` on stdin. Return (exit code, stdout, stderr)."""
    monkeypatch.setattr("sys.argv", ["nanogrid", *map(str, arguments)])
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    with pytest.raises(SystemExit) as left:
        main()
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return left.value.code or 0, printed.out, printed.err
