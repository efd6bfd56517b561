"""What ``grucli compare`` says, written into the page: ``python -m benchmarks.compare TEXT ...``.

Its arguments are those of ``grucli compare``.
"""

import subprocess
import sys

from benchmarks.page import write


def main() -> None:
    """Run the command and keep its answer."""
    command = [sys.executable, "-m", "grucli", "compare", *sys.argv[1:]]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    write("compare", f"```console\n$ grucli compare {' '.join(sys.argv[1:])}\n{done.stdout}```")


if __name__ == "__main__":
    main()
