"""The recording bot as another version of the library would be: ``PRETEND_VERSION``, ``PRETEND_FORMAT``."""

import os

import discordha._version

discordha._version.__version__ = os.environ.get("PRETEND_VERSION", discordha._version.__version__)

from discordha.coordination.membership import formats  # noqa: E402

formats.FORMAT = int(os.environ.get("PRETEND_FORMAT", formats.FORMAT))
formats.READS = int(os.environ.get("PRETEND_READS", formats.READS))

from recording import ha  # noqa: E402

if __name__ == "__main__":
    ha.run()
