"""An event's way through a replica: admitted, routed, claimed, run, marked. Elections and journals do not
belong here (``leader``, ``coordination``), nor the connection to Discord (``gateway``). ``commands``,
``leader`` and the rooms above them may import it.
"""

from discordha.dispatch.dispatcher import Dispatcher
from discordha.dispatch.items import ClaimStore, Preference
from discordha.dispatch.lanes import Lanes

__all__ = ["ClaimStore", "Dispatcher", "Lanes", "Preference"]
