"""Write a report as Markdown: its words and tables. Charts are on the page only."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.leaderboard.document import Block, Charts, Folded, Section, Table, Words


def markdown(title: str, sections: Sequence[Section]) -> str:
    """Return a whole report."""
    parts = [f"# {title}"]
    for section in sections:
        parts += [f"## {section.title}", *(text for block in section.blocks for text in block_lines(block))]
    return "\n\n".join(parts) + "\n"


def block_lines(block: Block) -> list[str]:
    """Return the paragraphs of a block."""
    if isinstance(block, Words):
        return [escaped(block.text)] if block.text else ["\n".join(f"- {escaped(item)}" for item in block.items)] if block.items else []
    if isinstance(block, Charts):
        return []
    if isinstance(block, Folded):
        return [f"### {escaped(block.title)}", *(text for part in block.blocks for text in block_lines(part))]
    return [*([f"### {escaped(block.title)}"] if block.title else []), table_text(block)]


def table_text(table: Table) -> str:
    """Return a table; numbers stand to the right."""
    marks = ["---" if column < table.num_names else "---:" for column in range(len(table.head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (map(escaped, table.head), marks, *(map(escaped, row) for row in table.rows)))


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, but for a ** at both ends."""
    body = text.removeprefix("**").removesuffix("**") if text.startswith("**") and text.endswith("**") else text
    safe = "".join(f"\\{letter}" if letter in "\\`*_|<[#" else letter for letter in body)
    return f"**{safe}**" if body != text else safe
