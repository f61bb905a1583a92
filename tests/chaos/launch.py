"""`python -m chaos.launch services.executor …`: run the module after applying CHAOS_SABOTAGE and CHAOS_DIE."""

import os
import runpy
import sys

if __name__ == "__main__":
    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    if breakage := os.environ.get("CHAOS_SABOTAGE"):
        from chaos import sabotage  # imported on use, because it loads half the product

        sabotage.commit(breakage)
    if step := os.environ.get("CHAOS_DIE"):
        from chaos import steps

        steps.arm(step)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
