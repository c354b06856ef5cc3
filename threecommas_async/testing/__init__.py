"""What tests of a bot need: fixtures, a clock to move, faults by name, and recorded exchanges.

One line in ``conftest.py``, or in a test module, gives the fixtures ``sandbox``, ``client``, ``market``,
``clock`` and ``faults``::

    pytest_plugins = ["threecommas_async.testing"]

They need the extra ``testing``. Everything else here works without pytest too. For pytest: it has no asserts,
and may have been imported before it is a plugin (PYTEST_DONT_REWRITE).
"""

from importlib.util import find_spec

from threecommas_async.testing.clock import Clock
from threecommas_async.testing.faults import CallName, Faults
from threecommas_async.testing.market import Market
from threecommas_async.testing.recordings import RecordedRequest, Recording, UnusableRecordingError, record
from threecommas_async.testing.replay import Replay, UnexpectedRequestError

if find_spec("pytest") is not None:  # These are not in __all__: pytest looks at the module itself.
    from threecommas_async.testing.fixtures import client as client
    from threecommas_async.testing.fixtures import clock as clock
    from threecommas_async.testing.fixtures import faults as faults
    from threecommas_async.testing.fixtures import market as market
    from threecommas_async.testing.fixtures import sandbox as sandbox
    from threecommas_async.testing.fixtures import sandbox_options as sandbox_options

__all__ = [
    "CallName",
    "Clock",
    "Faults",
    "Market",
    "RecordedRequest",
    "Recording",
    "Replay",
    "UnexpectedRequestError",
    "UnusableRecordingError",
    "record",
]
