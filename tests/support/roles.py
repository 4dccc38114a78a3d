"""etcd users made by the commands that ``discordha check --print-role`` prints."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence

from discordha.testing import LocalEtcd

__all__ = ["follow"]


def follow(etcd: LocalEtcd, commands: Sequence[str], password: str) -> str:
    """Does what the printed etcdctl commands would do; the user that they make."""
    user = ""
    for command in commands:
        words = shlex.split(command)
        assert words[0] == "etcdctl"
        match words[1:]:
            case ["role", "add", role]:
                etcd.api.call(etcd.url(), "auth/role/add", {"name": role})
            case ["role", "grant-permission", role, right, "--prefix", prefix]:
                permission = {"permType": right.upper(), **_range(prefix)}
                etcd.api.call(etcd.url(), "auth/role/grant", {"name": role, "perm": permission})
            case ["user", "add", name]:
                user = name
                etcd.api.call(etcd.url(), "auth/user/add", {"name": name, "password": password})
            case ["user", "grant-role", name, role]:
                etcd.api.call(etcd.url(), "auth/user/grant", {"user": name, "role": role})
            case _:
                raise AssertionError(f"{command} is none that is known here")
    return user


def _range(prefix: str) -> dict[str, str]:
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    return {
        "key": base64.b64encode(prefix.encode()).decode(),
        "range_end": base64.b64encode(end.encode()).decode(),
    }
