"""Prints the oldest versions that setup.cfg allows, as requirements for pip: ``tools/lowest.py setup.cfg``.

Covers the library and the extras of users, not the developers' tools. A requirement without a lower bound is
an error, since no test would reach it.
"""

from __future__ import annotations

import configparser
import re
import sys
from collections.abc import Iterator
from pathlib import Path

EXTRAS = ("voice", "operations", "testing", "otel", "speed")
#: Of the developers' tools: as old as the library's part that it goes with.
BESIDE = ("opentelemetry-sdk",)
REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?P<extras>\[[^\]]*\])?>=(?P<lowest>[0-9.]+)")


def lowest(setup: str) -> Iterator[str]:
    """``name==version`` for each requirement.

    :raises ValueError: a requirement has no lower bound.
    """
    config = configparser.ConfigParser()
    config.read_string(setup)
    sections = [config["options"]["install_requires"]]
    sections += [config["options.extras_require"][extra] for extra in EXTRAS]
    lines = "\n".join(sections).split()
    tools = config["options.extras_require"].get("dev", "").split()
    for line in lines + [tool for tool in tools if tool.startswith(BESIDE)]:
        found = REQUIREMENT.match(line)
        if found is None:
            raise ValueError(f"setup.cfg: {line!r} has no lower bound")
        yield f"{found['name']}{found['extras'] or ''}=={found['lowest']}"


if __name__ == "__main__":
    print(*lowest(Path(sys.argv[1]).read_text(encoding="utf-8")), sep="\n")
