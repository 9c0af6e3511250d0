"""The one place where the configuration changes: what a reload applies while the daemon runs."""

from whisperd.config.schema import Config


class Live:
    """Holds the frozen configuration in force. Read `current` at each use; never keep it."""

    def __init__(self, config: Config) -> None:
        self.current = config
