"""The entry point of the program, for ``python -m grucli`` and the command ``grucli``.

It first sets handlers for the signals that stop it; the other imports take a tenth of a second.
"""

import os

try:
    import signal
except KeyboardInterrupt:
    os._exit(130)


def _leave(number: int, frame: object) -> None:
    """Exit immediately. This is safe before and after a command: no file is half-written then."""
    del frame
    os._exit(128 + number)


def _open_standard_streams() -> None:
    """Open those that are closed on nothing: the next file would become standard error."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def main() -> None:
    _open_standard_streams()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no terminal that hangs up
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)
    from grucli import cli

    cli.main()


if __name__ == "__main__":
    main()
