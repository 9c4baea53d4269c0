"""``python -m opik_eval``: the command line."""

from opik_eval.cli import main

if __name__ == "__main__":
    main()
