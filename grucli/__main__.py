"""Where the program begins, as ``python -m grucli`` and as the command ``grucli``.

The first thing it does is to say how Ctrl-C and SIGTERM end it. The imports come after that,
because they take a tenth of a second.
"""

import os

try:
    import signal
except KeyboardInterrupt:
    os._exit(130)


def _leave(number: int, frame: object) -> None:
    """End at once: before the command begins and after it has ended nothing is half-written."""
    del frame
    os._exit(128 + number)


def main() -> None:
    """Run the command line."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)
    from grucli import cli

    cli.main()


if __name__ == "__main__":
    main()
