"""How tests end the servers that they have started."""

import subprocess


def stop(process: subprocess.Popen[bytes], *, patience_seconds: float) -> None:
    """Ask the process to end; kill it when it takes longer."""
    process.terminate()
    try:
        process.wait(patience_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
