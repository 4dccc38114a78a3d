"""The ways in which etcd refuses a replica, and how each ends. An operator does all of it, as root."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, NamedTuple

from discordha.coordination.partitions import Partitions
from discordha.testing import LocalEtcd
from discordha.testing.etcd.api import EtcdApi, EtcdApiError

__all__ = ["DENIED", "DENIED_DATA", "WAYS", "Access", "Refuse"]


class Access(NamedTuple):
    """A bot's access to an etcd with users.

    :param name: the bot's ``Config.name``.
    :param role: that of the user.
    """

    etcd: LocalEtcd
    name: str
    user: str
    password: str
    role: str

    def call(self, method: str, **body: Any) -> dict[str, Any]:
        """Calls etcd's HTTP interface."""
        url = next(
            self.etcd.url(member.index) for member in self.etcd.members if member.alive and not member.paused
        )
        return self.etcd.api.call(url, method, body)


#: Begins a refusal; the answer ends it.
Refuse = Callable[[Access], Callable[[], object]]


def role_revoked(access: Access) -> Callable[[], object]:
    """The user has no rights at all."""
    access.call("auth/user/revoke", name=access.user, role=access.role)

    def restore() -> None:
        access.call("auth/user/grant", user=access.user, role=access.role)
        _see_to_rights(access)

    return restore


def password_changed(access: Access) -> Callable[[], object]:
    """Tokens are worth nothing, and there are no others to be had."""
    access.call("auth/user/changepw", name=access.user, password="another")
    return lambda: access.call("auth/user/changepw", name=access.user, password=access.password)


def users_switched_off(access: Access) -> Callable[[], object]:
    """All tokens are void, twice: when users go, and when they come back."""
    access.call("auth/disable")
    nobody = EtcdApi(access.etcd.certificates, None)  # there is no logging in meanwhile
    return lambda: nobody.call(access.etcd.url(), "auth/enable", {})


def space_used_up(access: Access) -> Callable[[], object]:
    """The alarm that a full database raises."""
    members = [each["ID"] for each in access.call("cluster/member/list")["members"]]
    for member in members:
        access.call("maintenance/alarm", action="ACTIVATE", memberID=member, alarm="NOSPACE")

    def disarm() -> None:
        for member in members:
            access.call("maintenance/alarm", action="DEACTIVATE", memberID=member, alarm="NOSPACE")

    return disarm


def requests_too_large(access: Access) -> Callable[[], object]:
    """Every transaction of more than a few operations is too large."""
    etcd: Any = access.etcd
    flags = etcd._flags
    etcd._flags = (*flags, "--max-request-bytes=700")
    etcd.restart_all(graceful=True)

    def restore() -> None:
        etcd._flags = flags
        etcd.restart_all(graceful=True)

    return restore


def certificate_gone(access: Access) -> Callable[[], object]:
    """The file is missing, and every connection has to be made anew."""
    certificates = access.etcd.certificates
    assert certificates is not None
    away = certificates.client_cert.with_suffix(".away")
    certificates.client_cert.rename(away)
    _break_connections(access.etcd)

    def restore() -> None:
        away.rename(certificates.client_cert)

    return restore


def _break_connections(etcd: LocalEtcd) -> None:
    for member in etcd.members:  # its interface needs the certificate, too: nothing is asked
        member.stop()
        member.start()


def denied(kind: str, *, data: bool = False) -> Refuse:
    """Access to the keys of one kind only is denied, in every partition.

    :param data: of a kind that lies below ``<name>.data/``.
    """

    def refuse(access: Access) -> Callable[[], object]:
        root = f"/discordha/v1/{access.name}{'.data' if data else ''}/"
        whole = _range(root, root[:-1] + "0")
        partitions = [] if data else _partitions(access)
        starts = [root + kind, *(f"{root}~{partition}{kind}" for partition in partitions)]
        begins = [root, *(f"{start}0" for start in starts)]
        ends = [*(f"{start}/" for start in starts), root[:-1] + "0"]
        parts = [_range(begin, end) for begin, end in zip(begins, ends, strict=True)]
        for part in parts:
            _grant(access, part)
        access.call("auth/role/revoke", role=access.role, **whole)

        def restore() -> None:
            _grant(access, whole)
            for part in parts:
                access.call("auth/role/revoke", role=access.role, **part)
            _see_to_rights(access)

        return restore

    return refuse


def _partitions(access: Access) -> list[str]:
    """What keys in partitions begin with, in the order of the keys; none if the bot has no shards."""
    key = f"/discordha/v1/{access.name}/s/partitions"
    found = access.call("kv/range", key=base64.b64encode(key.encode()).decode()).get("kvs", [])
    return [name for kv in found for name in Partitions(int(base64.b64decode(kv["value"]))).all() if name]


def _see_to_rights(access: Access) -> None:
    """Returns once each member knows the user's rights. etcd 3.5.1 works out what a user may do while a role
    changes, and keeps the outdated answer until the next change.
    """
    user = EtcdApi(access.etcd.certificates, (access.user, access.password))
    user.log_in()
    roots = [f"/discordha/v1/{access.name}{end}" for end in ("/", ".data/")]
    for member in access.etcd.members:
        for _ in range(20):
            try:
                for root in roots:
                    user.call(
                        access.etcd.url(member.index),
                        "kv/range",
                        {**_range(root, root[:-1] + "0"), "limit": "1"},
                    )
                break
            except EtcdApiError as error:
                if "permission denied" not in str(error):
                    raise
                _grant(access, _range(roots[0], roots[0][:-1] + "0"))


def _grant(access: Access, keys: dict[str, str]) -> None:
    access.call("auth/role/grant", name=access.role, perm={"permType": "READWRITE", **keys})


def _range(key: str, end: str) -> dict[str, str]:
    return {
        "key": base64.b64encode(key.encode()).decode(),
        "range_end": base64.b64encode(end.encode()).decode(),
    }


#: Claims and marks, marks of the journal, attempts, members, candidates, locks.
DENIED = ("e", "a", "j", "ja", "m", "l", "k")
#: Caches, voice.
DENIED_DATA = ("c", "v")

WAYS: dict[str, Refuse] = {
    "role revoked": role_revoked,
    "password changed": password_changed,
    "users switched off": users_switched_off,
    "space used up": space_used_up,
    "requests too large": requests_too_large,
    "certificate gone": certificate_gone,
    **{f"{kind}/ denied": denied(kind) for kind in DENIED},
    **{f"{kind}/ denied": denied(kind, data=True) for kind in DENIED_DATA},
}
