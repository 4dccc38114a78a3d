"""Revokes one lease by gRPC: ``python -m discordha.coordination.etcd.revoke``, for ``discordha run``.

Standard input has a JSON object: ``lease``, and ``etcd`` with the names of ``StoreSettings``; so no password
shows among the arguments. Says ``revoked``, or why not on standard error.

Guarantees: tries each endpoint once, and ends within the time-outs of that. Threads and locks: none.
"""

from __future__ import annotations

import json
import sys

from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.endpoints import StoreSettings
from discordha.errors import DiscordHAError

__all__ = ["main"]

#: Seconds for each endpoint.
TIMEOUT = 2.0


def main() -> int:
    """See the module. Exit status 1 when the lease may live on."""
    request = json.load(sys.stdin)
    etcd = request["etcd"]
    settings = StoreSettings(**{**etcd, "endpoints": tuple(etcd["endpoints"])}, timeout=TIMEOUT)
    try:
        store = EtcdStore(settings)
        try:
            store.revoke(int(request["lease"]))
        finally:
            store.close()
    except DiscordHAError as error:
        print(error, file=sys.stderr)
        return 1
    print("revoked")
    return 0


if __name__ == "__main__":
    sys.exit(main())
