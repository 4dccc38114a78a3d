"""How many of a bot's requests a second each replica may make: a pure function of what each wants.

Promises: the shares add up to no more than the total; nobody is left below the floor; who wants more gets
what others leave, in equal parts; what nobody wants is spread evenly. Equal arguments give equal shares, so
replicas that see the same wants agree.

Source: max-min fairness by progressive filling (Bertsekas and Gallager, "Data Networks", section 6.5.2).

Concurrency: none.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["FLOOR", "allot"]

#: What an idle replica keeps, so that its first requests do not wait.
FLOOR = 2


def allot(wants: Mapping[str, int], total: int) -> dict[str, int]:
    """A share for each replica in ``wants``. Does not block.

    :param wants: requests a second that each would make now.
    :param total: what there is to share.
    """
    names = sorted(wants)
    if not names:
        return {}
    shares = dict.fromkeys(names, min(FLOOR, total // len(names)))
    left = _fill(shares, dict(wants), total - sum(shares.values()))
    _fill(shares, dict.fromkeys(names, total), left)
    return shares


def _fill(shares: dict[str, int], wants: Mapping[str, int], left: int) -> int:
    """Raises the lowest shares together until everybody has what he wants; what is left then."""
    hungry = [name for name in shares if shares[name] < wants[name]]
    while hungry and left > 0:
        lowest = min(shares[name] for name in hungry)
        for name in hungry:
            if shares[name] == lowest and left > 0:
                shares[name] += 1
                left -= 1
        hungry = [name for name in hungry if shares[name] < wants[name]]
    return left
