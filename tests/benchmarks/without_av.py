"""Import this first, and faster-whisper does without PyAV where that is not installed.

Its 35 MB decode files, which a benchmark that has samples to give has no use for.
"""

import importlib.util
import sys
import types

if importlib.util.find_spec("av") is None:
    sys.modules["av"] = types.ModuleType("av")
