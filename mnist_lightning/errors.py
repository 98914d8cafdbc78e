"""The exceptions that end a script with a sentence instead of a traceback."""

import contextlib
import re
import signal
from collections.abc import Iterator


class UserError(Exception):
    """Something the user gave is wrong: a value, a file, a missing display or network.

    The text is one plain sentence that says what is wrong and how to fix it. The scripts print it
    and exit with code 2, without a traceback.
    """


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM ended a run, and what it had done so far is on disk.

    The scripts exit with 128 + `signum`, as a shell expects. Like KeyboardInterrupt, this is not an `Exception`: a
    signal may arrive anywhere, for example inside `logging`, which swallows those.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"Interrupted by {signal.Signals(signum).name}.")
        self.signum = signum


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it was raised from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def not_installed(error: BaseException) -> UserError | None:
    """The error for an import that failed because a package of one of the project's extras is not installed.

    Args:
        error: what was raised; its causes are examined too.

    Returns:
        None where something else went wrong.
    """
    import importlib.metadata  # 10 ms

    absent = next((each for each in causes(error) if isinstance(each, ModuleNotFoundError)), None)
    name = (absent.name or "").split(".")[0] if absent is not None else ""
    try:
        required = importlib.metadata.requires("mnist-lightning") or []
    except importlib.metadata.PackageNotFoundError:  # a checkout that is on the path but not installed
        required = []
    for each in required:
        package, extra = re.match(r"[\w.-]*", each), re.search(r"""extra == ['"](\w+)""", each)
        module = package[0].lower().replace("-", "_") if package else ""
        if not name or not extra or extra[1] == "dev":  # dev includes the other extras
            continue
        if module == name or module.startswith(f"{name}_"):  # mlflow-skinny is imported as mlflow
            return UserError(f'{name} is not installed: pip install "mnist-lightning[{extra[1]}]".')
    return None


@contextlib.contextmanager
def extras_named() -> Iterator[None]:
    """In this context, an import that fails for lack of an extra raises the error of `not_installed` instead."""
    try:
        yield
    except ImportError as error:
        if absent := not_installed(error):
            raise absent from error
        raise
