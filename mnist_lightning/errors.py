"""The exceptions that end a script with a sentence instead of a traceback."""

import signal


class UserError(Exception):
    """Something the user gave is wrong: a value, a file, a missing display or network.

    The text is one plain sentence that names the thing and the way out. The scripts print it
    and exit with code 2, without a traceback.
    """


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM ended a run, and what it had done so far is on disk.

    The scripts exit with 128 + `signum`, as a shell expects. No `Exception`, like KeyboardInterrupt: a signal may
    arrive anywhere, for example inside `logging`, which swallows those.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"Interrupted by {signal.Signals(signum).name}.")
        self.signum = signum
