"""The commands by name; the file behind each is imported when it is asked for."""

import importlib
from typing import Any, NoReturn

import click

from securecp import VERSION
from securecp.cli.again import TYPED
from securecp.cli.failures import UsageError, nearest

_COMMANDS = {
    # name: (module and object, what --help says about it)
    "keygen": ("keygen:keygen", "Make my identity."),
    "id": ("identity:show_identity", "Show my public key, to give to others."),
    "contacts": ("contacts:contacts", "Whom I know: add, list, verify, block …"),
    "send": ("send:send", "Send files to a contact."),
    "receive": ("receive:receive", "Wait for files from contacts."),
    "status": ("status:status", "What runs now, and what can be gone on with."),
    "cancel": ("cancel:cancel", "Stop a transfer, or give an unfinished one up."),
    "history": ("history:history", "What went to and came from whom."),
    "config": ("config:config", "Settings: servers, folder, limit …"),
    "doctor": ("doctor:doctor", "What stands between me and others, and what to change."),
    "serve": ("serve:serve", "Help others meet: rendezvous and relay server."),
    "demo": ("demo:demo", "See a real transfer on this machine."),
}

EXAMPLES = """\b
Examples:
  securecp keygen                                   make my identity (once)
  securecp contacts add alice age1…                 her public key, as `securecp id` shows it
  securecp contacts verify alice                    compare a code aloud
  securecp receive --listen 0.0.0.0:4400            wait for files
  securecp send holiday/ --to alice,bob             again after a stop: it goes on from there
  securecp send holiday/ --to alice --at 192.0.2.7:4400
  securecp demo                                     try it all on this machine

\b
Exit codes: 0 done, 1 failed, 2 usage, 3 declined, 4 not reached, 5 interrupted,
6 key or trust refusal, 7 partly done
"""


class LazyGroup(click.Group):
    """A group that knows its commands' names and help without importing them."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        typed = list(args)  # the parser takes them out of the list
        context = super().make_context(info_name, args, parent, **extra)
        context.meta[TYPED] = typed
        return context

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(f"securecp.cli.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS:
            refuse_unknown(args[0], "command", list(_COMMANDS), "securecp --help lists them")
        return super().resolve_command(ctx, args)


def refuse_unknown(word: str, kind: str, known: list[str], otherwise: str) -> NoReturn:
    """There is no such command; perhaps another was meant."""
    from securecp.cli.text import quoted

    raise UsageError(f"there is no {kind} {quoted(word, 60)}", nearest(word, known) or otherwise)


@click.group(
    cls=LazyGroup,
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--home", metavar="DIR", help="Keep keys, contacts and state in DIR (or set SECURECP_HOME)."
)
@click.version_option(VERSION, "-V", "--version", message="securecp %(version)s")
@click.pass_context
def securecp(ctx: click.Context, home: str | None) -> None:
    """Put files into the hands of one named person and no one else.

    A person is a public key; whom you know stands in your contacts. Both sides run securecp, prove
    their keys to each other, and everything between them is sealed.
    """
    ctx.obj = home
