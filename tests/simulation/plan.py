"""How much happens in a simulated run."""

from __future__ import annotations

import copy
from collections.abc import Sequence

__all__ = ["CALM_LONG", "Plan"]

#: With shards, or after outages, a bot is left alone for so long, seconds: sessions begin one after another.
CALM_LONG = 60.0
#: A short run: so many seconds with faults, one every so many seconds on average, which last for so much of
#: their time. One seed in so many has shards, since these cost five times as much.
SHORT_SECONDS, SHORT_PAUSE, SHORT_LASTS = 9.0, 1.1, 0.6
SHORT_SHARDED = 20


class Plan:
    """See the module.

    :param seconds: for how long there are faults.
    :param calm: for how long the cluster is left alone at the end, seconds; ``CALM_LONG`` at the least after
        a reshard or outages: sessions begin one after another.
    :param rate: events a second.
    :param only: these kinds of faults; empty: all.
    :param shards: how many; 0: the bot has none.
    :param catch_up: whether replicas fetch what none of them received; then all of them may die.
    :param reshard: how many shards the bot has from a third of the time on; 0: as many as before.
    :param pause: seconds between two faults on average.
    :param lasts: for how much of their usual time faults last.
    :param short: whether sessions may begin at once, timers are due soon, and a run ends once nothing is left
        to do; ``calm`` is then the longest time for that.
    """

    def __init__(
        self,
        *,
        replicas: int = 3,
        seconds: float = 60.0,
        calm: float = 40.0,
        rate: float = 6.0,
        only: Sequence[str] = (),
        shards: int = 0,
        reshard: int = 0,
        catch_up: bool = False,
        pause: float = 3.0,
        lasts: float = 1.0,
        short: bool = False,
    ) -> None:
        self.replicas = replicas
        self.seconds = seconds
        self.calm = max(calm, CALM_LONG) if reshard or catch_up else calm
        self.rate = rate
        self.only = only
        self.shards = shards
        self.reshard = reshard
        self.catch_up = catch_up
        self.pause = pause
        self.lasts = lasts
        self.short = short

    def shortened(self) -> Plan:
        """The same with as many faults in a fraction of the time."""
        made = copy.copy(self)
        made.seconds, made.pause, made.lasts, made.short = SHORT_SECONDS, SHORT_PAUSE, SHORT_LASTS, True
        return made

    def sharded(self) -> Plan:
        """The same with shards: 4, then 8, on 4 replicas."""
        made = copy.copy(self)
        made.replicas, made.shards, made.reshard = max(self.replicas, 4), 4, 8
        made.calm = max(self.calm, CALM_LONG)
        return made

    def with_outages(self) -> Plan:
        """The same with a catch-up, and with times in which no replica is connected."""
        made = copy.copy(self)
        made.catch_up, made.calm = True, max(self.calm, CALM_LONG)
        return made

    def mixed(self, seed: int) -> Plan:
        """The same for one seed of three, with shards for the next, and with outages for the third; a short
        run has shards less often.
        """
        if self.short:
            return self.sharded() if seed % SHORT_SHARDED == 0 else (self, self.with_outages())[seed % 2]
        return (self.sharded(), self.with_outages(), self)[seed % 3]
