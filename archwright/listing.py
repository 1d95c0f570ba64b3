"""What `archwright list` prints: every registered thing with its labels, from the files' syntax trees."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from archwright import registry


def print_list(kind: str | None = None, console: Console | None = None) -> None:
    """Print one kind with summaries and labels, or the names of all kinds.

    Raises:
        ConfigurationError: if the kind is unknown.
    """
    console = console or Console()
    if kind is not None:
        _print_kind(kind, console)
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for name in registry.KINDS:
        known = registry.names(name)
        if known:
            table.add_row(name, ", ".join(known))
    console.print(table)
    console.print("\narchwright list KIND says what each one is.", style="dim")


def _print_kind(kind: str, console: Console) -> None:
    entries = registry.entries(kind)
    labels = sorted({label for e in entries.values() for label in e.labels})
    table = Table(box=None, pad_edge=False)
    table.add_column("name", style="bold", no_wrap=True)
    table.add_column("what")
    for label in labels:
        table.add_column(label, overflow="fold")
    for entry in entries.values():
        table.add_row(entry.name, entry.summary, *(_text(entry.labels.get(label)) for label in labels))
    console.print(table)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
