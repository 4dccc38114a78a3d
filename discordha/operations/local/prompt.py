"""The prompt of ``discordha local``, and its scripts.

Threads and locks: everything runs on the calling thread but ``Screen.tell``, which any thread calls;
``_lock`` keeps its lines whole.
"""

from __future__ import annotations

import cmd
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from discordha.errors import DiscordHAError
from discordha.operations.local.lines import VERBS, Line, LineError, parse_line
from discordha.operations.local.session import LocalSession

__all__ = ["read_script", "run_local"]

#: Clears the line of a terminal.
CLEAR = "\r\x1b[K"


class Screen:
    """Where lines go: above the prompt, if there is one open."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._lock = threading.Lock()  # guards the output
        self._open_prompt: str | None = None

    def tell(self, text: str) -> None:
        """Prints a line. Any thread."""
        with self._lock:
            prompt = self._open_prompt
            if prompt is None:
                print(text, file=self._output, flush=True)
                return
            import readline

            typed = readline.get_line_buffer()
            print(f"{CLEAR}{text}\n{prompt}{typed}", end="", file=self._output, flush=True)

    def open_prompt(self, prompt: str | None) -> None:
        """Notes that a terminal shows the prompt; ``None``: no more."""
        with self._lock:
            self._open_prompt = prompt


class Prompt(cmd.Cmd):
    """The lines of a session."""

    def __init__(self, session: LocalSession, screen: Screen) -> None:
        super().__init__()
        self._session = session
        self._screen = screen
        user = session.user
        actions: dict[str, Callable[..., None]] = {
            "/": lambda line: user.slash(line.words, line.options),
            "say": lambda line: user.say(line.words[0]),
            "press": lambda line: user.press(line.words[0]),
            "select": lambda line: user.press(line.words[0], line.words[1:]),
            "submit": lambda line: user.submit(line.words[0], line.options),
            "menu": lambda line: user.menu(line.words[0], *line.words[1:] or [None]),
            "react": lambda line: user.react(line.words[0]),
            "edit": lambda line: user.edit(line.words[0]),
            "delete": lambda line: user.delete(),
            "dm": lambda line: user.dm(line.words[0]),
            "as": lambda line: user.become(line.words[0]),
            "in": lambda line: user.go(line.words[0]),
            "join": lambda line: user.join(),
            "kill": lambda line: session.kill(line.words[0]),
            "drain": lambda line: session.drain(line.words[0]),
            "start": lambda line: session.start(line.words[0] if line.words else None),
            "status": lambda line: session.status(),
            "log": lambda line: session.log(line.words[0]),
            "wait": lambda line: session.wait(float(line.words[0]) if line.words else None),
            "expect": lambda line: session.expect(line.words[0]),
            "help": lambda line: self._help(),
            "quit": lambda line: None,
        }
        self._actions = actions

    def act(self, line: Line) -> None:
        """Does what a line says.

        :raises LineError: it cannot be done; says why.
        """
        try:
            self._actions[line.verb](line)
        except DiscordHAError as error:
            raise LineError(str(error)) from error
        except RuntimeError as error:  # the local Discord's refusal
            raise LineError(f"the local Discord refuses this: {error}") from error

    def _help(self) -> None:
        told = [("any other text", "send it as a message")]
        told.append(("/NAME OPTION=VALUE...", "run a slash command; quotes around values with spaces"))
        told += [(f"{name} {verb.usage}", verb.about) for name, verb in VERBS.items()]
        self._screen.tell("\n".join(f"{usage:<32}{about}" for usage, about in told))

    # -- cmd.Cmd ---------------------------------------------------------------------------------------------

    def converse(self) -> None:
        """Reads lines until ``quit``, the input's end, or Ctrl-C. Main thread only."""
        try:
            self.cmdloop()
        except KeyboardInterrupt:
            self._screen.open_prompt(None)
            self._screen.tell("")

    def preloop(self) -> None:
        """Sets the first prompt."""
        self.postcmd(False, "")

    def precmd(self, line: str) -> str:
        """The prompt is closed by the user's Enter."""
        self._screen.open_prompt(None)
        return line

    def postcmd(self, stop: bool, line: str) -> bool:
        """Opens the next prompt."""
        self.prompt = self._session.user.prompt
        if not stop and self.use_rawinput and sys.stdin.isatty() and "readline" in sys.modules:
            self._screen.open_prompt(self.prompt)
        return stop

    def onecmd(self, line: str) -> bool:
        """Does a line; whether it was the last."""
        if line == "EOF":
            self._screen.tell("")
            return True
        try:
            parsed = parse_line(line)
            if parsed is not None:
                self.act(parsed)
                return parsed.verb == "quit"
        except LineError as error:
            self._screen.tell(str(error))
        return False

    def completenames(self, text: str, *_: Any) -> list[str]:
        """The commands that begin with a text."""
        return [name for name in VERBS if name.startswith(text)]


def read_script(path: Path) -> list[tuple[int, str, Line]]:
    """The lines of a script, each with its number and its text.

    :raises DiscordHAError: it can't be read; or names the first line that means nothing.
    """
    lines = []
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DiscordHAError(f"the script {path} can't be read: {reason}") from None
    for number, raw in enumerate(text.splitlines(), 1):
        try:
            line = parse_line(raw)
        except LineError as error:
            raise DiscordHAError(f"{path}:{number}: {error}") from None
        if line is not None:
            lines.append((number, raw.strip(), line))
    return lines


def run_local(bot: Path, count: int, script: Path | None, environ: Mapping[str, str], output: TextIO) -> bool:
    """``discordha local``; whether all went well. Blocks until the session is over; main thread only.

    :param script: lines to do; ``None``: those that are typed.
    :raises DiscordHAError: a replica does not start, or a package is missing.
    """
    lines = read_script(script) if script is not None else None
    screen = Screen(output)
    with LocalSession(bot, count, environ, screen.tell) as session:
        prompt = Prompt(session, screen)
        done = True
        if lines is None:
            screen.tell("type a message, or `help`")
            prompt.converse()
        else:
            done = _play(prompt, session, screen, script, lines)
        screen.tell("the replicas drain")
    return done and not session.failed


def _play(
    prompt: Prompt,
    session: LocalSession,
    screen: Screen,
    script: Path | None,
    lines: Sequence[tuple[int, str, Line]],
) -> bool:
    for number, text, line in lines:
        screen.tell(f"{session.user.prompt}{text}")
        try:
            prompt.act(line)
        except LineError as error:
            screen.tell(f"{script}:{number}: {error}")
            return False
        if line.verb == "quit":
            break
    session.wait()
    return True
