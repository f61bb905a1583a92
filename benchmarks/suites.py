"""How each goal is measured: which arms, how many samples, what is prepared outside the timed part."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks import cloud_calls, depth, goals, usage
from benchmarks.arms import Arm, timed
from benchmarks.grid import Grid, check, check_cold, running_grid
from benchmarks.interleave import without_collections
from benchmarks.load import Load, all_at_once, closed_loop, connections, open_loop
from benchmarks.peers import celery, docker, functions_framework, rie
from benchmarks.processes import run, wait_until
from benchmarks.runs import CLIENTS, GRID, POOL, SETTLE_S, Run, caller, connected
from nanogrid.v1.executor_pb2 import SandboxState

BURST = 32
_WARM_UP_S = 3.0
_HALF_LOAD_CLIENTS = 64  # enough that none is ever waited for while the grid keeps up
_MEASURED_SANDBOXES = 8
_EMPTY_GRID = {"EXECUTOR_POOL": "0", "EXECUTOR_POOL_MOST": "0"}
_BURST_GRID = {
    "EXECUTOR_POOL": f"python3.11={BURST}",
    "EXECUTOR_POOL_MOST": str(BURST),
    "EXECUTOR_SLOTS": str(BURST),
    "EXECUTOR_SANDBOXES": str(3 * BURST),
    "EXECUTOR_IDLE_S": "5",  # so that the functions of one round are gone before the next
}


def measure(run_: Run, wanted: set[str]) -> None:
    """Measure the goals of these ids."""
    if wanted & set(_ON_ONE_GRID):
        with running_grid(**GRID) as grid:
            grid.wait_for_pool(POOL)
            for goal_id, suite in _ON_ONE_GRID.items():
                if goal_id in wanted:
                    suite(run_, grid)
    if "G4" in wanted:
        with running_grid(**_EMPTY_GRID) as grid:
            first_call_pool_empty(run_, grid)
    if "G5" in wanted:
        with running_grid(**_BURST_GRID) as grid:
            burst(run_, grid)
    if "G13" in wanted:
        cloud_calls.measure(run_)


def warm_call(run_: Run, grid: Grid) -> None:
    """G1."""
    calls = run_.effort.warm_calls
    with ExitStack() as stack:
        arms = [Arm(goals.OURS, timed(caller(stack, grid), calls=calls, check=check, settle_s=SETTLE_S))]
        if emulator := run_.wanted(stack, goals.RIE, lambda: rie.serving(run_.folder)):
            connection, packed = emulator
            block = timed(lambda _: connection.call(packed), calls=calls, check=docker.check, settle_s=SETTLE_S)
            arms.append(Arm(goals.RIE, block))
        arms.append(_docker_exec(stack))
        run_.race("G1", arms, run_.effort.warm_rounds)


def fresh_call(run_: Run, grid: Grid) -> None:
    """G2."""
    calls = run_.effort.warm_calls
    with ExitStack() as stack:
        fresh = caller(stack, grid, "fresh")
        program = ["/usr/bin/python3", str(docker.HANDLER), docker.COMMAND[-1]]
        arms = [
            Arm(goals.OURS, timed(fresh, calls=calls, check=check, settle_s=SETTLE_S)),
            Arm(goals.PYTHON, timed(lambda _: run(program), calls=5, check=docker.check, settle_s=SETTLE_S)),
            _docker_exec(stack),
        ]
        run_.race("G2", arms, run_.effort.warm_rounds)


def first_call(run_: Run, grid: Grid) -> None:
    """G3."""

    def never_seen() -> bytes:
        [call] = grid.upload()
        grid.wait_for_pool(POOL)
        time.sleep(SETTLE_S)
        return call

    with ExitStack() as stack:
        connection = connected(stack, grid)
        arms = [Arm(goals.OURS, timed(connection.call, prepare=never_seen, check=check_cold)), _docker_run(grid, POOL)]
        run_.race("G3", arms, run_.effort.cold_rounds)


def first_call_pool_empty(run_: Run, grid: Grid) -> None:
    """G4."""

    def never_seen() -> bytes:
        [call] = grid.upload()
        time.sleep(SETTLE_S)
        return call

    with ExitStack() as stack:
        connection = connected(stack, grid)
        arms = [
            Arm(goals.OURS, timed(connection.call, prepare=never_seen, check=check_cold, settle_s=SETTLE_S)),
            Arm(goals.OURS_WARM, timed(caller(stack, grid), calls=5, check=check, settle_s=SETTLE_S)),
            _docker_run(grid, 0),
        ]
        run_.race("G4", arms, run_.effort.cold_rounds)


def burst(run_: Run, grid: Grid) -> None:
    """G5."""

    def block() -> list[float]:
        grid.wait_until_only(BURST)
        calls = grid.upload(count=BURST)
        with connections(grid.address, BURST) as clients:
            time.sleep(SETTLE_S)
            return [all_at_once(clients, calls).seconds * 1000]

    many = timed(docker.run_many(BURST, 4), prepare=lambda: grid.wait_until_only(BURST), settle_s=SETTLE_S)
    run_.race("G5", [Arm(goals.OURS, block), Arm(goals.DOCKER_RUN_4, many)], run_.effort.burst_rounds, warm_ups=0)


def throughput(run_: Run, grid: Grid) -> None:
    """G6, and where the processors' time went."""
    seconds = run_.effort.load_s
    with ExitStack() as stack:
        [call] = grid.upload()
        _load(grid.address, call, _WARM_UP_S)  # the function gets the sandboxes it needs
        grid.wait_for_pool(POOL)
        ours = partial(_load, grid.address, call, seconds)
        arms = [Arm(goals.OURS, lambda: [run_.profile.measured(grid, ours)])]
        servers = {
            goals.FRAMEWORK: partial(functions_framework.serving, run_.folder, 1),
            goals.FRAMEWORK_2: partial(functions_framework.serving, run_.folder, 2),
            goals.CELERY_HTTP: partial(celery.serving_http, run_.folder),
        }
        for name, serving in servers.items():
            if served := run_.wanted(stack, name, serving):
                load = partial(_load, *served, seconds)
                arms.append(Arm(name, lambda load=load: [load().per_second]))
        if queue := run_.wanted(stack, goals.CELERY, lambda: celery.serving(run_.folder)):
            arms.append(Arm(goals.CELERY, lambda: [queue(seconds)]))
        run_.race("G6", arms, run_.effort.load_rounds)


