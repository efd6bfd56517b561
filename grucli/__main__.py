"""Run the command line with ``python -m grucli``."""

from grucli.cli import main

if __name__ == "__main__":
    main()
