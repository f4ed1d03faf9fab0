"""The installed command `securecp`: from arguments to exit code.

Nothing heavy is imported here: `securecp --version` answers before a person has let go of the key.
Every exception ends here as one line and a hint; a traceback never reaches the terminal.

Exit codes: 0 done · 1 failed · 2 usage · 3 declined by the peer · 4 peer not reached ·
5 interrupted · 6 key or trust refusal · 7 partly done (SPEC §10.4).
"""

import gc
import sys
from collections.abc import Sequence

from securecp import VERSION

_OBJECTS_BETWEEN_COLLECTIONS = 50_000
"""What a start makes stays for good: looking for garbage in it takes a tenth of the time."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    typed = list(sys.argv[1:] if arguments is None else arguments)
    if typed in (["--version"], ["-V"]):
        print(f"securecp {VERSION}")
        return 0
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    from securecp.cli import process

    process.plain_streams()
    process.quiet_threads()
    process.catch_signals()
    process.harden()
    code = run(typed)
    gc.freeze()  # what is left goes with the process: no search for cycles in it at the exit
    return code


def run(typed: list[str]) -> int:
    """Run one command in this process as it is; whatever is raised becomes words and a code."""
    try:
        from securecp.cli.commands import securecp

        code = securecp.main(args=typed, prog_name="securecp", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:  # the last line of defence against tracebacks
        return _fail(error, typed)
    return code if isinstance(code, int) else 0


def _fail(error: BaseException, typed: list[str]) -> int:
    import click

    from securecp.cli.failures import OutputClosedError, explain
    from securecp.cli.output import Output, discard_stdout

    if isinstance(error, (SystemExit, click.exceptions.Exit)):
        code = error.code if isinstance(error, SystemExit) else error.exit_code
        return code if isinstance(code, int) else 1
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        print(error.format_message(), file=sys.stderr)
        return 2
    if isinstance(error, BrokenPipeError):
        error = OutputClosedError("standard output was closed")
        discard_stdout()
    failure = explain(error)
    output = Output(as_json="--json" in typed)
    try:
        if output.as_json and not getattr(error, "told", False):
            output.event("error", code=failure.code, message=failure.message, hint=failure.hint)
    except (OSError, OutputClosedError):
        pass  # nobody reads it; the exit code still tells
    output.failure(failure)
    return failure.code
