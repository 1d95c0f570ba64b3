"""What `archwright list` prints: every registered thing with its labels, from the files' syntax trees."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from archwright import registry, taxonomy


def print_list(kind: str | None = None, console: Console | None = None) -> None:
    """Print one kind with summaries and labels, or the names of all kinds and of the survey's classes.

    Raises:
        ConfigurationError: if the kind is unknown.
    """
    console = console or Console()
    if kind is not None:
        _print_kind(kind, console)
        if kind == "strategies":
            console.print("\nDifferentiable and one-shot recipes, strategies too; each with its parts:\n", style="bold")
            _print_kind("recipes", console)
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for name in registry.KINDS:
        known = registry.names(name)
        if known:
            table.add_row(name, ", ".join(known))
    console.print(table)
    console.print("\nBy the dimensions of the survey on hardware-aware search:\n", style="bold")
    _print_classes(console)
    console.print("\narchwright list KIND says what each one is.", style="dim")


def _print_classes(console: Console) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for dimension, classes in taxonomy.members().items():
        for name, entries in classes.items():
            kinds = dict.fromkeys(e.kind for e in entries)
            parts = (f"{kind} {', '.join(e.name for e in entries if e.kind == kind)}" for kind in kinds)
            table.add_row(f"{dimension}: {name}", "; ".join(parts))
    console.print(table)


def _print_kind(kind: str, console: Console) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for entry in registry.entries(kind).values():
        labels = "; ".join(f"{k}: {_text(v)}" for k, v in sorted(entry.labels.items()) if k != "survey")
        table.add_row(entry.name, Text(entry.summary))
        for line in ("; ".join(taxonomy.classes_of(entry)), labels):
            if line:
                table.add_row("", Text(line, style="dim"))
    console.print(table)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
