"""`python -m tunery` is the `tunery` command."""

from tunery.cli import main

if __name__ == "__main__":
    main()
