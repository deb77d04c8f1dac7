"""Write a report as one HTML page that needs nothing else: no network, no script, charts drawn in it, light and dark."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from benchmarks.leaderboard.document import Block, Charts, Folded, Section, Table, Words

INTERVAL = re.compile(r"^(-?[\d.,]+) \((-?[\d.,]+ to -?[\d.,]+)\)( [↑↓])?$")  # a figure with its interval, which goes below it
LONG = 32  # letters of a cell that is broken into lines
STYLE = """
:root { color-scheme: light dark; --paper: #fbfbf9; --ink: #1c2024; --quiet: #565f68; --line: #dcdfe1; --shade: #f1f2ef;
  --accent: #1f5fa8; --other: #b9bfc5; }
@media (prefers-color-scheme: dark) { :root { --paper: #15181b; --ink: #e4e7e9; --quiet: #a0a9b1; --line: #32383d; --shade: #1d2125;
  --accent: #7db3ef; --other: #565e66; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main, header { max-width: 1180px; margin: 0 auto; padding: 0 16px; }
header { padding-top: 28px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 12px; }
h2 { font-size: 1.25rem; margin: 0 0 8px; padding-top: 32px; }
h3 { font-size: 1rem; margin: 20px 0 6px; }
p, li { max-width: 78ch; }
p { margin: 8px 0; }
ul { padding-left: 20px; margin: 8px 0; }
li { margin: 3px 0; }
nav { display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: .9rem; }
a { color: var(--accent); }
.scroll { overflow-x: auto; margin: 12px 0; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 12px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
tr:last-child > * { border-bottom: 0; }
.scroll { width: fit-content; max-width: 100%; }
thead th { white-space: normal; min-width: 9ch; background: var(--shade); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 500; }
.name { text-align: left; }
td.long { white-space: normal; min-width: 24ch; max-width: 60ch; overflow-wrap: break-word; }
th:first-child { position: sticky; left: 0; background: var(--paper); z-index: 1; }
thead th:first-child { background: var(--shade); }
small { display: block; font-size: .75rem; font-weight: 400; color: var(--quiet); }
strong { color: var(--accent); font-weight: 700; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); gap: 16px 24px; margin: 16px 0 4px; }
figure { margin: 0; min-width: 0; }
figure > p, figcaption { font-size: .875rem; }
figure > p { font-weight: 600; margin: 0 0 4px; }
.caption { color: var(--quiet); font-size: .875rem; }
details { margin: 8px 0; border-left: 2px solid var(--line); padding-left: 12px; }
summary { cursor: pointer; color: var(--accent); padding: 4px 0; }
svg { display: block; width: 100%; max-width: 440px; height: auto; font: 11px system-ui, sans-serif; }
svg text { fill: var(--quiet); }
svg .axis { text-anchor: middle; fill: var(--ink); }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg polyline { fill: none; stroke-linejoin: round; }
svg .curve { stroke: var(--accent); stroke-width: 2.2; }
svg .one { stroke: var(--accent); stroke-width: .9; opacity: .55; }
svg .other { stroke: var(--other); stroke-width: 1; }
svg .front { stroke: var(--accent); stroke-width: 1; stroke-dasharray: 4 3; }
svg .band { fill: var(--accent); opacity: .16; }
svg .whisker { stroke: var(--accent); stroke-width: 2.2; }
svg .thin { stroke: var(--quiet); stroke-width: 1; }
svg .point { fill: var(--accent); }
svg .seed { fill: var(--quiet); opacity: .6; }
svg circle.best { fill: var(--accent); }
svg circle.beaten { fill: var(--paper); stroke: var(--quiet); stroke-width: 1.2; }
svg .number { text-anchor: middle; font-size: 10px; font-weight: 600; fill: var(--ink); }
svg .number.best { fill: var(--paper); }
footer { height: 48px; }
"""


def page(title: str, sections: Sequence[Section]) -> str:
    """Return the whole page."""
    links = "".join(f'<a href="#{anchor(section.title)}">{escape(section.title)}</a>' for section in sections)
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
    )
    top = f'<header><h1>{escape(title)}</h1><nav aria-label="Sections">{links}</nav></header>'
    body = "".join(_section(section) for section in sections)
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>{top}\n<main>\n{body}</main><footer></footer></body></html>\n'


def block_html(block: Block, where: str) -> str:
    """Return a block; `where` names the section that it is in."""
    if isinstance(block, Words):
        items = f"<ul>{''.join(f'<li>{_prose(item)}</li>' for item in block.items)}</ul>" if block.items else ""
        return (f"<p>{_prose(block.text)}</p>" if block.text else "") + items
    if isinstance(block, Charts):
        figures = "".join(f"<figure><p>{escape(name)}</p>{svg}</figure>" for name, svg in block.charts)
        return f'<div class="charts">{figures}</div><p class="caption">{_prose(block.caption)}</p>'
    if isinstance(block, Folded):
        inside = "".join(block_html(part, f"{where}, {block.title}") for part in block.blocks)
        return f"<details{' open' if block.is_open else ''}><summary>{escape(block.title)}</summary>{inside}</details>"
    return _table(block, where)


def anchor(title: str) -> str:
    """Return a title as an address names it.

    >>> anchor("Score against KL")
    'score-against-kl'
    """
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _prose(text: str) -> str:
    """Return words of which no line begins with a percent sign."""
    return escape(text).replace(" %", "\u00a0%")


def _section(section: Section) -> str:
    blocks = "".join(block_html(block, section.title) for block in section.blocks)
    return f'<section><h2 id="{anchor(section.title)}">{escape(section.title)}</h2>{blocks}</section>\n'


def _table(table: Table, where: str) -> str:
    def cell(kind: str, column: int, text: str, scope: str = "") -> str:
        kinds = ["name"] * (column < table.num_names) + ["long"] * (len(text) > LONG)
        name = f' class="{" ".join(kinds)}"' if kinds else ""
        stands_out = text.startswith("**") and text.endswith("**") and len(text) > 4
        shown = INTERVAL.sub(r"\1\3<small>\2</small>", escape(text[2:-2] if stands_out else text))
        return f"<{kind}{scope}{name}>{f'<strong>{shown}</strong>' if stands_out else shown}</{kind}>"

    head = "".join(cell("th", column, text, ' scope="col"') for column, text in enumerate(table.head))
    rows = "".join(
        "<tr>" + "".join(cell("td", at, text) if at else cell("th", at, text, ' scope="row"') for at, text in enumerate(row)) + "</tr>"
        for row in table.rows
    )
    title = f"<h3>{escape(table.title)}</h3>" if table.title else ""
    about = escape(f"Table: {where}{', ' if table.title else ''}{table.title}", quote=True)
    inside = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'{title}<div class="scroll" tabindex="0" role="region" aria-label="{about}">{inside}</div>'
