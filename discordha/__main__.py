"""``python -m discordha``: the command line."""

from discordha.operations.cli.main import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
