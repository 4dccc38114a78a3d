"""Runs a bot script on the real Discord, with an etcd of its own if none is configured.

``python -m discordha.testing.run_local SCRIPT [ARGUMENT...]``; the token comes from ``BOT_TOKEN`` or
``DISCORDHA_TOKEN``.

Guarantees: the script's exit status is this program's. Signals reach the script. The etcd ends after it.
Not for production: the etcd is one member in a temporary folder.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from discordha.testing.etcd.local_etcd import LocalEtcd

__all__ = ["main"]

_USAGE = "usage: python -m discordha.testing.run_local SCRIPT [ARGUMENT...]"
_NO_TOKEN = """\
no token: set BOT_TOKEN to your bot's token (Discord developer portal, your application, "Bot", "Reset
Token"), as in BOT_TOKEN=... make run
Without a token, "make demo" shows the same bot on a local Discord."""  # nosec B105


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs the script until it ends. Returns its exit status, or 2 without a script and 1 without a token.

    Blocks. The main thread only, since it sets signal handlers.
    """
    if not arguments:
        print(_USAGE, file=sys.stderr)
        return 2
    if not (environment.get("BOT_TOKEN") or environment.get("DISCORDHA_TOKEN")):
        print(_NO_TOKEN, file=sys.stderr)
        return 1
    with ExitStack() as ends:
        environment = dict(environment)
        if not environment.get("DISCORDHA_ETCD_ENDPOINTS"):
            etcd = ends.enter_context(LocalEtcd(unsafe_no_fsync=False))
            environment.update(etcd.env())
            print(
                f"started an etcd on {etcd.endpoints[0]} for this run; more replicas join with\n"
                f"    DISCORDHA_ETCD_ENDPOINTS={etcd.endpoints[0]} make run",
                file=sys.stderr,
            )
        running: list[subprocess.Popen[bytes]] = []

        def forward(number: int, frame: object) -> None:
            if not running:
                raise SystemExit(128 + number)
            running[0].send_signal(number)

        signal.signal(signal.SIGTERM, forward)
        running.append(subprocess.Popen([sys.executable, *arguments], env=environment))
        # Ctrl-C reaches the script by itself; this program waits until it has drained.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        status = running[0].wait()
        return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
