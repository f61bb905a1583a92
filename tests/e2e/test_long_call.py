"""A synchronous call as long as a load balancer allows, on a grid where nothing else happens."""

import pytest

from support.long_call import LongCall


@pytest.mark.timeout(660)
def test_a_call_of_285_seconds_on_a_quiet_grid_is_answered(long_call: LongCall) -> None:
    answer = long_call.wait()

    assert (answer.status_code, answer.json()["result"]) == (200, "awake"), answer.text
    assert "too_many_pings" not in long_call.logs()