def half_load(run_: Run, grid: Grid) -> None:
    """G11; half of what G6 found, or of what is found now."""
    [call] = grid.upload()
    with connections(grid.address, _HALF_LOAD_CLIENTS) as clients:
        known = run_.values.get("G6", {}).get(goals.OURS)
        found = max(known) if known else closed_loop(clients[:CLIENTS], call, _WARM_UP_S).per_second
        rate = found / 2
        open_loop(clients, call, rate, 1.0)
        grid.wait_for_pool(POOL)
        run_.tell(f"G11: {rate:.0f} calls/s for {run_.effort.half_load_s:.0f} s")
        with without_collections():
            values = open_loop(clients, call, rate, run_.effort.half_load_s).latencies_ms
    run_.values["G11"] = {goals.OURS: values}


def memory(run_: Run, grid: Grid) -> None:
    """G7."""
    functions = {grid.new() for _ in range(_MEASURED_SANDBOXES)}
    with connections(grid.address, 1) as [client]:
        for function_id in functions:
            check(client.call(grid.call_of(function_id)))

    def resting() -> list[Any]:
        mine = [one for one in grid.sandboxes() if one.function_id in functions]
        return [one for one in mine if one.state == SandboxState.SANDBOX_STATE_FROZEN]

    wait_until(lambda: len(resting()) == len(functions), "every sandbox measured is frozen")
    run_.tell(f"G7: {len(functions)} sandboxes")
    known = usage.parents()
    values = [usage.pss_bytes(usage.tree(shim, known)) / 1e6 for shim in grid.shims(resting())]
    run_.values["G7"] = {goals.OURS: values}


_ON_ONE_GRID: Mapping[str, Callable[[Run, Grid], None]] = {
    "G1": warm_call,
    "G2": fresh_call,
    "G3": first_call,
    "G6": throughput,
    "G11": half_load,
    "G7": memory,
    "G10": depth.measure,  # last, because it leaves much behind
}


def _docker_exec(stack: ExitStack) -> Arm:
    execute = stack.enter_context(docker.executing())
    return Arm(goals.DOCKER_EXEC, timed(execute, calls=3, check=docker.check, settle_s=SETTLE_S))


def _docker_run(grid: Grid, generic: int) -> Arm:
    """Its turn comes when the grid has nothing left to do, as ours comes when Docker has not."""
    once = docker.run_once()
    ready = partial(grid.wait_for_pool, generic)
    return Arm(goals.DOCKER_RUN, timed(once, prepare=ready, check=docker.check, settle_s=SETTLE_S))


def _load(address: str, packed: bytes, seconds: float) -> Load:
    """Connections are new each time: servers close those that rest while others are measured."""
    with connections(address, CLIENTS) as clients:
        return closed_loop(clients, packed, seconds)
