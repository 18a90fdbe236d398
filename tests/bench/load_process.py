"""Starts the load generator as a process of its own, on the same machine, and reads its report."""

import asyncio
import sys
from pathlib import Path

from tests.bench.load_plan import LoadPlan, LoadReport

REPOSITORY = Path(__file__).parents[2]


async def run_load(plan: LoadPlan) -> LoadReport:
    """Carry out the plan.

    Raises:
        RuntimeError: a payment was not completed; the generator says which.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.load"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=REPOSITORY,
    )
    try:
        out, errors = await process.communicate(plan.dumps().encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"the load generator failed:\n{errors.decode()[-4000:]}")
    return LoadReport.loads(out.decode())
