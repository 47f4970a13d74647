"""The steps of bin/bench, in .venv: a PostgreSQL, durable as in real life, then the benches."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from productops.lib import embedded

ROOT = Path(__file__).resolve().parent.parent


def main(argv: list[str]) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="productops-bench-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        url = os.environ.get("DATABASE_URL")
        if not url and not {"-h", "--help"} & set(argv):
            server = embedded.start_postgres(folder / "postgres", is_durable=True)
            stack.callback(server.stop)
            url = server.url
        env = {**os.environ, "DATABASE_URL": url or "", "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen([sys.executable, "-m", "productops.bench", *argv], cwd=ROOT, env=env)
        try:
            return process.wait()
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(60)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except embedded.Unavailable as error:
        sys.exit(str(error))
